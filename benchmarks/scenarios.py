"""The operations themselves, the same for both libraries.

Every answer is checked: what answers wrongly is an error and not a measurement.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from benchmarks.dataset import Row, random_rows
from benchmarks.measuring import Worker

DATABASE = "db"
MIDDLE_ID = 10_000
CHUNK = 1 << 16


def measure_reads(worker: Worker) -> None:
    """Open, read, read again, each time through a fresh VFS; then cold lookups and cold scans."""
    for latency in worker.rounds("open_empty"):
        vfs_name, name = worker.fresh_vfs().name, f"empty-{time.perf_counter_ns()}"
        connection = worker.measure("open_empty", latency, open_database, name, vfs_name)
        tables = worker.measure("look_at_empty", latency, count_tables, connection)
        check(tables == 0, f"there are {tables} tables under an empty name")
        connection.close()
    for latency in worker.rounds("open"):
        vfs_name = worker.fresh_vfs().name
        connection = worker.measure("open", latency, open_database, DATABASE, vfs_name)
        worker.measure("first_read", latency, lookup, connection, MIDDLE_ID)
        worker.measure("repeated_read", latency, read_transaction, connection)
        worker.measure("lookup_seen", latency, lookup, connection, MIDDLE_ID + 1)
        worker.measure("lookup_unseen", latency, lookup, connection, MIDDLE_ID // 4)
        connection.close()
    for latency in worker.rounds("cold_lookup"):
        worker.measure("cold_lookup", latency, open_and_look_up, worker.fresh_vfs().name)
    for latency in worker.rounds("scan"):
        connection = open_database(DATABASE, worker.fresh_vfs().name)
        count = worker.measure("scan", latency, scan, connection)
        check(count == worker.spec.rows, f"the scan found {count} rows")
        connection.close()


def measure_writes(worker: Worker) -> None:
    """Update, roll back and insert on one connection that has read every page before."""
    connection = open_database(DATABASE, worker.fresh_vfs().name)
    scan(connection)
    connection.execute("SELECT count(k) FROM t INDEXED BY t_k").fetchall()
    rows = random_rows(2, first_id=worker.spec.rows + 1)
    for number, latency in enumerate(worker.rounds("update")):
        row_id, (_, k, v) = MIDDLE_ID + number, next(rows)
        worker.measure("update", latency, update, connection, (row_id, k, v))
        check(lookup(connection, row_id) == (k, v), "the update is not there")
    for latency in worker.rounds("rollback"):
        before = lookup(connection, MIDDLE_ID)
        worker.measure("rollback", latency, roll_back, connection)
        check(lookup(connection, MIDDLE_ID) == before, "the rollback left something behind")
    for number, latency in enumerate(worker.rounds("insert")):
        first_id = worker.spec.rows + 1 + 1000 * number
        batch = [(first_id + n, *next(rows)[1:]) for n in range(1000)]
        worker.measure("insert", latency, insert, connection, batch)
        check(lookup(connection, first_id + 999) == batch[-1][1:], "the inserted row is not there")
    connection.close()


def measure_transfers(worker: Worker) -> None:
    """Put a local file under a new name, and stream it back through another VFS."""
    files = dict(zip(worker.spec.latencies, worker.spec.transfers, strict=True))
    for number, latency in enumerate(worker.rounds("deserialize")):
        file, name, vfs = files[latency], f"transfer-{number}", worker.fresh_vfs()
        size = Path(file).stat().st_size
        worker.measure("deserialize", latency, vfs.deserialize_iter, name, chunks(file), size=size)
        read = worker.measure("serialize", latency, serialize, worker.fresh_vfs(), name, size=size)
        check(read == size, f"{read} of {size} bytes were serialized")


def open_database(name: str, vfs_name: str) -> apsw.Connection:
    """A connection to a stored database."""
    return apsw.Connection(name, vfs=vfs_name)


def count_tables(connection: apsw.Connection) -> int:
    """Find out whether there is a database at all: the connection alone need not ask."""
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
    return int(str(tables))


def lookup(connection: apsw.Connection, row_id: int) -> tuple[str, str]:
    """The row's key and text."""
    ((k, v),) = connection.execute("SELECT k, v FROM t WHERE id = ?", (row_id,))
    return str(k), str(v)


def open_and_look_up(vfs_name: str) -> None:
    """What a process does that lives for one question."""
    connection = open_database(DATABASE, vfs_name)
    lookup(connection, MIDDLE_ID)
    connection.close()


def read_transaction(connection: apsw.Connection) -> None:
    """Two lookups in one transaction, of a row that was read before."""
    connection.execute("BEGIN")
    lookup(connection, MIDDLE_ID)
    lookup(connection, MIDDLE_ID)
    connection.execute("COMMIT")


def scan(connection: apsw.Connection) -> int:
    """Read the text of every row; how many there are."""
    ((count, _),) = connection.execute("SELECT count(*), sum(length(v)) FROM t")
    return int(str(count))


def update(connection: apsw.Connection, row: Row) -> None:
    """Give a row another key and text: its page, two of the index, and the header change."""
    row_id, k, v = row
    connection.execute("UPDATE t SET k = ?, v = ? WHERE id = ?", (k, v, row_id))


def roll_back(connection: apsw.Connection) -> None:
    """Change 100 neighbouring rows and think better of it."""
    connection.execute("BEGIN")
    last = MIDDLE_ID + 99
    connection.execute("UPDATE t SET v = upper(v) WHERE id BETWEEN ? AND ?", (MIDDLE_ID, last))
    connection.execute("ROLLBACK")


def insert(connection: apsw.Connection, rows: list[Row]) -> None:
    """Insert rows in one transaction."""
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")


def serialize(vfs: Any, name: str) -> int:
    """Stream a database and forget it; how many bytes it was."""
    return sum(map(len, vfs.serialize_iter(name)))


def chunks(path: str) -> Iterator[bytes]:
    """A file in chunks of ``CHUNK`` bytes."""
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def check(holds: bool, otherwise: str) -> None:
    """Refuse to measure what does not work."""
    if not holds:
        raise RuntimeError(f"wrong answer: {otherwise}.")

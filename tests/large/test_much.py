"""Large values, transactions that spill, full-text and R-tree indexes, and whole copies."""

from __future__ import annotations

import filecmp
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from large.conftest import MakeTwins
from large.twins import Twins, digest, same_bytes
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs import scratch_file

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

BLOB_SIZE = 200_000_000
FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    """What is large lies in a directory."""
    with closing(DirectoryObjectStore(tmp_path / "store")) as store:
        yield store


def test_a_blob_of_200_megabytes(store: ObjectStore, twins_over: MakeTwins) -> None:
    noise = random.Random(200)
    twins = twins_over(store)
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    blob = noise.randbytes(BLOB_SIZE)
    twins.insert("INSERT INTO t VALUES (?, ?)", [(1, blob)])
    assert twins.ours.execute("SELECT body = ? FROM t", (blob,)).get == 1
    del blob

    for connection in twins.both:                       # a few bytes in many places, as a stream
        places = random.Random(7)
        with connection.blob_open("main", "t", "body", 1, True) as handle:
            for _ in range(300):
                handle.seek(places.randrange(BLOB_SIZE - 5000))
                handle.write(places.randbytes(places.randrange(1, 5000)))
    assert same_bytes(twins.vfs.serialize_iter(twins.name), twins.path)
    twins.execute("UPDATE t SET body = substr(body, 1, 100000000) || zeroblob(100000000)")
    twins.execute("INSERT INTO t VALUES (2, 'after')")
    assert same_bytes(twins.vfs.serialize_iter(twins.name), twins.path)
    twins.execute("DELETE FROM t WHERE id = 1; VACUUM")
    twins.check()


@pytest.fixture
def spilled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The temporary files that journals were continued in."""
    opened: list[object] = []

    class Watched:
        @staticmethod
        def TemporaryFile(*arguments: Any, **named: Any) -> Any:
            opened.append(tempfile.TemporaryFile(*arguments, **named))  # noqa: SIM115
            return opened[-1]

    monkeypatch.setattr(scratch_file, "tempfile", Watched)
    return opened


@pytest.mark.parametrize("mode", ["DELETE", "TRUNCATE", "PERSIST", "MEMORY"])
def test_a_transaction_whose_journals_and_sorts_spill(
    twins_over: MakeTwins, spilled: list[object], mode: str
) -> None:
    noise = random.Random(mode)
    twins = twins_over(MemoryObjectStore())
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    twins.insert("INSERT INTO t (body) VALUES (?)", [(noise.randbytes(1000),) for _ in range(60000)])
    twins.execute(f"PRAGMA journal_mode = {mode}; PRAGMA cache_size = 50; PRAGMA temp_store = FILE")
    change = "UPDATE t SET body = CAST(substr(body, 10) || id AS BLOB)"

    twins.execute(f"BEGIN; {change}; ROLLBACK")
    twins.check()
    twins.execute(f"BEGIN; {change}; SAVEPOINT a; DELETE FROM t WHERE id % 2 = 0; SAVEPOINT b; {change}")
    twins.execute("CREATE INDEX i ON t (substr(body, 3, 200), id); ROLLBACK TO b")
    twins.execute("INSERT INTO t (body) SELECT body FROM t ORDER BY substr(body, 5)")
    twins.execute("ROLLBACK TO a; CREATE INDEX i ON t (substr(body, 3, 200)); COMMIT")
    twins.check()
    assert twins.ours.execute("SELECT id FROM t ORDER BY substr(body, 20)").fetchall() == (
        twins.plain.execute("SELECT id FROM t ORDER BY substr(body, 20)").fetchall()
    )
    assert (len(spilled) > 0) == (mode != "MEMORY")     # there SQLite keeps it itself


def words(noise: random.Random) -> str:
    return " ".join(f"w{int(noise.paretovariate(0.4)) % 20000}" for _ in range(noise.randrange(5, 120)))


def test_a_full_text_index(twins_over: MakeTwins) -> None:
    noise = random.Random("words")
    twins = twins_over(MemoryObjectStore())
    twins.execute("CREATE VIRTUAL TABLE t USING fts5 (body, prefix='2')")
    for _ in range(12):
        twins.insert("INSERT INTO t (body) VALUES (?)", [(words(noise),) for _ in range(3000)])
        first = noise.randrange(30000)
        twins.execute("DELETE FROM t WHERE rowid BETWEEN ? AND ?", (first, first + 500))
    twins.execute("UPDATE t SET body = body || ' again' WHERE rowid % 50 = 0")
    queries = ["w1", "w1 AND w7 NOT w3", '"w1 w2"', "w1*", "NEAR(w2 w5, 3)", "again"]
    for query in queries:
        twins.execute("SELECT rowid, rank FROM t WHERE t MATCH ? ORDER BY rank, rowid", (query,))
    twins.check()
    twins.execute("INSERT INTO t (t) VALUES ('optimize')")
    twins.execute("INSERT INTO t (t) VALUES ('integrity-check')")
    twins.reopen()
    for query in queries:
        twins.execute("SELECT rowid FROM t WHERE t MATCH ? ORDER BY rowid", (query,))
    twins.check()


def test_an_r_tree(twins_over: MakeTwins) -> None:
    noise = random.Random("boxes")
    twins = twins_over(MemoryObjectStore())
    twins.execute("CREATE VIRTUAL TABLE t USING rtree (id, x0, x1, y0, y1)")
    for part in range(10):
        boxes = []
        for number in range(5000):
            x, y = noise.uniform(0, 1000), noise.uniform(0, 1000)
            boxes.append((part * 5000 + number, x, x + noise.random(), y, y + noise.random()))
        twins.insert("INSERT INTO t VALUES (?, ?, ?, ?, ?)", boxes)
        twins.execute("DELETE FROM t WHERE x0 > ? AND x1 < ?", (part * 70.0, part * 70.0 + 30))
    twins.reopen()
    for _ in range(50):
        x, y = noise.uniform(0, 900), noise.uniform(0, 900)
        sql = "SELECT id FROM t WHERE x1 > ? AND x0 < ? AND y1 > ? AND y0 < ? ORDER BY id"
        twins.execute(sql, (x, x + 40, y, y + 40))
    twins.execute("SELECT rtreecheck('t')")
    twins.check()


def copy_by_backup(source: apsw.Connection, target: apsw.Connection, pages: int = 777) -> None:
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(pages)


def filled(twins_over: MakeTwins, store: ObjectStore) -> Twins:
    """About 100 MB, not in order."""
    noise = random.Random("copies")
    twins = twins_over(store)
    twins.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body)")
    twins.execute("CREATE INDEX i ON t (substr(body, 1, 9))")
    for _ in range(5):
        twins.insert("INSERT INTO t (body) VALUES (?)", [(noise.randbytes(4000),) for _ in range(5000)])
        twins.execute("DELETE FROM t WHERE id % 5 = ?", (noise.randrange(5),))
    return twins


Copy = Callable[[apsw.Connection, str], None]


def into(connection: apsw.Connection, target: str) -> None:
    connection.execute("VACUUM INTO ?", (target,))


def backup(connection: apsw.Connection, target: str) -> None:
    with closing(apsw.Connection(target, flags=FLAGS)) as opened:
        copy_by_backup(connection, opened)


@pytest.mark.parametrize("copy", [into, backup])
def test_whole_copies_in_every_direction(
    tmp_path: Path, store: ObjectStore, twins_over: MakeTwins, copy: Copy
) -> None:
    twins = filled(twins_over, store)
    expected, written = tmp_path / "expected", tmp_path / "written"
    plain = apsw.Connection(str(twins.path), flags=FLAGS)
    ours = apsw.Connection(twins.name, flags=FLAGS, vfs=twins.vfs.name)
    copy(plain, f"file:{expected}")

    copy(ours, f"file:{written}?vfs={apsw.vfs_names()[0]}")     # or it would be one of ours, too
    assert filecmp.cmp(written, expected, shallow=False)
    for number, source in enumerate((plain, ours)):
        copy(source, f"file:{twins.name}-copy-{number}?vfs={twins.vfs.name}")
        assert same_bytes(twins.vfs.serialize_iter(f"{twins.name}-copy-{number}"), expected)
    plain.close()
    ours.close()


def test_a_backup_over_a_live_database_in_both_directions(
    store: ObjectStore, twins_over: MakeTwins
) -> None:
    """The counters of what is replaced go on, so only the content is the same; open readers notice."""
    twins = filled(twins_over, store)
    other = apsw.Connection(":memory:")
    other.execute("PRAGMA page_size = 8192; CREATE TABLE new (id INTEGER PRIMARY KEY, v)")
    other.execute("WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
                  "INSERT INTO new SELECT i, hex(i * 7919) FROM n")
    reader = apsw.Connection(twins.name, vfs=twins.vfs.name)
    before = digest(twins.plain.execute("SELECT * FROM t"))
    assert digest(reader.execute("SELECT * FROM t")) == before
    rows = digest(other.execute("SELECT * FROM new"))

    reader.execute("BEGIN; SELECT count(*) FROM t")
    copy_by_backup(other, twins.ours)
    assert digest(reader.execute("SELECT * FROM t")) == before
    reader.execute("COMMIT")

    for connection in (reader, twins.ours):
        assert connection.pragma("integrity_check") == "ok"
        assert digest(connection.execute("SELECT * FROM new")) == rows
        assert connection.pragma("page_size") == 8192
    back = apsw.Connection(":memory:")
    copy_by_backup(reader, back)
    assert digest(back.execute("SELECT * FROM new")) == rows
    reader.close()

"""The writes and transfers that are measured, for this library, its ancestor and local SQLite.

Each case prepares what it needs and hands the rest to ``measured``. Names: what is done, then by whom:
``ours`` (whichever ``sqlite_s3vfs`` is installed: the ancestor's environment runs the same cases),
``local`` (SQLite on a local file, then boto3's ``upload_file``), ``raw`` (requests of 4 MiB without any
library).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from botocore.exceptions import ClientError

import sqlite_s3vfs
from benchmarks.dataset import Row, random_rows

MIB = 1 << 20
CHUNK = 4 * MIB
NAME = "bulk/db.sqlite"
RAW = "raw"
MANIFEST = 40 << 10
_POOL = 16 * MIB


@dataclass(frozen=True, slots=True)
class Bench:
    """What a case works with; ``size`` is in the case's own unit."""

    bucket: Any
    size: int
    folder: str
    measured: Callable[[Callable[[], None]], None]

    def connect(self) -> apsw.Connection:
        """A connection through a new VFS."""
        return apsw.Connection(NAME, vfs=self.vfs().name)

    def vfs(self) -> Any:
        """A new VFS with all defaults."""
        _KEPT.append(sqlite_s3vfs.S3VFS(bucket=self.bucket))
        return _KEPT[-1]

    def local(self) -> apsw.Connection:
        """A connection to a fresh local file."""
        return apsw.Connection(str(Path(self.folder) / "local.sqlite"))

    def upload_file(self) -> None:
        """What a user without this library does next."""
        self.bucket.upload_file(str(Path(self.folder) / "local.sqlite"), "local.sqlite")


_KEPT: list[Any] = []
"""The ancestor's VFS objects go when nothing refers to them."""


def noise(size: int) -> Iterator[bytes]:
    """``size`` bytes that no compression makes smaller, in chunks of 4 MiB, no two of them equal."""
    pool = random.Random(1).randbytes(_POOL)
    chance = random.Random(2)
    for done in range(0, size, CHUNK):
        start = chance.randrange(_POOL - CHUNK)
        yield pool[start : start + min(CHUNK, size - done)]


def noisy_database(size: int) -> Iterator[bytes]:
    """The bytes of a database that SQLite opens, whose pages but the first are noise."""
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t(a)")
    page = bytearray(connection.serialize("main")[:4096])
    page[28:32] = (size // 4096).to_bytes(4, "big")
    chunks = noise(size)
    first = bytearray(next(chunks))
    first[:4096] = page
    yield bytes(first)
    yield from chunks


def raw_puts(bench: Bench) -> None:
    """The bytes as objects of 4 MiB, as many at once as the client has connections."""
    client, name = bench.bucket.meta.client, bench.bucket.name

    def put(index: int, body: bytes) -> None:
        client.put_object(Bucket=name, Key=f"{RAW}/{index:06d}", Body=bytearray(body))

    def run() -> None:
        workers = client.meta.config.max_pool_connections
        with ThreadPoolExecutor(workers) as pool:
            waiting = []
            for index, body in enumerate(noise(bench.size * MIB)):
                waiting.append(pool.submit(put, index, body))
                if len(waiting) > 2 * workers:
                    waiting.pop(0).result()
            for future in waiting:
                future.result()

    bench.measured(run)


def raw_gets(bench: Bench) -> None:
    """The same objects back, in the same way."""
    client, name = bench.bucket.meta.client, bench.bucket.name

    def get(index: int) -> int:
        return len(client.get_object(Bucket=name, Key=f"{RAW}/{index:06d}")["Body"].read())

    def run() -> None:
        with ThreadPoolExecutor(client.meta.config.max_pool_connections) as pool:
            assert sum(pool.map(get, range(bench.size * MIB // CHUNK))) == bench.size * MIB

    bench.measured(run)


def import_ours(bench: Bench) -> None:
    """``deserialize_iter`` to a new name."""
    vfs = bench.vfs()
    bench.measured(lambda: vfs.deserialize_iter(NAME, noisy_database(bench.size * MIB)))


def export_ours(bench: Bench) -> None:
    """``serialize_iter`` of that."""
    vfs = bench.vfs()

    def run() -> None:
        assert sum(map(len, vfs.serialize_iter(NAME))) == bench.size * MIB

    bench.measured(run)


def export_fileobj_ours(bench: Bench) -> None:
    """``serialize_fileobj`` into boto3's ``upload_fileobj``."""
    vfs = bench.vfs()
    bench.measured(
        lambda: bench.bucket.upload_fileobj(vfs.serialize_fileobj(key_prefix=NAME), "copy.sqlite")
    )


def build_ours(bench: Bench) -> None:
    """``size`` MiB of incompressible rows, in one transaction."""
    connection = bench.connect()
    bench.measured(lambda: _build(connection, bench.size))


def build_local(bench: Bench) -> None:
    """The same rows into a local file, then ``upload_file``."""
    connection = bench.local()

    def run() -> None:
        _build(connection, bench.size)
        connection.close()
        bench.upload_file()

    bench.measured(run)


def _build(connection: apsw.Connection, mib: int) -> None:
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)")
    starts = range(0, CHUNK, 1024)
    rows = ((chunk[start : start + 960],) for chunk in noise(mib * MIB) for start in starts)
    with connection:
        connection.executemany("INSERT INTO t(body) VALUES (?)", rows)


def insert_ours(bench: Bench) -> None:
    """``size`` rows of text with an index on random keys, in one transaction."""
    connection = bench.connect()
    bench.measured(lambda: _insert(connection, bench.size, commits=1))


def insert_local(bench: Bench) -> None:
    """The same into a local file, then ``upload_file``."""
    connection = bench.local()

    def run() -> None:
        _insert(connection, bench.size, commits=1)
        connection.close()
        bench.upload_file()

    bench.measured(run)


def insert_in_parts_ours(bench: Bench) -> None:
    """The same in transactions of a thousand rows."""
    connection = bench.connect()
    bench.measured(lambda: _insert(connection, bench.size, commits=bench.size // 1000))


def insert_in_parts_local(bench: Bench) -> None:
    """The same on a local file, and one upload at the end: what was committed before is not safe."""
    connection = bench.local()

    def run() -> None:
        _insert(connection, bench.size, commits=bench.size // 1000)
        connection.close()
        bench.upload_file()

    bench.measured(run)


def insert_in_parts_safe_local(bench: Bench) -> None:
    """The same on a local file that is uploaded after each transaction: as safe as a commit here."""
    connection = bench.local()
    bench.measured(
        lambda: _insert(
            connection, bench.size, commits=bench.size // 1000, after_each=bench.upload_file
        )
    )


def insert_more_ours(bench: Bench) -> None:
    """``size`` transactions of a thousand rows more, on top of what the insert left."""
    connection = bench.connect()
    bench.measured(lambda: _insert_more(connection, bench.size))


def insert_more_safe_local(bench: Bench) -> None:
    """The same on a local file of a million rows that is uploaded after each transaction."""
    connection = bench.local()
    _insert(connection, 1_000_000, commits=1)
    bench.measured(lambda: _insert_more(connection, bench.size, after_each=bench.upload_file))


def _insert(
    connection: apsw.Connection,
    count: int,
    *,
    commits: int,
    after_each: Callable[[], None] = lambda: None,
) -> None:
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v TEXT)")
    connection.execute("CREATE INDEX t_k ON t(k)")
    rows = random_rows(1, first_id=1)
    for _ in range(commits):
        _insert_next(connection, rows, count // commits)
        after_each()


def _insert_more(
    connection: apsw.Connection, commits: int, *, after_each: Callable[[], None] = lambda: None
) -> None:
    rows = random_rows(2, first_id=connection.execute("SELECT max(id) + 1 FROM t").get)
    for _ in range(commits):
        _insert_next(connection, rows, 1000)
        after_each()


def _insert_next(connection: apsw.Connection, rows: Iterator[Row], count: int) -> None:
    with connection:
        connection.executemany(
            "INSERT INTO t VALUES (?, ?, ?)", (next(rows) for _ in range(count))
        )


def commits_ours(bench: Bench) -> None:
    """``size`` commits of one random row each, in a table of a hundred times as many."""
    connection = bench.connect()
    count = 100 * bench.size
    _insert(connection, count, commits=1)
    ids = random.Random(3)
    row = random_rows(4, first_id=1)

    def run() -> None:
        for _ in range(bench.size):
            _, key, value = next(row)
            changed: Row = (ids.randint(1, count), key, value)
            connection.execute("UPDATE t SET k = ?2, v = ?3 WHERE id = ?1", changed)

    bench.measured(run)


def far_commits_ours(bench: Bench) -> None:
    """The same from a store that is far away."""
    commits_ours(bench)


def raw_commits(bench: Bench) -> None:
    """The two requests of a commit and nothing else: what is new, and the answer to it.

    Each object has the size that a manifest of those commits has in the middle between two folds.
    """
    client, name = bench.bucket.meta.client, bench.bucket.name
    place = {"Bucket": name, "Key": RAW}
    body = bytearray(random.Random(6).randbytes(MANIFEST))
    tag = client.put_object(**place, Body=body)["ETag"]

    def run() -> None:
        nonlocal tag
        for number in range(bench.size):
            try:
                client.get_object(**place, IfNoneMatch=tag)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 304:
                    raise
            else:
                raise RuntimeError("nothing is new, and it was not answered by 304.")
            body[:8] = number.to_bytes(8, "big")
            tag = client.put_object(**place, Body=body, IfMatch=tag)["ETag"]

    bench.measured(run)


def far_raw_commits(bench: Bench) -> None:
    """The same from a store that is far away."""
    raw_commits(bench)


def updates_ours(bench: Bench) -> None:
    """``size`` random rows of what the build left, in transactions of 100."""
    connection = bench.connect()
    count = connection.execute("SELECT max(id) FROM t").get
    chance = random.Random(5)

    def run() -> None:
        for _ in range(0, bench.size, 100):
            with connection:
                connection.executemany(
                    "UPDATE t SET body = ?2 WHERE id = ?1",
                    ((chance.randint(1, count), chance.randbytes(960)) for _ in range(100)),
                )

    bench.measured(run)


def vacuum_ours(bench: Bench) -> None:
    """``VACUUM`` of what the build left."""
    connection = bench.connect()
    bench.measured(lambda: list(connection.execute("VACUUM")))


CASES: dict[str, Callable[[Bench], None]] = {
    case.__name__: case
    for case in (
        raw_puts,
        raw_gets,
        import_ours,
        export_ours,
        export_fileobj_ours,
        build_ours,
        build_local,
        insert_ours,
        insert_local,
        insert_in_parts_ours,
        insert_in_parts_local,
        insert_in_parts_safe_local,
        insert_more_ours,
        insert_more_safe_local,
        commits_ours,
        far_commits_ours,
        raw_commits,
        far_raw_commits,
        updates_ours,
        vacuum_ours,
    )
}

"""The past of a database with as many blocks as one of 1 GiB has, in requests."""

from __future__ import annotations

from dataclasses import dataclass

import apsw
import pytest

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.past import Moment, fork, open_at, restore
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

SETTINGS = Settings(block_size=512)
BLOCKS = 16_384
OLD, NEWEST = 3, 8


@dataclass
class Large:
    """What lies there, and what its old version holds."""

    store: MemoryObjectStore
    rows: list[object]

    def process(self) -> tuple[Database, list[object]]:
        """A process that knows nothing, and the requests that it makes."""
        database = Database(Engine(self.store, SETTINGS), "db")
        database.engine.conditions_proven = True
        requests: list[object] = []
        database.engine.store.on_request = requests.append
        return database, requests

    def rows_of(self, name: str) -> list[object]:
        vfs = S3VFS(self.store)
        connection = apsw.Connection(name, vfs=vfs.name)
        try:
            return connection.execute("select * from t").fetchall()
        finally:
            connection.close()
            vfs.close()


@pytest.fixture(scope="module")
def large() -> Large:
    plain = apsw.Connection(":memory:")
    plain.execute(
        "pragma page_size = 512; create table t(id integer primary key, body);"
        "create table filler(body); insert into t values(0, zeroblob(100))"
    )
    plain.execute("insert into filler values(zeroblob(?))", ((BLOCKS - 800) * 508,))
    image = plain.serialize("main")
    store = MemoryObjectStore()
    vfs = S3VFS(store, settings=SETTINGS)
    vfs.deserialize_iter("db", [image])
    connection = apsw.Connection("db", vfs=vfs.name)
    rows: list[object] = []
    for version in range(2, NEWEST + 1):
        connection.execute("insert into t values(?, zeroblob(40000))", (version,))
        if version == OLD:
            rows = connection.execute("select * from t").fetchall()
    assert connection.execute("pragma s3vfs_version").get == str(NEWEST)
    (pages,) = connection.execute("pragma page_count").fetchone()
    assert BLOCKS - 300 < pages <= BLOCKS
    connection.close()
    vfs.close()
    return Large(store, rows)


def test_an_old_version_is_forked_in_ten_requests(large: Large):
    database, requests = large.process()

    fork(database, Database(database.engine, "child"), Moment(version=OLD))

    assert len(requests) <= 10
    assert large.rows_of("child") == large.rows


def test_an_old_version_is_restored_in_ten_requests(large: Large):
    database, requests = large.process()

    restore(database, Moment(version=OLD))

    assert len(requests) <= 10
    assert large.rows_of("db") == large.rows


def test_an_old_version_is_opened_with_two_requests_more(large: Large):
    """The listing goes along with the first one: one round trip."""
    database, requests = large.process()

    snapshot = open_at(database, Moment(version=OLD))

    assert len(requests) <= 3
    assert snapshot.version == OLD

"""A tiny database in a bucket, made by the engine: the worked example of docs/format.md.

Two pages of 512 bytes. Version 1 makes a table, a fold moves its pages into a segment, and version 2
inserts a row and adopts the fold. Another of the same kind begins as a database of sqlite-s3vfs 0.0.x.
"""

from __future__ import annotations

import apsw

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.testing import ManualClock, SeededIds

PREFIX = "db"
PAGE_SIZE = 512
OLD_BLOCK_SIZE = 512
CHANGE_COUNTER, VALID_FOR, SQLITE_VERSION = slice(24, 28), slice(92, 96), slice(96, 100)


def images() -> list[bytes]:
    """The SQLite file after each of the two commits."""
    connection = apsw.Connection(":memory:")
    connection.execute(f"pragma page_size = {PAGE_SIZE}")
    made = []
    for counter, statement in enumerate(("create table t(a)", "insert into t values ('hello')"), 1):
        connection.execute(statement)
        image = bytearray(connection.serialize("main"))
        image[CHANGE_COUNTER] = image[VALID_FOR] = counter.to_bytes(4, "big")     # as on a disk
        image[SQLITE_VERSION] = (3050000).to_bytes(4, "big")      # else it is that of today's SQLite
        made.append(bytes(image))
    connection.close()
    return made


def objects_of_example() -> dict[str, bytes]:
    """The bucket after the second commit."""
    store, database = _database()
    first, second = images()
    _commit(database, b"", first)
    database.fold()
    _commit(database, first, second)
    return _objects(store)


def objects_of_adoption() -> dict[str, bytes]:
    """The bucket after the first commit on a database of sqlite-s3vfs 0.0.x."""
    store, database = _database()
    first, second = images()
    for index in range(len(first) // OLD_BLOCK_SIZE):
        store.put(f"{PREFIX}/{index:010d}", first[index * OLD_BLOCK_SIZE :][:OLD_BLOCK_SIZE])
    _commit(database, first, second)
    return _objects(store)


def _database() -> tuple[MemoryObjectStore, Database]:
    clock = ManualClock(start=1_763_000_000)
    store = MemoryObjectStore(clock=clock, ids=SeededIds("store"))
    settings = Settings(block_size=1024, writer="example")
    engine = Engine(store, settings, pool=InlinePool(), clock=clock, ids=SeededIds("example"))
    engine.conditions_proven = True
    return store, Database(engine, PREFIX)


def _commit(database: Database, old: bytes, new: bytes) -> None:
    transaction = database.begin(database.snapshot())
    try:
        for offset in range(0, len(new), PAGE_SIZE):
            page = new[offset : offset + PAGE_SIZE]
            if page != old[offset : offset + PAGE_SIZE]:
                transaction.write(offset, page)
        transaction.commit(len(new))
    finally:
        transaction.close()


def _objects(store: MemoryObjectStore) -> dict[str, bytes]:
    found = {row.key: store.get(row.key) for row in store.list("")}
    return {key: value.body for key, value in found.items() if isinstance(value, Fetched)}

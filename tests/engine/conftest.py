"""Plain SQLite files to store, and databases over each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.wiring import Database, Engine, open_database

OpenDatabase = Callable[..., Database]


@pytest.fixture
def plain_file(tmp_path: Path) -> Callable[..., bytes]:
    """Call it for the bytes of a SQLite file with ``rows`` rows."""

    def make(rows: int = 2000, page_size: int = 4096, *, wal: bool = False) -> bytes:
        path = tmp_path / f"plain-{rows}-{page_size}-{wal}.sqlite"
        connection = apsw.Connection(str(path))
        connection.execute(f"PRAGMA page_size={page_size}")
        if wal:
            connection.execute("PRAGMA journal_mode=wal").fetchall()
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)")
        connection.execute("CREATE INDEX by_body ON t(body)")
        with connection:
            connection.executemany(
                "INSERT INTO t(body) VALUES(?)", ((f"{i * 7919 % 10007:06d}" * 8,) for i in range(rows))
            )
        connection.close()
        return path.read_bytes()

    return make


@pytest.fixture
def open_engine(any_store: ObjectStore) -> Iterator[Callable[..., Engine]]:
    """Call it for one more engine, as another process would have it, over the same store."""
    engines = []

    def make(**values: object) -> Engine:
        engine = Engine(any_store, Settings(**values))  # type: ignore[arg-type]
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def open_db(open_engine: Callable[..., Engine], prefix: str) -> OpenDatabase:
    """Call it for the test's database in an engine of its own."""
    return lambda **values: open_database(open_engine(**values), f"{prefix}db.sqlite")

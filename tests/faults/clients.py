"""Who makes the commits: the engine alone, or SQLite through the VFS."""

from __future__ import annotations

import itertools

import apsw

from faults.kinds import Kind, run_script
from faults.trials import NAME, content_of, dump, engine_on, tables
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.format.sqlite_header import parse_header
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import ManualClock, SeededIds
from sqlite_s3vfs.transfer import deserialize_iter
from sqlite_s3vfs.vfs.s3vfs import S3VFS


class EngineClient:
    """A client of the engine alone."""

    def __init__(self, store: ObjectStore, settings: Settings, *, seed: str, proven: bool) -> None:
        engine = engine_on(store, settings, seed)
        engine.conditions_proven = proven
        self._database = Database(engine, NAME)

    def run(self, kind: Kind, scripts: slice) -> None:
        images = kind.images[:-1]
        for old, new in list(itertools.pairwise(images))[scripts]:
            self._write(old, new, drafts=False)

    def fold(self) -> None:
        self._database.fold()

    def change(self, kind: Kind) -> None:
        old, new = kind.images[-2:]
        if kind.how == "deserialize":
            deserialize_iter(self._database, [new[:1000], new[1000:]])
        else:
            self._write(old, new, drafts=kind.drafts)

    def sees(self, content: bytes) -> bool:
        return content_of(self._database) == content

    def follow_up(self) -> None:
        """Count up a number that SQLite never looks at."""
        snapshot = self._database.snapshot()
        page = bytearray(snapshot.read(0, snapshot.page_size or 4096))
        if not page:
            page = bytearray(SMALLEST)
        page[60:64] = (user_version(bytes(page)) + 1).to_bytes(4, "big")
        transaction = self._database.begin(snapshot)
        try:
            transaction.write(0, bytes(page))
            transaction.commit(transaction.size)
        finally:
            transaction.close()

    def close(self) -> None:
        self._database.close()

    def _write(self, old: bytes, new: bytes, *, drafts: bool) -> None:
        if old == new:
            return
        header = parse_header(new[:100])
        assert header is not None
        size = header.page_size
        transaction = self._database.begin(self._database.snapshot())
        try:
            for offset in range(0, len(new) if drafts else 0, size):
                transaction.write(offset, bytes(new[offset : offset + size][::-1]))
            for offset in range(0, len(new), size):
                page = new[offset : offset + size]
                if drafts or page != old[offset : offset + size]:
                    transaction.write(offset, page)
            transaction.commit(len(new))
        finally:
            transaction.close()


class SQLClient:
    """A connection through the VFS."""

    def __init__(self, store: ObjectStore, settings: Settings, *, seed: str, proven: bool) -> None:
        self._vfs = S3VFS(store, settings=settings)
        engine = self._vfs._engine
        engine.conditions_proven = proven
        engine.pool, engine.clock, engine.ids = InlinePool(), ManualClock(), SeededIds(seed)
        self._connection: apsw.Connection | None = None

    @property
    def connection(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = apsw.Connection(NAME, vfs=self._vfs.name)
        return self._connection

    def run(self, kind: Kind, scripts: slice) -> None:
        for script in kind.before[scripts]:
            run_script(self.connection, script)

    def fold(self) -> None:
        self._vfs._databases.database(NAME).fold()

    def change(self, kind: Kind) -> None:
        if kind.how == "deserialize":
            new = kind.images[-1]
            self._vfs.deserialize_iter(NAME, [new[:1000], new[1000:]])
        else:
            run_script(self.connection, kind.change)

    def sees(self, content: bytes) -> bool:
        if self.connection.in_transaction:
            self.connection.execute("rollback")
        (number,) = self.connection.execute("pragma user_version").fetchone()
        return number == user_version(content) and dump(self.connection) == tables(content)

    def follow_up(self) -> None:
        (count,) = self.connection.execute("pragma user_version").fetchone()
        self.connection.execute(f"pragma user_version = {count + 1}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._vfs.close()


def user_version(content: bytes) -> int:
    """https://www.sqlite.org/fileformat2.html#user_version_number"""
    return int.from_bytes(content[60:64], "big")


def smallest_database() -> bytes:
    connection = apsw.Connection(":memory:")
    connection.execute("pragma user_version = 1")
    image = connection.serialize("main")
    connection.close()
    return image


SMALLEST = smallest_database()

"""The same statements on a plain SQLite file and on ours: the bytes have to be the same in the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import apsw

from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.store.port import Fetched, ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

MakeVFS = Callable[[], S3VFS]


class Twins:
    """``plain`` is a file of SQLite's own, ``ours`` the database ``name`` in ``store``."""

    def __init__(self, path: Path, store: ObjectStore, name: str, make_vfs: MakeVFS) -> None:
        self.path = path
        self.name = name
        self.vfs = make_vfs()
        self._store = store
        self._make_vfs = make_vfs
        self._open()
        self.execute("PRAGMA synchronous = OFF")

    @property
    def both(self) -> tuple[apsw.Connection, apsw.Connection]:
        return self.plain, self.ours

    def execute(self, sql: str, bindings: Sequence[object] = ()) -> None:
        """Run one or more statements on both; what they answer is the same."""
        plain, ours = (connection.execute(sql, bindings).fetchall() for connection in self.both)
        assert plain == ours, sql

    def insert(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement many times, in one transaction."""
        rows = list(rows)
        for connection in self.both:
            with connection:
                connection.executemany(sql, rows)

    def reopen(self) -> None:
        """Go on with new connections, ours through a VFS that has seen nothing."""
        self.close()
        self.vfs = self._make_vfs()
        self._open()
        self.execute("PRAGMA synchronous = OFF")

    def check(self, tables: Sequence[str] = ()) -> None:
        """A process that has seen nothing finds what the plain file holds, bytes and rows.

        The rows of ``tables``, or of all of them.
        """
        assert not any(connection.in_transaction for connection in self.both)
        vfs = self._make_vfs()
        assert same_bytes(vfs.serialize_iter(self.name), self.path)
        fresh = apsw.Connection(self.name, vfs=vfs.name)
        assert fresh.pragma("integrity_check") == "ok"
        found = self.plain.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for table in tables or [name for (name,) in found]:
            sql = f'SELECT * FROM "{table}"'
            assert digest(fresh.execute(sql)) == digest(self.plain.execute(sql))
        fresh.close()
        vfs.close()

    def manifest(self) -> tuple[Manifest, int]:
        """The newest manifest, and its size in bytes."""
        found = self._store.get(f"{self.name}/manifest")
        assert isinstance(found, Fetched)
        return decode_manifest(found.body), len(found.body)

    def close(self) -> None:
        for connection in self.both:
            connection.close()
        self.vfs.close()

    def _open(self) -> None:
        self.plain = apsw.Connection(str(self.path))
        self.ours = apsw.Connection(self.name, vfs=self.vfs.name)


def digest(rows: Iterable[object]) -> str:
    """What rows hold, without keeping them."""
    hashed = hashlib.blake2b()
    for row in rows:
        hashed.update(repr(row).encode())
    return hashed.hexdigest()


def same_bytes(chunks: Iterable[bytes], path: Path) -> bool:
    """Whether ``chunks`` are the bytes of the file, compared piece by piece."""
    with path.open("rb") as file:
        return all(file.read(len(chunk)) == chunk for chunk in chunks) and not file.read(1)

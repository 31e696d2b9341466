"""Everything that one can do to a database through a VFS, each as a function of the VFS and a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import apsw

from errors.sample import plain_file
from sqlite_s3vfs.vfs.s3vfs import S3VFS

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


@dataclass(frozen=True, slots=True)
class Operation:
    """``code`` is SQLite's for an error that has none of its own; None where ours comes bare."""

    run: Callable[[S3VFS, str], object]
    code: int | None

    @property
    def code_at_begin(self) -> int | None:
        """The same where the transaction cannot even begin."""
        return apsw.SQLITE_IOERR_LOCK if self.code == apsw.SQLITE_IOERR_FSYNC else self.code


def connect(vfs: S3VFS, name: str, flags: int = _FLAGS) -> apsw.Connection:
    return apsw.Connection(name, vfs=vfs.name, flags=flags)


def uri(vfs: S3VFS, name: str, parameters: str = "") -> str:
    return f"file:{name}?vfs={vfs.name}{parameters}"


def _execute(sql: str) -> Callable[[S3VFS, str], object]:
    def run(vfs: S3VFS, name: str) -> object:
        connection = connect(vfs, name)
        try:
            return connection.execute(sql).fetchall()
        finally:
            assert not connection.in_transaction
            connection.close()

    return run


def _attach(vfs: S3VFS, name: str) -> object:
    memory = apsw.Connection(":memory:", flags=_FLAGS)
    memory.execute("ATTACH ? AS b", (uri(vfs, name),))
    return memory.execute("SELECT * FROM b.sqlite_schema").fetchall()


def _backup(source: apsw.Connection, target: apsw.Connection) -> None:
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(100)


def _backup_out(vfs: S3VFS, name: str) -> None:
    _backup(connect(vfs, name), apsw.Connection(":memory:"))


def _backup_in(vfs: S3VFS, name: str) -> None:
    _backup(_memory(), connect(vfs, name))


def _memory() -> apsw.Connection:
    memory = apsw.Connection(":memory:", flags=_FLAGS)
    memory.deserialize("main", plain_file())
    return memory


def _vacuum_into(vfs: S3VFS, name: str) -> None:
    _memory().execute("VACUUM INTO ?", (uri(vfs, name),))


def _open_without_create(vfs: S3VFS, name: str) -> object:
    connection = connect(vfs, name, apsw.SQLITE_OPEN_READONLY)
    return connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()


READING: Mapping[str, Operation] = {
    "select": Operation(_execute("SELECT * FROM sqlite_schema"), apsw.SQLITE_IOERR_LOCK),
    "integrity check": Operation(_execute("PRAGMA integrity_check"), apsw.SQLITE_IOERR_LOCK),
    "attach": Operation(_attach, apsw.SQLITE_IOERR_LOCK),
    "open without create": Operation(_open_without_create, apsw.SQLITE_CANTOPEN),
    "open immutable": Operation(
        lambda vfs, name: connect(vfs, uri(vfs, name, "&immutable=1")), apsw.SQLITE_CANTOPEN
    ),
    "pragma": Operation(_execute("PRAGMA s3vfs_version"), apsw.SQLITE_ERROR),
    "serialize": Operation(lambda vfs, name: b"".join(vfs.serialize_iter(name)), None),
    "serialize to a file": Operation(lambda vfs, name: vfs.serialize_fileobj(name).read(), None),
    "back up": Operation(_backup_out, apsw.SQLITE_IOERR_LOCK),
}
"""What reads only."""

WRITING: Mapping[str, Operation] = {
    "create": Operation(_execute("CREATE TABLE new (v)"), apsw.SQLITE_IOERR_FSYNC),
    "insert much": Operation(
        _execute("CREATE TABLE big AS SELECT zeroblob(300000) AS v"), apsw.SQLITE_IOERR_FSYNC
    ),
    "transaction": Operation(
        _execute("BEGIN IMMEDIATE; CREATE TABLE new (v); COMMIT"), apsw.SQLITE_IOERR_FSYNC
    ),
    "deserialize": Operation(lambda vfs, name: vfs.deserialize_iter(name, [plain_file()]), None),
    "restore a backup": Operation(_backup_in, apsw.SQLITE_IOERR_FSYNC),
}
"""What commits."""

MAKING: Mapping[str, Operation] = {"vacuum into": Operation(_vacuum_into, apsw.SQLITE_IOERR_FSYNC)}
"""What commits to a name that is new."""

"""The past of a database for those who use the VFS: ``S3VFS.past(key_prefix)``.

What ``sqlite_s3vfs.past`` offers, by keyword instead of by ``Moment``, and what takes SQLite besides:
row counts, and its own integrity check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import apsw

from sqlite_s3vfs import past
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.past import Moment
from sqlite_s3vfs.progress import OnProgress, no_progress

_FLAGS = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
_ORDINARY_TABLES = "select name from pragma_table_list where schema = 'main' and type = 'table'"


@dataclass(frozen=True, slots=True)
class TableDiff:
    """Rows of a table in the older and in the newer version; None where it does not exist."""

    table: str
    older: int | None
    newer: int | None


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """How two versions differ: the numbers of pages (from 1), and the tables with other row counts.

    ``tables`` is None where SQLite cannot read one of them.
    """

    older: int
    newer: int
    pages: tuple[int, ...]
    tables: tuple[TableDiff, ...] | None


class Past:
    """Versions of one database, and what keeps them. Each call is a request or more."""

    def __init__(self, vfs_name: str, database_of: Callable[[str], Database], prefix: str) -> None:
        self._vfs_name = vfs_name
        self._database_of = database_of
        self._prefix = prefix

    @property
    def _database(self) -> Database:
        return self._database_of(self._prefix)

    def log(self, limit: int | None = None) -> Iterator[past.LogEntry]:
        """The commits, newest first: ``sqlite_s3vfs.past.log``."""
        return past.log(self._database, limit=limit)

    def restore(
        self, *, version: int | None = None, at: str | None = None, checkpoint: str | None = None
    ) -> int:
        """Make a version the newest again; the number of the commit that does: ``past.restore``."""
        return past.restore(self._database, Moment(version, at, checkpoint)).version

    def create_checkpoint(
        self, name: str, *, version: int | None = None, at: str | None = None
    ) -> past.Checkpoint:
        """Name the newest version or another one, and keep it: ``past.checkpoint_create``."""
        return past.checkpoint_create(self._database, name, Moment(version, at))

    def checkpoints(self) -> tuple[past.Checkpoint, ...]:
        """The checkpoints by version: ``past.checkpoint_list``."""
        return past.checkpoint_list(self._database)

    def remove_checkpoint(self, name: str) -> None:
        """Remove a checkpoint: ``past.checkpoint_remove``."""
        past.checkpoint_remove(self._database, name)

    def fork(
        self,
        key_prefix: str,
        *,
        version: int | None = None,
        at: str | None = None,
        checkpoint: str | None = None,
    ) -> None:
        """Make ``key_prefix`` a database that starts as a version of this one: ``past.fork``."""
        child = self._database_of(key_prefix)
        past.fork(self._database, child, Moment(version, at, checkpoint))

    def remove(self, *, on_progress: OnProgress = no_progress) -> past.Removed:
        """Remove the database with its past and its checkpoints: ``past.remove``."""
        return past.remove(self._database, on_progress=on_progress)

    def diff(self, older: int | Moment, newer: int | Moment = past.NEWEST) -> VersionDiff:
        """Compare two versions (or one with the newest): their pages, and row counts by SQL.

        Raises:
            NotFoundError, SnapshotTooOldError, CorruptError: as ``past.diff``.
        """
        found = past.diff(self._database, _moment(older), _moment(newer))
        versions = (found.older.version, found.newer.version)
        try:
            before, after = (self._row_counts(version) for version in versions)
        except apsw.Error:
            return VersionDiff(*versions, found.pages, None)
        tables = (
            TableDiff(table, before.get(table), after.get(table)) for table in sorted({*before, *after})
        )
        changed = tuple(table for table in tables if table.older != table.newer)
        return VersionDiff(*versions, found.pages, changed)

    def verify(
        self, *, blocks: bool = True, on_progress: OnProgress = no_progress
    ) -> past.Verification:
        """Check all that is kept, to the last byte: ``past.verify``."""
        return past.verify(self._database, blocks=blocks, on_progress=on_progress)

    def integrity_check(self, *, version: int | None = None) -> list[str]:
        """What SQLite's own check complains of; reads the whole version. Empty where all is well.

        https://www.sqlite.org/pragma.html#pragma_integrity_check
        """
        connection = self._connection(version)
        try:
            found = [str(row[0]) for row in connection.execute("pragma integrity_check")]
        finally:
            connection.close()
        return [] if found == ["ok"] else found

    def collect(
        self,
        *,
        grace_seconds: int = 3600,
        dry_run: bool = False,
        on_progress: OnProgress = no_progress,
    ) -> past.Collection:
        """Delete what crashed writers left behind: ``past.collect``."""
        return past.collect(
            self._database, grace_seconds=grace_seconds, dry_run=dry_run, on_progress=on_progress
        )

    def _connection(self, version: int | None) -> apsw.Connection:
        query = f"vfs={self._vfs_name}" + ("" if version is None else f"&version={version}")
        return apsw.Connection(f"file:{quote(self._prefix)}?{query}", flags=_FLAGS)

    def _row_counts(self, version: int) -> dict[str, int]:
        connection = self._connection(version)
        try:
            names = [str(row[0]) for row in connection.execute(_ORDINARY_TABLES)]
            counts = {}
            for name in names:
                quoted = name.replace('"', '""')
                counts[name] = int(connection.execute(f'select count(*) from "{quoted}"').get)
            return counts
        finally:
            connection.close()


def _moment(value: int | Moment) -> Moment:
    return value if isinstance(value, Moment) else Moment(version=value)

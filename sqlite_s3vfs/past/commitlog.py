"""Who committed what, and when: the versions that can be read, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.format.manifest import Commit, Manifest
from sqlite_s3vfs.past.histories import Histories, histories_of, pinned_versions


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One commit. ``time_ms`` is the store's; ``size`` that of the file after it, ``pages`` written.

    ``restored`` is the version that it brought back, ``checkpoints`` are names given to it.
    """

    version: int
    commit_id: bytes
    time_ms: int
    writer: str
    size: int
    pages: int
    restored: int | None
    checkpoints: tuple[str, ...]


def log(database: Database, *, limit: int | None = None) -> Iterator[LogEntry]:
    """The commits that can be read, newest first, then those that only pins keep.

    1 conditional GET; 1 GET more for each history object that older ones are read from.

    Raises:
        NotFoundError: there is no such database. CorruptError: an object is damaged or gone.
    """
    return islice(_entries(histories_of(database)), limit)


def _entries(past: Histories) -> Iterator[LogEntry]:
    newest = past.newest
    restored = {row.version: row.restored for row in newest.restores}
    for commit in _commits(past):
        yield LogEntry(
            commit.version,
            commit.commit_id,
            commit.time_ms,
            commit.writer,
            commit.size,
            commit.pages,
            restored.get(commit.version),
            checkpoints_of(newest, commit.version),
        )


def checkpoints_of(manifest: Manifest, version: int) -> tuple[str, ...]:
    """The names of the checkpoints on a version."""
    return tuple(
        pin.name
        for pin in manifest.pins
        if pin.version == version and pin.name and pin.database_id == manifest.database_id
    )


def _commits(past: Histories) -> Iterator[Commit]:
    newest = past.newest
    kept = sorted(pinned_versions(newest))
    wanted = newest.version
    manifest = newest
    times: dict[int, int] = {}
    while wanted >= 1:
        if wanted < newest.oldest_readable:
            below = [version for version in kept if version <= wanted]
            if not below:
                return
            wanted = below[-1]
        if manifest.commits[0].version > wanted:
            # What serves the version after it knows its time as well, unless only a pin keeps it.
            known = wanted if wanted < newest.oldest_readable else wanted + 1
            manifest = past.serving(known, newest.database_id)
        times.update((commit.version, commit.time_ms) for commit in manifest.commits if commit.time_ms)
        index = wanted - manifest.commits[0].version
        if not 0 <= index < len(manifest.commits):
            return                  # what came before the first version of this database
        commit = manifest.commits[index]
        yield commit._replace(time_ms=commit.time_ms or times.get(wanted, 0))
        wanted -= 1

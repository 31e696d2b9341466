"""How long the past is kept: a property of the database."""

from __future__ import annotations

from dataclasses import replace

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.past.histories import head_of
from sqlite_s3vfs.past.maintenance import maintain
from sqlite_s3vfs.settings import RETENTION_SECONDS_MIN

FOREVER = 1 << 40
"""Seconds that stand for "for ever"."""


def retention(database: Database) -> int:
    """Seconds that a version stays readable after another has replaced it. 1 conditional GET.

    Raises:
        NotFoundError: there is no such database.
    """
    return head_of(database).manifest.retention_seconds


def set_retention(database: Database, seconds: int) -> None:
    """Keep versions for ``seconds`` from now on; what is gone stays gone. 1 GET, 1 PUT.

    Raises:
        InvalidArgumentError: less than a minute, or more than for ever.
        NotFoundError: there is no such database. CommitUnknownError: it may have been done.
    """
    check_retention(seconds)

    def change(base: Manifest) -> Manifest:
        return replace(base, retention_seconds=seconds)

    maintain(database, change, head=head_of(database))


def check_retention(seconds: int) -> None:
    """Whether versions can be kept for so long.

    Raises:
        InvalidArgumentError: less than a minute, or more than for ever.
    """
    if not RETENTION_SECONDS_MIN <= seconds <= FOREVER:
        raise InvalidArgumentError(
            f"retention is from {RETENTION_SECONDS_MIN} seconds to {FOREVER}, which is for ever. "
            f"seconds={seconds}"
        )

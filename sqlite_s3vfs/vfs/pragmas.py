"""``PRAGMA s3vfs_…``: questions about the database that a connection has open.

They are answered when a statement is prepared, EXPLAIN included
(https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html#sqlitefcntlpragma). Two of SQLite's own
pragmas are looked at as well: ``journal_mode=WAL``, which SQLite declines by itself here, and
``locking_mode=EXCLUSIVE``, which is refused.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import apsw

from sqlite_s3vfs.errors import InvalidArgumentError, ReadOnlyError
from sqlite_s3vfs.past import FOREVER, set_retention
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.vfs.session import Session

PREFIX = "s3vfs_"

_log = logging.getLogger(__name__)


def answer_pragma(session: Session, pragma: apsw.VFSFcntlPragma) -> bool:
    """Answer a pragma of ours; False leaves it to SQLite.

    Raises:
        InvalidArgumentError: one that does not exist, or a mode that cannot be had.
    """
    name, value = pragma.name.lower(), (pragma.value or "").lower()
    if name.startswith(PREFIX):
        pragma.result = _answer(session, name, value)
        return True
    if (name, value) == ("locking_mode", "exclusive"):
        raise InvalidArgumentError(
            "locking_mode=EXCLUSIVE cannot be had on a shared database: leave it at NORMAL. BEGIN "
            f"IMMEDIATE holds off the other writers of this process. name={session.name!r}"
        )
    if (name, value) == ("journal_mode", "wal"):
        _say_that_wal_is_not_used(session.database.engine.store.identity, session.name)
    return False


@lru_cache(maxsize=1024)
def _say_that_wal_is_not_used(store: str, name: str) -> None:
    """Once for each database: many programs ask for WAL whenever they connect."""
    _log.warning(
        "journal_mode=WAL is not used here and the mode stays as it was: leave the pragma out. "
        "Readers and writers do not block each other in any mode. store=%s name=%r", store, name,
    )


def _answer(session: Session, name: str, value: str) -> str:
    answer = ANSWERS.get(name)
    if answer is None:
        raise InvalidArgumentError(
            f"there is no such pragma; there are {', '.join(sorted(ANSWERS))}. pragma={name!r}"
        )
    setter = SETTERS.get(name)
    if value and setter:
        if session.read_only:
            raise ReadOnlyError(f"the database was opened for reading. name={session.name!r}")
        setter(session, value)
    elif value:
        raise InvalidArgumentError(f"this pragma takes no value. pragma={name!r} value={value!r}")
    return answer(session)


def _version(session: Session) -> str:
    return str(_visible(session).version)


def _commit_id(session: Session) -> str:
    manifest = _visible(session).manifest
    return manifest.commit_id.hex() if manifest else ""


def _block_size(session: Session) -> str:
    manifest = _visible(session).manifest
    return str(manifest.block_size if manifest else session.database.engine.settings.block_size)


def _retention(session: Session) -> str:
    manifest = session.database.snapshot().manifest
    return str(manifest.retention_seconds)


def _set_retention(session: Session, value: str) -> None:
    if value != "forever" and not re.fullmatch(r"[0-9]{1,15}", value):
        raise InvalidArgumentError(
            f"retention is a number of seconds, or 'forever'. value={value!r}"
        )
    set_retention(session.database, FOREVER if value == "forever" else int(value))


def _stats(session: Session) -> str:
    return json.dumps(session.database.engine.metrics.snapshot().as_dict())


def _visible(session: Session) -> Snapshot:
    """What the open transaction reads; outside one the newest version, for 1 conditional GET."""
    return session.state.snapshot or session.database.snapshot()


ANSWERS: Mapping[str, Callable[[Session], str]] = {
    "s3vfs_block_size": _block_size,
    "s3vfs_commit_id": _commit_id,
    "s3vfs_retention": _retention,
    "s3vfs_stats": _stats,
    "s3vfs_version": _version,
}
"""``version`` and ``commit_id`` name what the open transaction reads, or else the newest version;
``block_size`` is the database's, in bytes; ``retention`` its seconds that a version is kept after it was
replaced; ``stats`` counts the requests of the VFS, as JSON."""

SETTERS: Mapping[str, Callable[[Session, str], None]] = {"s3vfs_retention": _set_retention}
"""Those that take a value; the answer is the new one."""

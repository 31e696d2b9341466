"""Our errors as SQLite result codes: one table, and the two rules about where a code may be raised.

**BUSY codes are raised in two places only**: in ``xLock``, where SQLite's busy handler listens, and
at ``FCNTL_SYNC`` before anything was published, where SQLite rolls back cleanly. Anywhere else SQLite
ignores or repeats the call, and the error still reaches the application: a commit that happened would
be reported as failed.

**Phase two raises only codes of the IOERR family.** By then SQLite believes in the commit; an I/O
error is what makes it drop its page cache with the pages that were never committed
(https://www.sqlite.org/rescode.html#ioerr).

A store that is not there at the commit is "busy" to SQLite: nothing was committed, the transaction
stays open and ``COMMIT`` may be repeated (https://www.sqlite.org/lang_transaction.html#immediate).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import apsw

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    CommitUnknownError,
    ConflictError,
    CorruptError,
    InvalidArgumentError,
    NotFoundError,
    PartialCommitError,
    ReadOnlyError,
    S3VFSError,
    SnapshotTooOldError,
    StoreUnavailableError,
    UnsafeStoreError,
    UnsupportedFormatError,
    WriteLockHeldError,
)


class Place(Enum):
    """Where SQLite is when we fail; the value is the code for errors that have none of their own."""

    OPEN = apsw.SQLITE_CANTOPEN
    LOCK = apsw.SQLITE_IOERR_LOCK
    READ = apsw.SQLITE_IOERR_READ
    WRITE = apsw.SQLITE_IOERR_WRITE
    SYNC = apsw.SQLITE_IOERR_FSYNC
    PHASE_TWO = apsw.SQLITE_IOERR_COMMIT_ATOMIC
    PRAGMA = apsw.SQLITE_ERROR


CODES: dict[type[S3VFSError], int | None] = {
    S3VFSError: None,
    ConflictError: apsw.SQLITE_BUSY_SNAPSHOT,
    WriteLockHeldError: apsw.SQLITE_BUSY,
    NotFoundError: None,
    SnapshotTooOldError: None,
    InvalidArgumentError: None,
    ReadOnlyError: apsw.SQLITE_READONLY,
    AccessDeniedError: apsw.SQLITE_PERM,
    CorruptError: apsw.SQLITE_CORRUPT,
    UnsupportedFormatError: apsw.SQLITE_NOTADB,
    UnsafeStoreError: apsw.SQLITE_PROTOCOL,
    PartialCommitError: apsw.SQLITE_IOERR_COMMIT_ATOMIC,
    StoreUnavailableError: None,
    CommitUnknownError: apsw.SQLITE_IOERR_FSYNC,
}
"""The code of each class; None: the place's own."""

_MAY_BE_BUSY = frozenset({Place.LOCK, Place.SYNC})


def result_code(error: S3VFSError, place: Place) -> int:
    """The extended result code that SQLite gets for ``error`` raised at ``place``."""
    kind = next(kind for kind in type(error).__mro__ if kind in CODES)
    if place is Place.SYNC and kind is StoreUnavailableError:
        return apsw.SQLITE_BUSY
    code, own = CODES[kind], int(place.value)
    if code is None:
        return own
    primary = code & 0xFF
    if primary == apsw.SQLITE_BUSY and place not in _MAY_BE_BUSY:
        return own
    if place is Place.PHASE_TWO and primary != apsw.SQLITE_IOERR:
        return own
    return code


def sqlite_error(error: S3VFSError, place: Place) -> Exception:
    """What to raise *from* ``error``: APSW's exception for its code, with its message."""
    code = result_code(error, place)
    translated = apsw.exception_for(code)
    translated.args = (str(error),)
    return translated


@contextmanager
def sqlite_errors(place: Place) -> Iterator[None]:
    """Turn our errors into SQLite's; the cause stays chained."""
    try:
        yield
    except S3VFSError as error:
        raise sqlite_error(error, place) from error

"""Exit codes that scripts can rely on: one for each thing that the caller does next."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import apsw

from sqlite_s3vfs import errors


class Exit(IntEnum):
    """The code with which the program ends; docs/command-line.md tells what each means."""

    DONE = 0
    FOUND = 1
    USAGE = 2
    MISSING = 3
    DENIED = 4
    UNAVAILABLE = 5
    CONFLICT = 6
    CORRUPT = 7
    UNKNOWN = 8
    UNSAFE = 9
    SQL = 10
    DECLINED = 11
    LOCAL_FILE = 12
    BUG = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141


# The first row that fits.
_EXITS: tuple[tuple[type[BaseException], Exit], ...] = (
    (errors.CommitUnknownError, Exit.UNKNOWN),
    (errors.PartialCommitError, Exit.UNKNOWN),
    (errors.NotFoundError, Exit.MISSING),
    (errors.AccessDeniedError, Exit.DENIED),
    (errors.ReadOnlyError, Exit.DENIED),
    (errors.ConflictError, Exit.CONFLICT),
    (errors.WriteLockHeldError, Exit.CONFLICT),
    (errors.CorruptError, Exit.CORRUPT),
    (errors.UnsafeStoreError, Exit.UNSAFE),
    (errors.StoreUnavailableError, Exit.UNAVAILABLE),
    (errors.InvalidArgumentError, Exit.USAGE),
    (apsw.ReadOnlyError, Exit.DENIED),
    (apsw.BusyError, Exit.CONFLICT),
    (apsw.CorruptError, Exit.CORRUPT),
    (apsw.Error, Exit.SQL),
    (BrokenPipeError, Exit.PIPE_CLOSED),
    (OSError, Exit.LOCAL_FILE),
    (KeyboardInterrupt, Exit.INTERRUPTED),
)


def exit_of(error: BaseException | None) -> Exit:
    """The exit code for an error: that of our own error behind it, where there is one."""
    ours = first_of_ours(error)
    found = ours if ours is not None else error
    return next((code for kind, code in _EXITS if isinstance(found, kind)), Exit.BUG)


def first_of_ours(error: BaseException | None) -> errors.S3VFSError | None:
    """The first error of this library in the chain of causes."""
    return next((e for e in _chain(error) if isinstance(e, errors.S3VFSError)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__

"""What can go wrong, sorted by what the caller does next.

    S3VFSError
    ├── ConflictError              another writer committed first: begin again
    ├── WriteLockHeldError         another connection of this process is writing: wait or give up
    ├── NotFoundError              no such bucket, database or version            (also LookupError)
    │   └── SnapshotTooOldError    a past that is no longer kept: read a newer version
    ├── InvalidArgumentError       fix the call                                   (also ValueError)
    ├── ReadOnlyError              opened for reading, a past version, or a newer release writes it
    ├── AccessDeniedError          the credentials lack a right: grant it         (also PermissionError)
    ├── CorruptError               stored bytes are not what was written: restore
    │   └── UnsupportedFormatError written by a newer release: upgrade
    ├── UnsafeStoreError           the store ignores conditional writes: another store, or locking="none"
    ├── PartialCommitError         of several attached databases some committed: look before retrying
    └── StoreUnavailableError      the store failed: the same call may be tried again
        └── CommitUnknownError     the answer was lost: it may or may not have happened

Messages are lower case: what happened, a full stop, then the facts as ``key=value`` and, where there is
one, the way out. The text of the cause is never repeated; it is chained. The class is API, the
message is not.
"""

from __future__ import annotations


class S3VFSError(Exception):
    """Base of every error that this library raises on its own account."""


class ConflictError(S3VFSError):
    """Another writer committed first; nothing of this transaction was committed."""


class WriteLockHeldError(S3VFSError):
    """Another connection of this process holds the write lock of the database."""


class NotFoundError(S3VFSError, LookupError):
    """There is no such bucket, database or version."""


class SnapshotTooOldError(NotFoundError):
    """The snapshot's objects fell out of retention while it was being read."""


class InvalidArgumentError(S3VFSError, ValueError):
    """An argument cannot be right: the call has to be changed."""


class ReadOnlyError(S3VFSError):
    """The database was opened for reading, is a past version, or only newer releases may write to it."""


class AccessDeniedError(S3VFSError, PermissionError):
    """The credentials do not carry the right that the operation needs."""


class CorruptError(S3VFSError):
    """Stored bytes are missing, damaged, foreign, or not what was written."""


class UnsupportedFormatError(CorruptError):
    """The object was written by a newer release of this library."""


class UnsafeStoreError(S3VFSError):
    """The store accepts conditional writes and ignores the condition."""


class PartialCommitError(S3VFSError):
    """Of several attached databases some were committed and another was refused."""


class StoreUnavailableError(S3VFSError):
    """The store did not answer, or answered that it cannot serve now."""


class CommitUnknownError(StoreUnavailableError):
    """No answer tells whether the commit happened; it may have. Never retried by this library."""


def unreadable(what: str, key: str, error: CorruptError) -> CorruptError:
    """The error for a stored object of which ``error`` says what is wrong: it names the object."""
    if isinstance(error, UnsupportedFormatError):
        return UnsupportedFormatError(
            f"{what} was written by a newer release: upgrade sqlite-s3vfs. key={key!r}"
        )
    return CorruptError(f"{what} cannot be read: restore the object from a copy. key={key!r}")

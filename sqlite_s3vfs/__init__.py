"""SQLite databases that live in S3.

    import apsw, boto3, sqlite_s3vfs

    bucket = boto3.resource("s3").Bucket("my-bucket")
    s3vfs = sqlite_s3vfs.S3VFS(bucket)
    connection = apsw.Connection("my/path/cool.sqlite", vfs=s3vfs.name)

or in one line: ``connection = sqlite_s3vfs.connect("s3://my-bucket/my/path/cool.sqlite")``.

The names in ``__all__``, and what ``sqlite_s3vfs.testing`` exports, are public; everything else may
change. Errors of this library are chained to those that APSW raises for them, as their ``__cause__``.
"""

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
from sqlite_s3vfs.metrics import MetricsSnapshot
from sqlite_s3vfs.progress import Progress
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.connect import connect
from sqlite_s3vfs.vfs.retry import run_transaction
from sqlite_s3vfs.vfs.s3vfs import S3VFS

__all__ = [
    "S3VFS",
    "AccessDeniedError",
    "CommitUnknownError",
    "ConflictError",
    "CorruptError",
    "DirectoryObjectStore",
    "InvalidArgumentError",
    "MemoryObjectStore",
    "MetricsSnapshot",
    "NotFoundError",
    "ObjectStore",
    "PartialCommitError",
    "Progress",
    "ReadOnlyError",
    "S3VFSError",
    "Settings",
    "SnapshotTooOldError",
    "StoreUnavailableError",
    "UnsafeStoreError",
    "UnsupportedFormatError",
    "WriteLockHeldError",
    "connect",
    "run_transaction",
]

__version__ = "1.0.0.dev0"

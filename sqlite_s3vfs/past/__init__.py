"""The past of a database: read it, bring it back, keep it, branch off from it; and clean up behind it.

Everything here is a function of a ``Database``. What a version *is* tells docs/format.md, sections 9
and 11; how long it is kept is the database's retention, and longer where a pin holds it.
"""

from sqlite_s3vfs.past.checkpoints import (
    Checkpoint,
    checkpoint_create,
    checkpoint_list,
    checkpoint_remove,
)
from sqlite_s3vfs.past.collecting import Collection, collect
from sqlite_s3vfs.past.commitlog import LogEntry, log
from sqlite_s3vfs.past.comparing import Diff, diff
from sqlite_s3vfs.past.forking import Fork, fork, forks
from sqlite_s3vfs.past.garbage import Garbage
from sqlite_s3vfs.past.moments import NEWEST, Moment
from sqlite_s3vfs.past.opening import open_at
from sqlite_s3vfs.past.removing import Removed, remove
from sqlite_s3vfs.past.restoring import restore
from sqlite_s3vfs.past.retaining import FOREVER, retention, set_retention
from sqlite_s3vfs.past.verifying import Finding, Verification, verify

__all__ = [
    "FOREVER",
    "NEWEST",
    "Checkpoint",
    "Collection",
    "Diff",
    "Finding",
    "Fork",
    "Garbage",
    "LogEntry",
    "Moment",
    "Removed",
    "Verification",
    "checkpoint_create",
    "checkpoint_list",
    "checkpoint_remove",
    "collect",
    "diff",
    "fork",
    "forks",
    "log",
    "open_at",
    "remove",
    "restore",
    "retention",
    "set_retention",
    "verify",
]

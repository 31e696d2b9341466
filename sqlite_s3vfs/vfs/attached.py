"""Transactions over several databases of one connection (``ATTACH``).

SQLite commits in two phases: ``FCNTL_SYNC`` to each database, then ``COMMIT_PHASETWO`` to each. A
database that publishes at the first ``FCNTL_SYNC`` would be committed while the next may still be
refused. So where another one takes part, each checks at ``FCNTL_SYNC`` that nobody was faster, and all
publish in phase two. That leaves a window of one request between the check and the publish: a
refusal there, after another was published, is a ``PartialCommitError``. There is no atomic commit over
several databases (nor has SQLite one in WAL mode: https://www.sqlite.org/lang_attach.html).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary

from sqlite_s3vfs.errors import PartialCommitError, S3VFSError


class AttachedFile(Protocol):
    """What the handles of one connection know of each other."""

    @property
    def name(self) -> str: ...

    @property
    def is_committing(self) -> bool:
        """Whether SQLite holds EXCLUSIVE: it takes it on every database before the first sync."""


@dataclass(slots=True)
class DeferredCommit:
    """One SQL transaction over several databases, from its first ``FCNTL_SYNC`` to its last unlock.

    ``waiting`` holds the names of the members that are not through yet; ``super_journal`` tells that
    SQLite counts several databases with journals, whether they are ours or not.
    """

    super_journal: bool
    members: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    published: list[str] = field(default_factory=list)
    refused: S3VFSError | None = None

    def refuse(self, name: str, error: S3VFSError) -> S3VFSError:
        """Note that ``name`` was refused for ``error``; returns the error to raise."""
        self.refused = self.refused or error
        # With a super-journal SQLite's point of no return is behind us: what is not ours is committed.
        others_committed = self.super_journal and self.members == {name}
        if not self.published and not others_committed:
            return error
        partial = PartialCommitError(
            "some databases of the transaction were committed and another was not: look at them before "
            f"anything is repeated. not_committed={name!r} "
            f"committed={self.published or 'the databases outside this library'}"
        )
        partial.__cause__ = error
        return partial


class AttachedFiles:
    """The open handles of one connection."""

    def __init__(self) -> None:
        self._files: WeakSet[AttachedFile] = WeakSet()
        self._deferred: DeferredCommit | None = None

    def add(self, file: AttachedFile) -> None:
        self._files.add(file)

    def remove(self, file: AttachedFile) -> None:
        self._files.discard(file)

    def others_commit(self, file: AttachedFile) -> bool:
        """Whether other databases take part in the transaction that ``file`` is about to commit."""
        return any(other.is_committing for other in self._files if other is not file)

    def defer(self, name: str, *, super_journal: bool) -> DeferredCommit:
        """Join the deferred commit under way, or begin one."""
        if self._deferred is None or not self._deferred.waiting:
            self._deferred = DeferredCommit(super_journal)
        self._deferred.members.add(name)
        self._deferred.waiting.add(name)
        return self._deferred


_connections: WeakValueDictionary[int, AttachedFiles] = WeakValueDictionary()
"""By the address of ``sqlite3*``. Only the connection's own thread of the moment touches its entry."""


def files_of_connection(pointer: int) -> AttachedFiles:
    """The handles that share the connection which ``FCNTL_PDB`` names.

    ``pointer`` is the argument of the file control: the address of a ``sqlite3*``
    (https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html#sqlitefcntlpdb).
    """
    connection = ctypes.c_void_p.from_address(pointer).value or 0
    files = _connections.get(connection)
    if files is None:
        files = _connections[connection] = AttachedFiles()
    return files

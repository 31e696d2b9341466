"""One stored database: the door for whoever reads or writes it.

All connections of a VFS to one database share one ``Database`` and with it the newest version that
any of them has seen, so that a read transaction costs one conditional GET and nothing else.

``_current`` never goes back: an answer that was overtaken by another thread's is not taken for news.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlite_s3vfs.adoption import find_layout, old_origin
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import (
    CommitUnknownError,
    ConflictError,
    CorruptError,
    S3VFSError,
    SnapshotTooOldError,
    UnsupportedFormatError,
    WriteLockHeldError,
)
from sqlite_s3vfs.format.ancestor import AncestorLayout
from sqlite_s3vfs.format.keys import DatabaseKeys, check_prefix
from sqlite_s3vfs.format.manifest import Condemned, State
from sqlite_s3vfs.interrupts import run_uninterrupted
from sqlite_s3vfs.manifests import Head, ManifestStore, Published
from sqlite_s3vfs.origin import Origin, new_database
from sqlite_s3vfs.planning.commit import Changes
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.transaction import Transaction
from sqlite_s3vfs.transaction.commit import Committer, PrepareContent, ReadBytes, Ready, Work
from sqlite_s3vfs.transaction.folding import Folding
from sqlite_s3vfs.transaction.locks import try_lock, unlock

__all__ = ["Database", "Snapshot", "Transaction"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Current:
    """The newest version that this process has seen, and what a commit on it starts from."""

    origin: Origin
    snapshot: Snapshot


class Database:
    """The database under a key prefix of a store."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        """Does no request.

        Raises:
            InvalidArgumentError: ``prefix`` cannot name a database.
        """
        self.prefix = check_prefix(prefix)
        self.engine = engine
        self.keys = DatabaseKeys(prefix)
        manifests = ManifestStore(engine.store, self.keys, ids=engine.ids, clock=engine.clock)
        self._manifests = manifests
        self.committer = Committer(engine, self.keys, manifests)
        self._folding = Folding(engine, self.keys)
        self._current_lock = threading.Lock()
        self._current: _Current | None = None
        self._distrusted = False
        self._cleared = b""

    def known(self) -> Snapshot | None:
        """The newest version that this process has seen; None where it has not looked yet. 0 requests."""
        current = self._current
        return current.snapshot if current else None

    def newest(self) -> Snapshot:
        """The newest version that this process has seen; 1 GET where it has not looked yet."""
        return self.known() or self.snapshot()

    def snapshot(self) -> Snapshot:
        """Begin a read transaction: the newest version at this moment. 1 conditional GET.

        Where there is no manifest, 1 LIST more looks for a database of sqlite-s3vfs 0.0.x.

        Raises:
            CorruptError, UnsupportedFormatError: what lies there cannot be read.
            StoreUnavailableError, AccessDeniedError, NotFoundError: the store did not serve.
        """
        return self._refreshed().snapshot

    def begin(self, base: Snapshot) -> Transaction:
        """Take this process's write lock on the database and start from ``base``. 0 requests.

        Raises:
            WriteLockHeldError: another connection of this process is writing.
            ConflictError: ``base`` is known not to be the newest version any more.
        """
        transaction = Transaction(self, base)
        if not try_lock(self._lock_name, transaction):
            raise WriteLockHeldError(
                f"another connection of this process is writing: wait. prefix={self.prefix!r}"
            )
        try:
            self._origin_of(base)
        except S3VFSError:
            transaction.close()
            raise
        return transaction

    def check_newest(self, base: Snapshot) -> None:
        """Raise ``ConflictError`` where ``base`` is not the newest version. 1 conditional GET."""
        self._refreshed()
        self._origin_of(base)

    def publish(self, base: Snapshot, changes: Changes, read: ReadBytes,
                on_published: Callable[[Snapshot], None]) -> None:
        """Commit the changes of a transaction on ``base``; see ``Transaction.commit``."""
        work = Work(
            origin=self._origin_of(base),
            snapshot=base,
            changes=changes,
            read=read,
            fold=self._folding.offer(),
            cleared=self._cleared,
        )
        ready = self.committer.prepare(work)
        run_uninterrupted(partial(self._publish, ready, changes, on_published))

    def publish_content(
        self, origin: Origin, snapshot: Snapshot, content: PrepareContent
    ) -> None:
        """Commit a whole new content in the place of the version ``snapshot``.

        Raises:
            ConflictError: another commit replaced that version. Others as ``Transaction.commit``.
        """
        ready = self.committer.prepare_content(origin, snapshot, self._cleared, content)
        run_uninterrupted(partial(self._publish, ready, None, lambda snapshot: None))

    def _publish(self, ready: Ready, changes: Changes | None,
                      on_published: Callable[[Snapshot], None]) -> None:
        """Put the manifest of a prepared commit, and take note of the outcome."""
        if ready.prepared.adoption:
            self._folding.sent()
        try:
            published = self.committer.publish(ready)
        except CommitUnknownError:
            self._distrusted = True
            self._folding.forget()
            raise
        except S3VFSError:
            self._distrusted = True
            if ready.prepared.adoption:
                self._folding.refused()
            raise
        snapshot = self._accept(published)
        if changes:
            snapshot.remember(changes.pages)
        on_published(snapshot)
        self._after_publish(snapshot, published.head.manifest.condemned)

    def release(self, holder: object) -> None:
        """Give the process's write lock back."""
        unlock(self._lock_name, holder)

    def origin(self) -> tuple[Origin, Snapshot]:
        """The newest version and what a commit on it starts from. 1 conditional GET."""
        current = self._refreshed()
        return current.origin, current.snapshot

    def fold(self) -> None:
        """Move the tail into blocks now; the next commit adopts the result. 2 PUTs or more."""
        snapshot = self.snapshot()
        if snapshot.manifest and snapshot.manifest.tail:
            self._folding.fold(snapshot)

    def close(self) -> None:
        """Wait for background work and remove what it left unused. The database stays usable."""
        self._folding.close()

    @property
    def _lock_name(self) -> tuple[str, str]:
        return (self.engine.store.identity, self.prefix)

    def _origin_of(self, base: Snapshot) -> Origin:
        current = self._current
        if current is None or current.snapshot.identity != base.identity:
            raise ConflictError(
                "another writer committed first: run the transaction again. "
                f"prefix={self.prefix!r} version={base.version}"
            )
        return current.origin

    def _refreshed(self) -> _Current:
        current = self._current
        known = current.origin.head if current and not self._distrusted else None
        head = self._manifests.latest(known)
        self._distrusted = False
        if head is None:
            return self._without_manifest(current)
        if current and head is known:
            return current
        return self._newer(self._current_of(head))

    def _without_manifest(self, current: _Current | None) -> _Current:
        if current and current.origin.head:
            raise CorruptError(
                "the manifest was deleted while the database was in use: restore the object. "
                f"key={self.keys.manifest!r}"
            )
        found = find_layout(self.engine, self.keys)
        try:
            state = self._old_state(current, found.layout) if found.layout else None
        except CorruptError:
            state = self._adopted_meanwhile()
            if state is None:
                raise
        if state is None and found.others:
            state = self._adopted_meanwhile()
        return state or self._absent(current)

    def _old_state(self, current: _Current | None, layout: AncestorLayout) -> _Current:
        """What the objects of sqlite-s3vfs 0.0.x hold."""
        known = current.origin.layout if current else None
        if current and known and known.identity == layout.identity:
            return current
        origin, first_block = old_origin(self.engine, self.keys, layout)
        snapshot = Snapshot(
            self.engine, self.keys, origin.manifest, self._missing, held={0: first_block}
        )
        return self._newer(_Current(origin, snapshot))

    def _adopted_meanwhile(self) -> _Current | None:
        """The state that a manifest tells which was not there a request ago.

        Adoption deletes old objects after it has put the manifest: whoever looked for the manifest
        before and for the objects after has to look again.
        """
        head = self._manifests.latest()
        return self._newer(self._current_of(head)) if head else None

    def _absent(self, current: _Current | None) -> _Current:
        if current and not current.origin.layout:
            return current
        settings = self.engine.settings
        origin = new_database(
            self.engine.ids.new_id() + self.engine.ids.new_id(),
            block_size=settings.block_size,
            retention_seconds=settings.retention_seconds,
        )
        return self._newer(_Current(origin, self._snapshot_of(None)))

    def _current_of(self, head: Head) -> _Current:
        if head.manifest.state is not State.LIVE:
            raise UnsupportedFormatError(
                "the database was removed or is a fork in the making, which this release cannot "
                f"open: upgrade sqlite-s3vfs. key={self.keys.manifest!r} "
                f"state={head.manifest.state.value}"
            )
        return _Current(Origin(head.manifest, head), self._snapshot_of(head))

    def _snapshot_of(self, head: Head | None) -> Snapshot:
        manifest = head.manifest if head else None
        return Snapshot(self.engine, self.keys, manifest, self._missing)

    def _newer(self, found: _Current) -> _Current:
        """Make ``found`` the current version, unless another thread has seen a newer one."""
        with self._current_lock:
            known = self._current
            if known and _is_overtaken(found, known):
                return known
            self._current = found
            return found

    def _accept(self, published: Published) -> Snapshot:
        ours = self._current_of(published.head)
        self._newer(self._current_of(published.newer) if published.newer else ours)
        return ours.snapshot

    def _after_publish(self, snapshot: Snapshot, condemned: Condemned | None) -> None:
        """Start what a commit leaves for the background: a fold, and deleting a condemned batch (I5).

        The commit has happened, so nothing that fails here may look like its failure (I11).
        """
        try:
            self._folding.after_commit(snapshot)
        except S3VFSError:
            _log.warning("no fold could be started; a later commit tries again", exc_info=True)
        if condemned and condemned.batch_id != self._cleared:
            self.engine.pool.submit(partial(self._delete_batch, condemned))

    def _delete_batch(self, condemned: Condemned) -> None:
        try:
            self.engine.store.delete([self.prefix + suffix for suffix in condemned.key_suffixes])
        except S3VFSError:
            _log.warning("condemned objects could not be deleted; a later commit tries again",
                         exc_info=True)
        else:
            self._cleared = condemned.batch_id

    def _missing(self, snapshot: Snapshot, key: str) -> Exception:
        """Why an object of a snapshot is not there. 1 GET."""
        head = self._manifests.latest()
        if head and snapshot.version < head.manifest.oldest_readable:
            return SnapshotTooOldError(
                "the snapshot fell out of retention while it was read: begin again. "
                f"prefix={self.prefix!r} version={snapshot.version} "
                f"oldest_readable={head.manifest.oldest_readable}"
            )
        return CorruptError(f"an object of the database is missing: restore it. key={key!r}")


def _is_overtaken(found: _Current, known: _Current) -> bool:
    """Whether ``found`` is an older state of the same database than ``known``, or the same one."""
    ours, theirs = found.origin.manifest, known.origin.manifest
    if ours.database_id != theirs.database_id:
        return known.origin.head is not None and found.origin.head is None
    if ours.version != theirs.version:
        return ours.version < theirs.version
    return found.origin.head == known.origin.head

"""One stored database: the door for whoever reads or writes it.

All connections of a VFS to one database share one ``Database`` and with it the newest version that
any of them has seen, so that a read transaction costs one conditional GET and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import S3VFSError, WriteLockHeldError
from sqlite_s3vfs.format.keys import DatabaseKeys, check_prefix
from sqlite_s3vfs.interrupts import run_uninterrupted
from sqlite_s3vfs.manifests import Head, ManifestStore, check_replaceable
from sqlite_s3vfs.newest import NewestVersion, Version
from sqlite_s3vfs.planning.commit import Changes, must_clean
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.reader.contents import ReadBytes
from sqlite_s3vfs.transaction import Transaction
from sqlite_s3vfs.transaction.commit import Committer, PrepareContent, Ready, Work
from sqlite_s3vfs.transaction.condemning import Condemning
from sqlite_s3vfs.transaction.folding import Folding
from sqlite_s3vfs.transaction.locks import try_lock, unlock
from sqlite_s3vfs.transaction.spilling import EarlyBlocks
from sqlite_s3vfs.uploads import Uploads

__all__ = ["Database", "Snapshot", "Transaction", "Version"]

_log = logging.getLogger(__name__)


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
        self.committer = Committer(engine, self.keys, manifests)
        self.manifests = manifests
        self._newest = NewestVersion(engine, self.keys, manifests)
        self.view = self._newest.view
        self._folding = Folding(engine, self.keys)
        self._lock_name = (engine.store.identity, prefix)
        self._condemning = Condemning(engine, self.keys)

    def known(self) -> Snapshot | None:
        """The newest version that this process has seen; None before it looked. 0 requests."""
        known = self._newest.known
        return known.snapshot if known else None

    def newest(self) -> Snapshot:
        """The newest version that this process has seen; 1 GET where it has not looked yet."""
        return self.known() or self.snapshot()

    def snapshot(self, max_age: float = 0) -> Snapshot:
        """Begin a read transaction: the newest version at this moment. 1 conditional GET.

        0 where what is known was the newest version at most ``max_age`` seconds ago.

        Where there is no manifest, 1 LIST more looks for a database of sqlite-s3vfs 0.0.x.

        Raises:
            CorruptError, UnsupportedFormatError: what lies there cannot be read.
            StoreUnavailableError, AccessDeniedError, NotFoundError: the store did not serve.
        """
        return self._newest.refreshed(max_age).snapshot

    def version(self) -> Version:
        """The newest version with what a commit on it starts from; otherwise as ``snapshot``."""
        return self._newest.refreshed()

    def begin(self, base: Snapshot) -> Transaction:
        """Take this process's write lock on the database and start from ``base``. 0 requests.

        Raises:
            WriteLockHeldError: another connection of this process is writing.
            ConflictError: ``base`` is known not to be the newest version any more.
            ReadOnlyError: a newer release wrote to the database; this one can only read it.
        """
        transaction = Transaction(
            self,
            base,
            memory_max=self.engine.settings.transaction_bytes,
            spilling=self.committer.spilling,
        )
        if not try_lock(self._lock_name, transaction):
            raise WriteLockHeldError(
                f"another connection of this process is writing: wait. prefix={self.prefix!r}"
            )
        try:
            origin = self._newest.origin_of(base)
            check_replaceable(origin.manifest, self.prefix)
            if origin.head:
                self._condemning.before_commit(origin.head)
        except BaseException:
            transaction.close()
            raise
        return transaction

    def check_newest(self, base: Snapshot) -> None:
        """Raise ``ConflictError`` where ``base`` is not the newest version. 1 conditional GET."""
        self._newest.refreshed()
        self._newest.origin_of(base)

    def publish(self, base: Snapshot, changes: Changes, read: ReadBytes,
                on_published: Callable[[Snapshot], None], *, early: EarlyBlocks | None = None) -> None:
        """Commit the changes of a transaction on ``base``; see ``Transaction.commit``."""
        origin = self._newest.origin_of(base)

        def accepted(snapshot: Snapshot) -> None:
            snapshot.pages.remember(changes.pages)
            on_published(snapshot)

        cleans = self._folding.is_left_to_commits and must_clean(origin.manifest)
        if cleans and origin.head:
            self._condemning.catch_up(origin.head)
        with self._folding.lend(origin.manifest) as fold:
            offer = self._condemning.offer(origin.manifest)
            work = Work(origin, base, changes, read, fold, offer, early, cleans=cleans)
            ready = self.committer.prepare(work)
            run_uninterrupted(partial(self._publish, ready, accepted))
        base.retire(ready.prepared.replaced)

    def publish_content(self, base: Version, content: PrepareContent, ahead: Uploads) -> Snapshot:
        """Commit a whole new content, most of it uploaded ``ahead``, in the place of ``base``; it.

        Raises:
            ConflictError: another commit replaced that version. Others as ``Transaction.commit``.
        """
        ready = self.committer.prepare_content(
            base.origin, base.snapshot, self._condemning.offer(base.origin.manifest), content, ahead
        )
        published: list[Snapshot] = []
        run_uninterrupted(partial(self._publish, ready, published.append))
        return published[0]

    def release(self, holder: object) -> None:
        """Give the process's write lock back."""
        unlock(self._lock_name, holder)

    def fold(self) -> None:
        """Move the tail into blocks now; the next commit adopts the result. 2 PUTs or more."""
        snapshot = self.snapshot()
        adopted = self._newest.origin_of(snapshot).head is not None     # else its history is no object
        if adopted and snapshot.manifest.tail:
            self._folding.fold(snapshot)

    def plan_condemning(self) -> None:
        """Look up now what fell out of retention; the next commit condemns it. 0 GETs or more."""
        head = self.version().origin.head
        if head:
            self._condemning.plan(head)

    def close(self) -> None:
        """Wait for background work and remove what it left unused. The database stays usable."""
        self._folding.close()
        self._condemning.close()

    def _publish(self, ready: Ready, on_published: Callable[[Snapshot], None]) -> None:
        """Put the manifest of a prepared commit, and take note of the outcome."""
        try:
            published = self.committer.publish(ready)
        except BaseException:
            self._newest.distrust()
            raise
        snapshot = self._newest.accept(published)
        on_published(snapshot)
        written = 0 if ready.prepared.anew else len(ready.prepared.written)
        self._after_publish(snapshot, published.head, written)

    def _after_publish(self, snapshot: Snapshot, head: Head, blocks_written: int) -> None:
        """Start what a commit leaves for the background: a fold, deleting and condemning (I5).

        The commit has happened, so nothing that fails here may look like its failure (I11).
        """
        try:
            self._folding.after_commit(snapshot, blocks_written)
        except S3VFSError:
            _log.warning("no fold could be started; a later commit tries again", exc_info=True)
        self._condemning.after_commit(head)

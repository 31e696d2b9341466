"""The newest version that this process has seen of one database, and how it finds out about newer ones.

It never goes back: an answer that was overtaken by another thread's is not taken for news.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from sqlite_s3vfs.adoption import find_layout, old_origin
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import (
    ConflictError,
    CorruptError,
    NotFoundError,
    SnapshotTooOldError,
    UnsupportedFormatError,
)
from sqlite_s3vfs.format.ancestor import AncestorLayout
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.manifests import Head, ManifestStore, Published
from sqlite_s3vfs.origin import Origin, new_database, new_over_removed
from sqlite_s3vfs.reader import Snapshot


@dataclass(frozen=True, slots=True)
class Version:
    """One version: a view of it, and what a commit on it starts from."""

    origin: Origin
    snapshot: Snapshot


class NewestVersion:
    """Shared by all connections to the database; safe to use from any thread."""

    def __init__(self, engine: Engine, keys: DatabaseKeys, manifests: ManifestStore) -> None:
        self._engine = engine
        self._keys = keys
        self._manifests = manifests
        self._known_lock = threading.Lock()
        self._known: Version | None = None
        self._distrusted = False
        self._asked_at = -math.inf

    @property
    def known(self) -> Version | None:
        """What was seen last; None before the first look. 0 requests."""
        return self._known

    def refreshed(self, max_age: float = 0) -> Version:
        """The newest version at this moment. 1 conditional GET; without a manifest 1 LIST more.

        0 requests where what is known was the newest one at most ``max_age`` seconds ago, and no commit
        of this process was refused since.

        Raises:
            CorruptError, UnsupportedFormatError: what lies there cannot be read.
            StoreUnavailableError, AccessDeniedError, NotFoundError: the store did not serve.
        """
        known = self._known
        now = self._engine.clock.monotonic()
        if known and max_age and not self._distrusted and now - self._asked_at <= max_age:
            return known
        head = known.origin.head if known and not self._distrusted else None
        found = self._manifests.latest(head)
        self._distrusted = False
        self._asked_at = max(self._asked_at, now)       # when it was sent: the answer is not older
        if found is None:
            return self._without_manifest(known)
        if known and found is head:
            return known
        return self._newer(self._version_of(found))

    def distrust(self) -> None:
        """Something went wrong with a commit: read the manifest in full the next time."""
        self._distrusted = True

    def origin_of(self, base: Snapshot) -> Origin:
        """What a commit on ``base`` starts from. 0 requests.

        Raises:
            ConflictError: ``base`` is known not to be the newest version any more.
        """
        known = self._known
        if known is None or known.snapshot.identity != base.identity:
            raise ConflictError(
                "another writer committed first: run the transaction again. "
                f"prefix={self._keys.prefix!r} version={base.version}"
            )
        return known.origin

    def accept(self, published: Published) -> Snapshot:
        """Take note of a commit of our own; its snapshot, even where others are newer already."""
        ours = self._version_of(published.head)
        try:
            self._newer(self._version_of(published.newer) if published.newer else ours)
        except UnsupportedFormatError:      # ours is in, whatever became of the database since (I11)
            self._newer(ours)
            self.distrust()
        return ours.snapshot

    def _without_manifest(self, known: Version | None) -> Version:
        if known and known.origin.head:
            raise CorruptError(
                "the manifest was deleted while the database was in use: restore the object. "
                f"key={self._keys.manifest!r}"
            )
        found = find_layout(self._engine, self._keys)
        try:
            state = self._old_state(known, found.layout) if found.layout else None
        except CorruptError:
            state = self._adopted_meanwhile()
            if state is None:
                raise
        if state is None and found.others:
            state = self._adopted_meanwhile() or self._made_meanwhile()
        return state or self._absent(known)

    def _made_meanwhile(self) -> Version | None:
        """The state of a database that was made since, and has a history already. 1 LIST, 1 GET.

        A history object is only put where there is a manifest, or the old layout.

        Raises:
            CorruptError: there is a history and no manifest: it was deleted.
        """
        history = self._engine.store.list(self._keys.history_prefix, limit=1)
        if not any(True for _ in history):
            return None
        state = self._adopted_meanwhile()
        if state is None:
            raise CorruptError(
                "the manifest is missing though the database has a history: restore the object. "
                f"key={self._keys.manifest!r}"
            )
        return state

    def _old_state(self, known: Version | None, layout: AncestorLayout) -> Version:
        """What the objects of sqlite-s3vfs 0.0.x hold."""
        before = known.origin.layout if known else None
        if known and before and before.identity == layout.identity:
            return known
        origin, first_block = old_origin(self._engine, self._keys, layout)
        snapshot = Snapshot(
            self._engine, self._keys, origin.manifest, self._missing, held={0: first_block}
        )
        return self._newer(Version(origin, snapshot))

    def _adopted_meanwhile(self) -> Version | None:
        """The state that a manifest tells which was not there a request ago.

        Adoption deletes old objects after it has put the manifest: whoever looked for the manifest
        before and for the objects after has to look again.
        """
        head = self._manifests.latest()
        return self._newer(self._version_of(head)) if head else None

    def _absent(self, known: Version | None) -> Version:
        if known and not known.origin.layout:
            return known
        settings = self._engine.settings
        origin = new_database(
            self._engine.ids.new_id() + self._engine.ids.new_id(),
            block_size=settings.block_size,
            retention_seconds=settings.retention_seconds,
        )
        return self._newer(Version(origin, self.view(origin.manifest)))

    def _version_of(self, head: Head) -> Version:
        state = head.manifest.state
        if state is State.PENDING:
            raise NotFoundError(
                "a fork is being made here: wait until it is done, or remove it to give it up. "
                f"key={self._keys.manifest!r}"
            )
        origin = Origin(head.manifest, head)
        if state is not State.LIVE:
            settings = self._engine.settings
            origin = new_over_removed(
                head,
                self._engine.ids.new_id() + self._engine.ids.new_id(),
                block_size=settings.block_size,
                retention_seconds=settings.retention_seconds,
            )
        return Version(origin, self.view(origin.manifest))

    def view(self, manifest: Manifest) -> Snapshot:
        """What a manifest of this database, newest or past, lets see. 0 requests."""
        return Snapshot(self._engine, self._keys, manifest, self._missing)

    def _newer(self, found: Version) -> Version:
        """Make ``found`` the known version, unless another thread has seen a newer one."""
        with self._known_lock:
            known = self._known
            if known and _is_overtaken(found, known):
                return known
            self._known = found
            return found

    def _missing(self, snapshot: Snapshot, key: str) -> Exception:
        """Why an object of a snapshot is not there. 1 GET."""
        head = self._manifests.latest()
        if head and snapshot.version < head.manifest.oldest_readable:
            return SnapshotTooOldError(
                "the snapshot fell out of retention while it was read: begin again. "
                f"prefix={self._keys.prefix!r} version={snapshot.version} "
                f"oldest_readable={head.manifest.oldest_readable}"
            )
        return CorruptError(f"an object of the database is missing: restore it. key={key!r}")


def _is_overtaken(found: Version, known: Version) -> bool:
    """Whether ``found`` is an older state of the same database than ``known``, or the same one."""
    if found.origin.head is None and known.origin.head is None:
        # Both were made up here for the same state of the store, each with an id of its own.
        before, after = known.origin.layout, found.origin.layout
        return (before and before.identity) == (after and after.identity)
    ours, theirs = found.origin.manifest, known.origin.manifest
    if found.origin.head is None or known.origin.head is None:
        if ours.database_id != theirs.database_id:
            return known.origin.head is not None
    elif found.origin.head.etag == known.origin.head.etag:
        return True             # of one removed database, each with an id of its own for the next
    if ours.version != theirs.version:
        return ours.version < theirs.version
    return found.origin.head == known.origin.head

"""The newest manifest: reading it, and replacing it by one conditional put that is always settled.

Invariant I1, the rules that ``publish`` follows:

* No manifest is ever put without a condition.
* A refusal or a missing answer says nothing by itself: the SDK or the network may have sent the put
  twice. The manifest is read back, and what lies there decides.
* While it still is the base that we started from, absence proves nothing (the first put may still be
  under way), so the same bytes are sent again, nonce included: at most one of the two can succeed.
* Success: a 200, or our commit id at version base + 1 of the same database.
* Refusal: the same database at the base's version with another ETag (maintenance moved it: the
  caller computes its manifest once more), or another commit id at base + 1 (a conflict).
* Anything else is "commit unknown", and this library never tries such a commit again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlite_s3vfs.clock import Clock
from sqlite_s3vfs.errors import (
    CommitUnknownError,
    ConflictError,
    CorruptError,
    ReadOnlyError,
    S3VFSError,
    StoreUnavailableError,
    unreadable,
)
from sqlite_s3vfs.format.history import decode_history
from sqlite_s3vfs.format.keys import DatabaseKeys, parse_object_name
from sqlite_s3vfs.format.manifest import Manifest, check_successor, unknown_write_features
from sqlite_s3vfs.format.manifestcodec import decode_manifest, encode_manifest
from sqlite_s3vfs.ids import IdSource
from sqlite_s3vfs.store.port import (
    ConflictingRequestError,
    Fetched,
    NotModified,
    ObjectStore,
    PreconditionFailedError,
)

_ATTEMPTS_MAX = 6
_PAUSE_SECONDS = 0.1
_HISTORY_TRIED_MAX = 20


@dataclass(frozen=True, slots=True)
class Head:
    """A manifest as it lies in the store: with its ETag, and the store time of its put."""

    manifest: Manifest
    etag: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Published:
    """Our manifest is in. ``newer`` is the head where others have committed on top of it already."""

    head: Head
    newer: Head | None


class BaseMovedError(ConflictError):
    """Maintenance has put another manifest of the same version: compute the commit once more on it."""

    def __init__(self, head: Head) -> None:
        super().__init__("the manifest was replaced by maintenance.")
        self.head = head


def check_replaceable(base: Manifest, prefix: str) -> None:
    """Refuse to put another manifest in the place of one that says more than this release can keep.

    Raises:
        ReadOnlyError: a newer release keeps something there that would be lost.
    """
    unknown = unknown_write_features(base)
    if unknown:
        raise ReadOnlyError(
            "a newer release wrote to the database, and this one can only read it: upgrade "
            f"sqlite-s3vfs. prefix={prefix!r} features={unknown!r:.200}"
        )


class ManifestStore:
    """The one mutable object of a database."""

    def __init__(
        self, store: ObjectStore, keys: DatabaseKeys, *, ids: IdSource, clock: Clock
    ) -> None:
        self._store = store
        self._keys = keys
        self._ids = ids
        self._clock = clock

    def latest(self, known: Head | None = None) -> Head | None:
        """The newest manifest; ``known`` itself where nothing changed; None where there is none. 1 GET.

        Raises:
            CorruptError: what lies there is not a manifest of ours.
        """
        key = self._keys.manifest
        found = self._store.get(key, if_none_match=known.etag if known else None)
        if found is None or isinstance(found, NotModified):
            return known if found is not None else None
        try:
            manifest = decode_manifest(found.body)
        except CorruptError as error:
            raise unreadable("the manifest", key, error) from error
        return Head(manifest, found.etag, int(found.last_modified * 1000))

    def publish(self, base: Head | None, manifest: Manifest) -> Published:
        """Replace ``base`` (None: create) by ``manifest``: this put is the commit. 1 PUT, or more.

        Raises:
            ConflictError: another commit replaced the base; ours is not there and never will be.
            BaseMovedError: only maintenance replaced it; likewise.
            CommitUnknownError: nothing tells whether ours is there or will be.
            AccessDeniedError, NotFoundError: the store refused; not committed, as far as can be seen.
            ReadOnlyError: the base must not be replaced by this release; nothing was sent.
        """
        if base is not None:
            check_replaceable(base.manifest, self._keys.prefix)
        check_successor(base.manifest if base else None, manifest)
        body = encode_manifest(manifest, self._ids.new_id())
        cause: BaseException | None = None
        for attempt in range(_ATTEMPTS_MAX):
            if attempt:
                self._clock.sleep(_PAUSE_SECONDS * 2**attempt * (0.5 + self._ids.jitter()))
            try:
                stored = self._store.put(
                    self._keys.manifest,
                    body,
                    if_match=base.etag if base else None,
                    if_absent=base is None,
                )
            except (PreconditionFailedError, ConflictingRequestError, StoreUnavailableError) as error:
                cause = error
            except S3VFSError as error:
                return self._refused(base, manifest, error, asked_before=cause is not None)
            else:
                return Published(Head(manifest, stored.etag, int(stored.date * 1000)), None)
            try:
                settled = self._settle(base, manifest)
            except StoreUnavailableError as error:
                cause = error
            except (ConflictError, CommitUnknownError):
                raise
            except S3VFSError as error:            # the right to read is gone, say: nothing tells
                raise self._unknown("the manifest cannot be read back", manifest) from error
            else:
                if settled is not None:
                    return settled
        raise self._unknown("no answer came", manifest) from cause

    def maintain(self, base: Head, manifest: Manifest, done: Callable[[Manifest], bool]) -> Head:
        """Replace ``base`` by a manifest of the same version; settled by its effect. 1 PUT, or more.

        ``done`` tells of a manifest whether the effect is there.

        Raises:
            BaseMovedError: another manifest lies there, without the effect; ours never will.
            CommitUnknownError: nothing tells whether ours is there or will be.
            AccessDeniedError, NotFoundError: the store refused, and the manifest is what it was.
        """
        check_successor(base.manifest, manifest)
        body = encode_manifest(manifest, self._ids.new_id())
        cause: BaseException | None = None
        for attempt in range(_ATTEMPTS_MAX):
            if attempt:
                self._clock.sleep(_PAUSE_SECONDS * 2**attempt * (0.5 + self._ids.jitter()))
            try:
                stored = self._store.put(self._keys.manifest, body, if_match=base.etag)
                return Head(manifest, stored.etag, int(stored.date * 1000))
            except (PreconditionFailedError, ConflictingRequestError, StoreUnavailableError) as error:
                cause = error
            except S3VFSError:
                if cause is None and not self._moved(base):
                    raise
            try:
                found = self._moved(base)
            except StoreUnavailableError as error:
                cause = error
                continue
            if found is not None and done(found.manifest):
                return found
            if found is not None:
                raise BaseMovedError(found)
        raise self._unknown("no answer came", manifest) from cause

    def _moved(self, base: Head) -> Head | None:
        """What lies there now; None while that is still ``base``."""
        head = self.latest()
        if head is None:
            raise self._unknown("the manifest is gone", base.manifest)
        return None if head.etag == base.etag else head

    def _refused(
        self, base: Head | None, ours: Manifest, error: S3VFSError, *, asked_before: bool
    ) -> Published:
        """A put was answered with no right, no bucket or the like: an earlier try may have been let in.

        Credentials expire between the tries that the SDK makes in silence.
        """
        try:
            settled = self._settle(base, ours)
        except (ConflictError, CommitUnknownError):
            raise
        except S3VFSError as unreadable:
            if asked_before or not isinstance(error, type(unreadable)):
                raise self._unknown("the manifest cannot be read back", ours) from unreadable
            raise error from None
        if settled is not None:
            return settled
        if asked_before:
            raise self._unknown("no answer came", ours) from error
        raise error

    def _settle(self, base: Head | None, ours: Manifest) -> Published | None:
        """What became of our put, by what lies there now; None while that is still open."""
        head = self.latest()
        if head is None:
            if base is None:
                return None
            raise self._unknown("the manifest is gone", ours)
        if base is not None and head.etag == base.etag:
            return None
        replaced = base.manifest.database_id if base else b""
        if base is not None and replaced == head.manifest.database_id != ours.database_id:
            if head.manifest.version == base.manifest.version:
                raise BaseMovedError(head)
            raise self._conflict(head, ours)        # what was left of a removed database goes on
        if head.manifest.database_id != ours.database_id:
            if ours.predecessor == replaced == head.manifest.predecessor:
                # A key is created once, and replaced by one successor (I7): ours did not happen.
                raise self._conflict(head, ours)
            raise self._unknown("the database was replaced by another", ours)
        if base is not None and head.manifest.version == base.manifest.version:
            raise BaseMovedError(head)
        commit_id = self._commit_id(head, ours.version)
        if commit_id is None:
            raise self._unknown("the commits of that time are forgotten", ours)
        if commit_id != ours.commit_id:
            raise self._conflict(head, ours)
        if head.manifest.version == ours.version:
            return Published(head, None)      # its maintenance fields may be newer than ours
        return Published(Head(ours, "", head.time_ms), head)

    def _commit_id(self, head: Head, version: int) -> bytes | None:
        """The id of an earlier version's commit, from the recent ones or from history."""
        known = head.manifest.commit_id_of(version)
        if known is not None or head.manifest.version < version:
            return known
        prefix = self._keys.history_prefix
        after = f"{prefix}{version:020d}"
        for row in self._store.list(prefix, start_after=after, limit=_HISTORY_TRIED_MAX):
            name = parse_object_name(row.key.removeprefix(prefix))
            kept = self._store.get(row.key) if name else None
            if name is None or not isinstance(kept, Fetched):
                continue
            try:
                manifest = decode_history(kept.body, head.manifest.database_id, name)
            except CorruptError:
                continue            # of an earlier database under this prefix, say
            return manifest.commit_id_of(version)
        return None

    def _conflict(self, head: Head, ours: Manifest) -> ConflictError:
        return ConflictError(
            "another writer committed first: run the transaction again. "
            f"key={self._keys.manifest!r} version={ours.version} newest={head.manifest.version}"
        )

    def _unknown(self, what: str, ours: Manifest) -> CommitUnknownError:
        return CommitUnknownError(
            f"{what}, so nothing tells whether the commit happened: read the database to find out. "
            f"key={self._keys.manifest!r} version={ours.version}"
        )

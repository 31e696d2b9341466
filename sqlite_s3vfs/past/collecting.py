"""What crashed writers and given-up forks left behind, found by listing, and deleted (invariant I6).

1. List what lies under the prefix.
2. Publish the *floor*: the store's time, less a grace. From here on no manifest may refer anew to an
   object that was born at or before the floor (and a minute more): a writer that was stalled with
   uploads that old is refused, or uploads again under other names.
3. Read all references again, from the manifest that has the floor. An object that was put before the
   floor and is not referred to now never will be.
4. Delete those listed objects that nothing refers to and that are older than the floor.

Before that, pins are looked at: a fork that never went live is given up, one that is gone lets go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import (
    CorruptError,
    InvalidArgumentError,
    NotFoundError,
    SnapshotTooOldError,
)
from sqlite_s3vfs.format.manifest import Manifest, Pin, State
from sqlite_s3vfs.past.forking import give_up
from sqlite_s3vfs.past.garbage import (
    Found,
    Garbage,
    delete_all,
    find_garbage,
    list_objects,
    unpin,
    unpin_parent,
)
from sqlite_s3vfs.past.maintenance import maintain, manifest_head
from sqlite_s3vfs.planning.maintenance import with_floor
from sqlite_s3vfs.progress import OnProgress, no_progress
from sqlite_s3vfs.store.port import Listed

GRACE_SECONDS = 3600
"""How long a writer may take from its first upload to its commit without being refused."""
GRACE_SECONDS_MIN = 120
"""A minute more than the margin that writers keep from the floor."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection found: ``garbage`` that was (or, dry, would be) deleted, and what it left.

    ``unpinned`` are the names of forks that hold nothing any more, and of the parent, let go.
    """

    floor_ms: int
    garbage: tuple[Garbage, ...]
    deleted: int
    kept: int
    too_young: int
    foreign: int
    unpinned: tuple[str, ...]


def collect(
    database: Database,
    *,
    grace_seconds: int = GRACE_SECONDS,
    dry_run: bool = False,
    on_progress: OnProgress = no_progress,
) -> Collection:
    """Delete what nothing needs and is older than the grace; with ``dry_run`` only tell of it.

    Never in the way of readers and writers, except those that take longer than the grace for one
    commit. 1 LIST a 1 000 objects, 1 GET a fork, 1 PUT, what it takes to read the maps of the past, 1
    GET an object of garbage, 1 DELETE for 1 000.

    Raises:
        NotFoundError: there is no such database. InvalidArgumentError: the grace is too short.
        CorruptError: the past cannot be read: verify it; nothing was deleted.
        StoreUnavailableError, AccessDeniedError: not all was deleted; run it again.
    """
    check_grace(grace_seconds)
    head = manifest_head(database)
    if head.manifest.state is State.PENDING:
        raise NotFoundError(
            "a fork is being made here: wait until it is done, or remove it to give it up. "
            f"name={database.prefix!r}"
        )
    listed = list_objects(database)
    floor_ms = int(database.engine.store.last_date * 1000) - grace_seconds * 1000
    stale = [pin for pin in head.manifest.pins if is_stale(database, pin, floor_ms, dry_run=dry_run)]
    newest = head.manifest
    if not dry_run:
        if stale:
            unpin(database, frozenset(pin.pin_id for pin in stale))
        newest = maintain(database, lambda base: with_floor(base, floor_ms))
    newest, found = _find(database, newest, floor_ms, listed)
    unpinned = [pin.child_prefix for pin in stale]
    deleted = 0
    if not dry_run:
        deleted = delete_all(database, found.sizes, "collect", on_progress)
        if _needs_no_parent(newest, found.borrowed):
            parent = unpin_parent(database, newest)
            unpinned += [parent] if parent else []
    return Collection(
        floor_ms, found.found, deleted, found.kept, found.too_young, found.foreign, tuple(unpinned)
    )


def check_grace(seconds: int) -> None:
    """Whether a collection may leave only what is as young as that.

    Raises:
        InvalidArgumentError: it may not.
    """
    if seconds < GRACE_SECONDS_MIN:
        raise InvalidArgumentError(
            f"the grace is {GRACE_SECONDS_MIN} seconds at least, or slow writers are refused. "
            f"grace_seconds={seconds}"
        )


def _find(
    database: Database, newest: Manifest, floor_ms: int, listed: Sequence[Listed]
) -> tuple[Manifest, Found]:
    """What nothing needs; read again from the newest manifest where others condemn meanwhile."""
    while True:
        try:
            return newest, find_garbage(database, newest, born_before_ms=floor_ms, listed=listed)
        except (CorruptError, SnapshotTooOldError):
            later = manifest_head(database).manifest
            if later.oldest_readable == newest.oldest_readable:
                raise
            newest = later


def is_stale(database: Database, pin: Pin, floor_ms: int, *, dry_run: bool = False) -> bool:
    """Whether a fork's pin holds nothing any more. 1 GET; 1 PUT to give up a fork that never went live.

    Objects are needed as long as the child lives, or a fork of the child that outlives it.
    """
    if not pin.child_prefix:
        return False
    child = Database(database.engine, pin.child_prefix)
    head = child.manifests.latest()
    if head is None:
        return False                            # put before the pin, and never deleted (I7): damage
    manifest = head.manifest
    if manifest.fork_id == pin.pin_id and manifest.state is State.PENDING:
        if head.time_ms >= floor_ms or dry_run:
            return False
        return give_up(child, head) and not outliving(manifest)
    lives = manifest.fork_id == pin.pin_id and manifest.state is State.LIVE
    return not lives and not outliving(manifest)


def outliving(manifest: Manifest) -> bool:
    """Whether forks of a database that was removed from this place are pinned there still."""
    live = manifest.state is State.LIVE
    return any(
        pin.child_prefix and not (live and pin.database_id == manifest.database_id)
        for pin in manifest.pins
    )


def _needs_no_parent(manifest: Manifest, borrowed: frozenset[bytes]) -> bool:
    """Whether a fork refers to nothing outside, in its map, its readable past and its pins."""
    if not manifest.fork_id:
        return False
    return not borrowed and (manifest.state is State.LIVE or not manifest.pins)

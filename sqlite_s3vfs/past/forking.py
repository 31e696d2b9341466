"""Forks: a new database that starts as a version of another one, with no block copied (invariant I7).

1. The child's manifest is put as *pending*: it reads as no database, and gives the pin its meaning.
2. The version is pinned in the parent. From here on the parent keeps what the child is going to need.
3. The child's map is written, and its manifest is put once more, now live, by ``If-Match`` on the
   pending one, and only after a manifest of the parent has been seen that holds the pin.

A crash leaves a pending child and maybe a pin, which hold objects and harm nobody; a collection on the
parent gives the child up, by ``If-Match`` too, so that of giving up and going live one happens. Only
then is the pin stale.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.errors import (
    CommitUnknownError,
    ConflictError,
    InvalidArgumentError,
    S3VFSError,
)
from sqlite_s3vfs.format.manifest import Commit, Manifest, Owner, Pin, State
from sqlite_s3vfs.manifests import Head, Published
from sqlite_s3vfs.origin import Origin, new_database
from sqlite_s3vfs.past.borrowed import borrowed_map
from sqlite_s3vfs.past.carrying import carry
from sqlite_s3vfs.past.checkpoints import check_pinnable
from sqlite_s3vfs.past.histories import head_of, manifest_at
from sqlite_s3vfs.past.maintenance import maintain
from sqlite_s3vfs.past.moments import NEWEST, Moment
from sqlite_s3vfs.planning.maintenance import holds_pin, with_pin, without_pins
from sqlite_s3vfs.uploads import Uploads, check_born

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fork:
    """A database that started as ``version`` of another one, and may still need objects of it."""

    child_prefix: str
    version: int
    pin_id: bytes


def forks(database: Database) -> tuple[Fork, ...]:
    """The forks that are pinned. 1 conditional GET.

    Raises:
        NotFoundError: there is no such database.
    """
    pins = head_of(database).manifest.pins
    return tuple(Fork(pin.child_prefix, pin.version, pin.pin_id) for pin in pins if pin.child_prefix)


def fork(database: Database, child: Database, moment: Moment = NEWEST) -> Snapshot:
    """Make ``child`` a database that starts as a version of this one, byte for byte; its first version.

    Nobody sees it before it is whole. Both go their own ways from there, and neither can harm the other.
    About 10 requests, and 2 for each 4 096 blocks of a large database.

    Raises:
        InvalidArgumentError: there is a database under the child's name.
        NotFoundError, SnapshotTooOldError: the version is out of reach.
        ConflictError: somebody made the child meanwhile, removed the parent, or gave the fork up.
        CommitUnknownError: it may have been made. After all others there is no child.
    """
    kept, head = manifest_at(database, moment)
    origin = _free_place(database, child)
    pin = Pin(child.engine.ids.new_id(), kept.database_id, kept.version, "", child.prefix)
    pending = _pending(child, origin, kept, pin, database.prefix)
    place = child.manifests.publish(origin.head, pending).head
    try:
        maintain(database, lambda base: _pinned(database, base, pin), head=head)
        return _activate(database, kept, child, place)
    except CommitUnknownError:
        raise                                   # it may be live: a collection finds out
    except BaseException:
        _tidy_up(database, child, place, pin)
        raise


def give_up(child: Database, pending: Head) -> bool:
    """Have a fork that was begun never go live; whether that came first. 1 PUT.

    Only then its pin in the parent is stale.
    """
    engine, manifest = child.engine, pending.manifest
    version = manifest.version + 1
    commit = Commit(version, engine.ids.new_id(), 0, engine.writer, 0, 0)
    aborted = replace(
        manifest,
        state=State.ABORTED,
        version=version,
        commits=(*manifest.commits, commit),
        oldest_readable=version,
    )
    try:
        child.manifests.publish(pending, aborted)
    except ConflictError:
        return False
    return True


def _free_place(database: Database, child: Database) -> Origin:
    """What the child's manifest is going to replace."""
    if database.prefix == child.prefix:
        raise InvalidArgumentError(f"a fork needs a name of its own. name={child.prefix!r}")
    if not any(True for _ in child.engine.store.list(f"{child.prefix}/", limit=1)):
        engine = child.engine                   # neither a manifest nor the old layout
        database_id = engine.ids.new_id() + engine.ids.new_id()
        return new_database(database_id, block_size=1, retention_seconds=0)
    version = child.version()
    if version.snapshot.manifest.commits:
        raise InvalidArgumentError(
            f"there is a database of that name: choose another one, or remove it. name={child.prefix!r}"
        )
    return version.origin


def _pending(child: Database, origin: Origin, kept: Manifest, pin: Pin, parent: str) -> Manifest:
    engine = child.engine
    version = origin.manifest.version + 1
    # Both lie in one bucket: what the parent's writers found out about it need not be probed again.
    mark = kept.conditions_proven or origin.manifest.conditions_proven
    proven = replace(origin.manifest, conditions_proven=mark)
    return replace(
        origin.manifest,
        state=State.PENDING,
        block_size=kept.block_size,
        retention_seconds=kept.retention_seconds,
        version=version,
        commits=(Commit(version, engine.ids.new_id(), 0, engine.writer, 0, 0),),
        oldest_readable=version,
        fork_id=pin.pin_id,
        owners=(*kept.owners, Owner(parent, kept.database_id, pin.pin_id, kept.version)),
        conditions_proven=child.committer.check_writable(proven),
    )


def _pinned(database: Database, base: Manifest, pin: Pin) -> Manifest:
    """The parent's manifest with the pin; checked on every base anew."""
    if holds_pin(base, pin.pin_id):
        return base
    if base.state is not State.LIVE or base.database_id != pin.database_id:
        raise ConflictError(
            f"the database was removed while it was forked. prefix={database.prefix!r}"
        )
    check_pinnable(database, base, pin.version)
    return with_pin(base, pin)


def _activate(database: Database, kept: Manifest, child: Database, place: Head) -> Snapshot:
    """Put the child's manifest live. The pin was seen in the parent."""
    pending, engine = place.manifest, child.engine
    version = pending.version + 1
    uploads = Uploads(engine)
    try:
        blocks = borrowed_map(database, kept, child, pending.database_id, version, uploads)
        carried = carry(database.view(kept), child, pending.database_id, version, uploads)
        commit = Commit(version, engine.ids.new_id(), 0, engine.writer, kept.size, carried.pages)
        live = replace(
            pending,
            state=State.LIVE,
            page_size=kept.page_size,
            size=kept.size,
            version=version,
            commits=(*pending.commits, commit),
            blocks=blocks.with_blocks(carried.written) if carried.written else blocks,
            tail=carried.entries,
            interior=carried.interior,
            oldest_readable=version,
        )
        uploads.finish()
        check_born(pending, uploads.born_ms)
        published = _published(child, place, live, uploads)
    except BaseException:
        uploads.abandon()
        raise
    return child.view(published.head.manifest)


def _published(child: Database, place: Head, live: Manifest, uploads: Uploads) -> Published:
    uploads.note_sent()
    try:
        return child.manifests.publish(place, live)
    except ConflictError:               # settled: refused; after anything else nothing is certain
        uploads.note_refused()
        raise


def _tidy_up(database: Database, child: Database, place: Head, pin: Pin) -> None:
    """Give the child up, and only then let the parent go; what fails is left to a collection."""
    try:
        if give_up(child, place):
            maintain(database, lambda base: without_pins(base, frozenset([pin.pin_id])))
    except S3VFSError:
        _log.warning(
            "a fork that failed could not be tidied up; removing it does. child=%r",
            child.prefix, exc_info=True,
        )

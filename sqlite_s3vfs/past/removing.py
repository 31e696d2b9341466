"""Removing a database: its manifest is replaced by a tombstone, and what it alone owns is deleted.

The tombstone is a commit of its own: a writer that is under way is refused, for ever, because no
manifest will have the ETag again that it started from (invariant I7). What forks of the database
refer to stays, as the pins in the tombstone say, until a collection finds the pins stale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import ConflictError, S3VFSError
from sqlite_s3vfs.format.history import encode_history
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.manifests import Head
from sqlite_s3vfs.past.forking import give_up
from sqlite_s3vfs.past.garbage import delete_all, find_garbage, old_blocks, unpin_parent
from sqlite_s3vfs.past.maintenance import manifest_head
from sqlite_s3vfs.planning.successor import Prepared, successor
from sqlite_s3vfs.progress import OnProgress, no_progress
from sqlite_s3vfs.uploads import Uploads

_ATTEMPTS_MAX = 20


@dataclass(frozen=True, slots=True)
class Removed:
    """``objects`` were deleted, ``kept`` are needed by forks; ``version`` is the tombstone's.

    ``let_go`` is the parent of a fork, if it held something for it until now.
    """

    version: int
    objects: int
    kept: int
    let_go: str | None = None


def remove(database: Database, *, on_progress: OnProgress = no_progress) -> Removed:
    """Remove the database with its past and its checkpoints; forks of it live on.

    A fork that is being made is given up.

    Where it was cut off it is run again and goes on. 1 GET, 1 or 2 PUTs; then 1 LIST and 1 DELETE a
    1 000 objects, and what it takes to read the map.

    Raises:
        NotFoundError: there is no such database. ConflictError: others keep committing.
        CommitUnknownError: it may have been removed.
        StoreUnavailableError, AccessDeniedError: not all was deleted; it may be removed.
    """
    head = manifest_head(database)
    if head.manifest.state is State.LIVE:
        head = _bury(database, head)
    elif head.manifest.state is State.PENDING and not give_up(database, head):
        raise ConflictError(f"the fork went live meanwhile: remove it now. name={database.prefix!r}")
    tombstone = head.manifest
    garbage = find_garbage(database, tombstone, born_before_ms=None)
    sizes = {**old_blocks(database, tombstone), **garbage.sizes}
    deleted = delete_all(database, sizes, "remove", on_progress)
    let_go = None if tombstone.pins else unpin_parent(database, tombstone)
    return Removed(tombstone.version, deleted, garbage.kept, let_go)


def _bury(database: Database, head: Head) -> Head:
    """Put the tombstone, on top of whatever others commit meanwhile."""
    database_id = head.manifest.database_id
    for attempt in range(_ATTEMPTS_MAX):
        uploads = Uploads(database.engine)
        try:
            tombstone = _tombstone(database, head, uploads)
            uploads.finish()
            return database.manifests.publish(head, tombstone).head
        except ConflictError as error:
            uploads.abandon()
            head = manifest_head(database)
            again = head.manifest.database_id == database_id and head.manifest.state is State.LIVE
            if not again or attempt + 1 == _ATTEMPTS_MAX:
                raise ConflictError(
                    "the database was removed by somebody else, or others keep committing. "
                    f"prefix={database.prefix!r}"
                ) from error
        except S3VFSError:
            raise                               # it may lie there: what was uploaded stays
    raise AssertionError("every attempt returns or raises")


def _tombstone(database: Database, head: Head, uploads: Uploads) -> Manifest:
    base, engine = head.manifest, database.engine
    pins = tuple(pin for pin in base.pins if pin.child_prefix)
    # A fork may be read from the newest version's map (I4), which tells what there is to delete, too.
    history = ObjectName(base.version, engine.ids.new_id())
    uploads.put(database.keys.history(history), encode_history(base, history))
    prepared = Prepared(
        commit_id=engine.ids.new_id(),
        writer=engine.writer,
        page_size=0,
        size=0,
        history=history,
        anew=True,
        conditions_proven=database.committer.check_writable(base),
    )
    made = successor(base, prepared, head.time_ms)
    return replace(
        made,
        state=State.TOMBSTONE,
        pins=pins,
        restores=(),
        died=(),
        history=(),
        condemned=None,
        commits=made.commits[-1:],
        oldest_readable=made.version,
    )

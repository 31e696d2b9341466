"""What a commit starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlite_s3vfs.errors import ConflictError, SnapshotTooOldError
from sqlite_s3vfs.format.ancestor import AncestorLayout
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.manifests import Head
from sqlite_s3vfs.planning.maintenance import readable


@dataclass(frozen=True, slots=True)
class Origin:
    """The base of a commit: ``manifest`` is what the next version is computed from.

    With ``head`` it lies in the store and is replaced; where that is what is left of a removed
    database, ``manifest`` is the empty one to come. Without, the manifest is created, and
    ``manifest`` exists in memory only: version 0, the empty database, or version 1, the state that
    the objects of ``layout`` hold (invariant I10); ``has_journal`` says that what lies where its journal
    would be is one, and not a database of that name. ``moved`` are the blocks of it that were copied to
    other places on the way.
    """

    manifest: Manifest
    head: Head | None
    layout: AncestorLayout | None = None
    has_journal: bool = False
    moved: Mapping[int, Locator] = field(default_factory=dict)


def new_over_removed(
    head: Head, database_id: bytes, *, block_size: int, retention_seconds: int
) -> Origin:
    """The origin of a database that takes the place of a removed one, or of a given-up fork (I7).

    It goes on counting versions where that one ended, and carries on what others still need.
    """
    removed = head.manifest
    fresh = new_database(database_id, block_size=block_size, retention_seconds=retention_seconds)
    manifest = replace(
        fresh.manifest,
        version=removed.version,
        oldest_readable=removed.version + 1,
        predecessor=removed.database_id,
        pins=removed.pins,
        floor_ms=removed.floor_ms,
        conditions_proven=removed.conditions_proven,
    )
    return Origin(manifest, head)


def moved(origin: Origin, head: Head) -> Origin:
    """The same origin where maintenance has put another manifest, ``head``."""
    if head.manifest.state is State.LIVE:
        return Origin(head.manifest, head)
    ours = origin.manifest
    return new_over_removed(
        head,
        ours.database_id,
        block_size=ours.block_size,
        retention_seconds=ours.retention_seconds,
    )


def check_restored(base: Manifest, restored: Manifest) -> None:
    """Refuse to bring back what may be gone already, on every base anew (invariant I5).

    Raises:
        SnapshotTooOldError: it fell out of retention meanwhile. ConflictError: another database.
    """
    if restored.database_id != base.database_id:
        raise ConflictError(
            "the database was removed and made anew meanwhile: its past is gone. "
            f"version={restored.version}"
        )
    if not readable(base, restored.version):
        raise SnapshotTooOldError(
            "the version to be restored is not kept any more: choose a newer one. "
            f"version={restored.version} oldest_readable={base.oldest_readable}"
        )


def new_database(database_id: bytes, *, block_size: int, retention_seconds: int) -> Origin:
    """The origin of a database that does not exist yet."""
    return Origin(
        Manifest(
            database_id=database_id,
            page_size=0,
            size=0,
            block_size=block_size,
            retention_seconds=retention_seconds,
            version=0,
            commits=(),
        ),
        head=None,
    )

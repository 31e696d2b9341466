"""What a commit starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlite_s3vfs.format.ancestor import AncestorLayout
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.manifests import Head


@dataclass(frozen=True, slots=True)
class Origin:
    """The base of a commit: ``manifest`` is what the next version is computed from.

    With ``head`` it lies in the store and is replaced. Without, the manifest is created, and
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

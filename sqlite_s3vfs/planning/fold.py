"""A fold: the tail moved into blocks in the background, adopted block by block by a later commit.

Invariant I2: a folded block is adopted only where the base has exactly the locator that the fold read
and still holds every tail entry that the fold merged into it, told by page, version and commit id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.segment import Placed


class MergedEntry(NamedTuple):
    """A tail entry, told so that no other entry can be taken for it."""

    page: int
    version: int
    commit_id: bytes


@dataclass(frozen=True, slots=True)
class FoldedBlock:
    """A block as the fold wrote it: what it read, what it merged, and where the result lies."""

    read: Locator | None
    merged: frozenset[MergedEntry]
    segment: ObjectName
    placed: Placed


@dataclass(frozen=True, slots=True)
class Fold:
    """Uploaded segments that wait for a commit to adopt them.

    ``history`` keeps the manifest that the fold was cut from (invariant I4); ``born_ms`` is the store
    time before the first upload (invariant I6).
    """

    version: int
    blocks: Mapping[int, FoldedBlock]
    segments: Mapping[ObjectName, int]
    interior: tuple[InteriorPage, ...]
    history: ObjectName
    born_ms: int


def merged_entries(base: Manifest, block: int) -> frozenset[MergedEntry]:
    """The tail entries of ``base`` that touch the block."""
    return frozenset(
        entry_identity(base, page, version)
        for page, version in _entries_of_block(base, block)
    )


def blocks_to_fold(base: Manifest) -> tuple[int, ...]:
    """The blocks that tail entries touch."""
    touched = {
        block
        for entry in base.tail
        for block in overlapping(entry.page - 1, base.page_size, base.block_size)
        if block < base.block_count
    }
    return tuple(sorted(touched))


def adoptable(base: Manifest, base_locators: Mapping[int, Locator], fold: Fold) -> frozenset[int]:
    """The blocks of ``fold`` that a commit on ``base`` may adopt (invariant I2).

    ``base_locators`` holds the base's locators of the fold's blocks; holes are absent.
    """
    present = {entry_identity(base, entry.page, entry.version) for entry in base.tail}
    return frozenset(
        block
        for block, folded in fold.blocks.items()
        if block < base.block_count
        and base_locators.get(block) == folded.read
        and folded.merged <= present
    )


def entry_identity(base: Manifest, page: int, version: int) -> MergedEntry:
    """A tail entry of ``base``, told so that no other can be taken for it."""
    commit_id = base.commit_id_of(version)
    assert commit_id is not None, "commits of the tail are named in the manifest"
    return MergedEntry(page, version, commit_id)


def _entries_of_block(base: Manifest, block: int) -> list[tuple[int, int]]:
    pages = overlapping(block, base.block_size, base.page_size)
    return [(entry.page, entry.version) for entry in base.tail if entry.page - 1 in pages]

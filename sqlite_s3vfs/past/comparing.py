"""Which pages differ between two versions, found by their maps first and by their bytes then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.past.moments import Moment
from sqlite_s3vfs.past.opening import open_at

_BLOCKS_AT_ONCE = 4096
_READ_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Diff:
    """Two versions, and the numbers (from 1) of the pages that differ or are in one of them only."""

    older: Snapshot
    newer: Snapshot
    pages: tuple[int, ...]


def diff(database: Database, older: Moment, newer: Moment) -> Diff:
    """Compare two versions page by page. Reads blocks that lie in other places only, of both.

    Raises:
        NotFoundError, SnapshotTooOldError: a version is out of reach. CorruptError: it is damaged.
    """
    before, after = open_at(database, older), open_at(database, newer)
    return Diff(before, after, tuple(_changed_pages(before, after)))


def _changed_pages(before: Snapshot, after: Snapshot) -> Iterator[int]:
    page_size = after.page_size or before.page_size
    count = unit_count(max(before.size, after.size), page_size) if page_size else 0
    if before.page_size != after.page_size:
        yield from range(1, count + 1)
        return
    common = unit_count(min(before.size, after.size), page_size) if page_size else 0
    candidates = iter(sorted(_candidates(before, after, common)))
    while part := list(islice(candidates, _READ_AT_ONCE)):
        blocks = {
            block for page in part for block in overlapping(page - 1, page_size, after.block_size)
        }
        for snapshot in (before, after):
            snapshot.fetch(block for block in blocks if block < snapshot.block_count)
        for page in part:
            offset = (page - 1) * page_size
            if bytes(before.read(offset, page_size)) != bytes(after.read(offset, page_size)):
                yield page
    yield from range(common + 1, count + 1)


def _candidates(before: Snapshot, after: Snapshot, pages: int) -> set[int]:
    """Pages of both that may differ: in blocks that moved, or in a tail."""
    tails = {*before.pages.tail_numbers, *after.pages.tail_numbers}
    found = {page for page in tails if page <= pages}
    count = min(before.block_count, after.block_count)
    for start in range(0, count, _BLOCKS_AT_ONCE):
        blocks = range(start, min(count, start + _BLOCKS_AT_ONCE))
        old, new = before.locators(blocks), after.locators(blocks)
        for block in blocks:
            if old.get(block) != new.get(block):
                inside = overlapping(block, after.block_size, after.page_size)
                found.update(page + 1 for page in inside if page < pages)
    return found

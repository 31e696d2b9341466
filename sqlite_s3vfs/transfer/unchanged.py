"""Blocks of a new file that the stored database has already, told by the strong hash of their content.

The hashes lie in the directories of the segments. A CRC would not do: what is taken for equal is never
looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CorruptError, unreadable
from sqlite_s3vfs.format.blockmap import DeadBlocks, Locator, SegmentSource
from sqlite_s3vfs.format.envelope import envelope_end
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.segment import (
    DIRECTORY_ROW_MAX,
    DIRECTORY_SIZE_MAX,
    content_hash,
    decode_directory,
)
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.store.port import Fetched


class KnownBlocks:
    """The stored blocks of one version, by index and hash; those of a fork's parents are left out."""

    def __init__(self, database: Database, snapshot: Snapshot) -> None:
        """One small GET for each segment of the version, in parallel; 0 for a new database."""
        self._database = database
        self._known: dict[int, tuple[bytes, Locator]] = {}
        of_segment: dict[SegmentSource, dict[int, Locator]] = {}
        for block, locator in snapshot.locators(range(snapshot.block_count)).items():
            source = locator.source
            if isinstance(source, SegmentSource) and not source.owner:
                of_segment.setdefault(source, {})[block] = locator
        tasks = [
            partial(self._read_directory, snapshot, source, locators)
            for source, locators in of_segment.items()
        ]
        for found in run_all(database.engine.pool, tasks):
            self._known.update(found)

    def __bool__(self) -> bool:
        return bool(self._known)

    def locator(self, block: int, content: bytes | memoryview) -> Locator | None:
        """Where exactly this content of the block is stored; None where it is not."""
        known = self._known.get(block)
        if known is None or known[1].valid != len(content) or known[0] != content_hash(content):
            return None
        return known[1]

    def _read_directory(
        self, snapshot: Snapshot, source: SegmentSource, locators: dict[int, Locator]
    ) -> dict[int, tuple[bytes, Locator]]:
        """Hashes of the blocks that lie in one segment, whole as they were written."""
        key = self._database.keys.segment(source.name)
        frames = min(locator.offset for locator in locators.values())
        stop = min(frames, DIRECTORY_SIZE_MAX + source.blocks * DIRECTORY_ROW_MAX)
        fetched = self._database.engine.store.get(key, byte_range=(0, stop))
        if not isinstance(fetched, Fetched):
            raise snapshot.missing_object(key)
        try:
            head = fetched.body
            if envelope_end(head) > len(head):
                raise CorruptError("the directory is longer than the place of the first block tells.")
            _, _, rows = decode_directory(head)
        except CorruptError as error:
            raise unreadable("a segment", key, error) from error
        found = {}
        for placed, strong_hash in rows:
            locator = locators.get(placed.block)
            if locator and locator[1:] == placed[1:]:
                found[placed.block] = (strong_hash, locator)
        return found


def dead_beside(kept: Iterable[Locator]) -> dict[ObjectName, DeadBlocks]:
    """What is dead in the segments of ``kept``, where nothing else of them is referred to any more."""
    live: dict[SegmentSource, int] = {}
    for locator in kept:
        if isinstance(locator.source, SegmentSource):
            live[locator.source] = live.get(locator.source, 0) + 1
    return {
        source.name: DeadBlocks(source.home, source.first, source.blocks, source.blocks - count)
        for source, count in live.items()
        if count < source.blocks
    }

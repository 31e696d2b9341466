"""A reader's fixed view of one version: the tail over the interior copies over the blocks.

A snapshot never changes and belongs to nobody: connections that see the same version share it, and
with it the pages that were decoded already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.geometry import block_spans
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.readahead import SequentialReadAhead
from sqlite_s3vfs.reader.block_reader import BlockReader
from sqlite_s3vfs.reader.map_reader import MapReader
from sqlite_s3vfs.reader.shipped_pages import ShippedPages

AHEAD_BYTES_MAX = 4 << 20
"""Bytes of blocks that one missing block may bring along."""

Missing = Callable[["Snapshot", str], Exception]


class Snapshot:
    """One version of a database.

    Version 0 is the empty file that a database is before its first commit.
    """

    def __init__(
        self,
        engine: Engine,
        keys: DatabaseKeys,
        manifest: Manifest,
        missing: Missing,
        *,
        held: Mapping[int, bytes] | None = None,
    ) -> None:
        """``held`` are contents of blocks that are kept as long as the snapshot lives."""
        self.manifest = manifest
        self.version = manifest.version
        self.size = manifest.size
        self.page_size = manifest.page_size
        self.block_size = manifest.block_size
        self.block_count = manifest.block_count
        self.identity = manifest.database_id + manifest.commit_id
        """Equal exactly for equal states of the database; versions may be equal by chance."""
        self.pages = ShippedPages(manifest, self._page_of_blocks)
        self._missing = missing
        self._held = held or {}
        self._blocks = BlockReader(engine, keys, manifest.owners)
        self._map = MapReader(
            engine, keys, manifest.database_id, manifest.blocks, self.missing_object
        )

    def missing_object(self, key: str) -> Exception:
        """The error for an object of this version that is not there."""
        return self._missing(self, key)

    def read(
        self, offset: int, size: int, *, ahead: SequentialReadAhead | None = None
    ) -> bytes | memoryview:
        """Bytes of the file; fewer only at its end. 0 requests where they are at hand.

        ``ahead`` predicts what else to fetch when a block is missing.

        Raises:
            CorruptError: an object is damaged or gone. SnapshotTooOldError: it was condemned since.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        page, start = divmod(offset, self.page_size)
        if start + size > self.page_size:
            return b"".join(
                self.read(page * self.page_size + start, stop - start, ahead=ahead)
                for page, start, stop in block_spans(offset, size, self.page_size)
            )
        content = self.pages.page(page + 1)
        if content is None:
            return self._block_bytes(offset, size, ahead)
        return content if size == len(content) else content[start : start + size]

    def page_at_hand(self, page: int) -> bytes | None:
        """A page (from 1) as the blocks hold it, if that costs no request."""
        interior = self.pages.interior_page(page)
        if interior is not None:
            return interior
        parts = []
        for block, start, stop in block_spans(
            (page - 1) * self.page_size, self.page_size, self.block_size
        ):
            locator = self.manifest.blocks.recent.get(block)
            content = locator and self._blocks.cached(block, locator)
            if content is None or len(content) < stop:
                return None
            parts.append(content[start:stop])
        return b"".join(parts)

    def locators(self, blocks: Iterable[int]) -> dict[int, Locator]:
        """Where blocks lie, holes left out."""
        return self._map.locators(blocks)

    def fetch(self, blocks: Iterable[int]) -> dict[int, bytes]:
        """Bring blocks into memory in parallel; their valid bytes, without the tail, holes left out."""
        return self._blocks.fetch(self.locators(self._not_held(blocks)), self.missing_object)

    def keep(self, locators: Mapping[int, Locator], contents: Mapping[int, bytes]) -> None:
        """Have the contents of blocks in memory that were just written to these places."""
        for block, locator in locators.items():
            self._blocks.keep(block, locator, contents[block])

    def start_fetch(self, blocks: Iterable[int]) -> list[Future[dict[int, bytes]]]:
        """Start reading blocks past the cache; each future gives some of their contents."""
        return self._blocks.start(self.locators(self._not_held(blocks)), self.missing_object)

    def assemble(self, offset: int, size: int, contents: Mapping[int, bytes]) -> bytes:
        """Bytes of the file from ``contents`` of all its blocks there (holes absent) and the tail.

        ``offset`` is the start of a block, and ``size`` whole blocks or up to the end of the file.
        """
        parts: list[bytes] = []
        for block, _, stop in block_spans(offset, size, self.block_size):
            content = self._held.get(block, contents.get(block, b""))[:stop]
            parts += [content, bytes(stop - len(content))]
        if not self.pages.tail_numbers:
            return b"".join(parts)
        file = bytearray().join(parts)
        for page in self.pages.tail_numbers:
            start = (page - 1) * self.page_size - offset
            if -self.page_size < start < size:
                content = self.pages.tail_page(page) or b""
                visible = content[max(0, -start) : size - start]
                file[max(0, start) : max(0, start) + len(visible)] = visible
        return bytes(file)

    def _page_of_blocks(self, page: int) -> bytes:
        return bytes(self._block_bytes((page - 1) * self.page_size, self.page_size, None))

    def _block_bytes(
        self, offset: int, size: int, ahead: SequentialReadAhead | None
    ) -> bytes | memoryview:
        block, start = divmod(offset, self.block_size)
        if start + size <= self.block_size:
            return self._within_block(block, start, start + size, ahead)
        return b"".join(
            self._within_block(block, start, stop, ahead)
            for block, start, stop in block_spans(offset, size, self.block_size)
        )

    def _within_block(
        self, block: int, start: int, stop: int, ahead: SequentialReadAhead | None
    ) -> bytes | memoryview:
        content = self._content(block, ahead)
        if len(content) >= stop:
            return memoryview(content)[start:stop]
        return content[start:stop].ljust(stop - start, b"\x00")     # a hole, or a cut block (I3)

    def _content(self, block: int, ahead: SequentialReadAhead | None) -> bytes:
        if block in self._held:
            return self._held[block]
        locator = self._map.locator(block)
        if locator is None:
            return b""
        content = self._blocks.cached(block, locator)
        if content is not None:
            return content
        wanted = ahead.wanted(block) if ahead else range(block, block + 1)
        bounded = wanted[: max(1, AHEAD_BYTES_MAX // self.block_size)]
        return self.fetch(other for other in bounded if 0 <= other < self.block_count)[block]

    def _not_held(self, blocks: Iterable[int]) -> Iterable[int]:
        return (block for block in blocks if block not in self._held) if self._held else blocks

"""A reader's fixed view of one version: the tail over the interior copies over the blocks.

A snapshot never changes and belongs to nobody: connections that see the same version share it, and
with it the pages of the tail that were decoded already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.geometry import block_spans, unit_count
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.tail import TailEntry, decode_page
from sqlite_s3vfs.planning.interior import interior_content
from sqlite_s3vfs.readahead import SequentialReadAhead
from sqlite_s3vfs.reader.block_reader import BlockReader
from sqlite_s3vfs.reader.map_reader import MapReader

Missing = Callable[["Snapshot", str], Exception]


class Snapshot:
    """One version of a database, or the empty file that a database is before its first commit."""

    def __init__(
        self,
        engine: Engine,
        keys: DatabaseKeys,
        manifest: Manifest | None,
        missing: Missing,
        *,
        held: Mapping[int, bytes] | None = None,
    ) -> None:
        """``held`` are contents of blocks that are kept as long as the snapshot lives."""
        self.manifest = manifest
        self.version = manifest.version if manifest else 0
        self.size = manifest.size if manifest else 0
        self.page_size = manifest.page_size if manifest else 0
        self._missing = missing
        self._held = held or {}
        self._blocks = BlockReader(engine, keys)
        self.block_size = manifest.block_size if manifest else engine.settings.block_size
        self._tail: dict[int, list[TailEntry]] = {}
        self._tail_pages: dict[int, bytes] = {}
        self._interior: dict[int, bytes] = {}
        if manifest:
            self._map = MapReader(
                engine, keys, manifest.database_id, manifest.blocks, self.missing_object
            )
            for entry in manifest.tail:
                self._tail.setdefault(entry.page, []).append(entry)
            self._interior_copies = {copy.page: copy for copy in manifest.interior}

    @property
    def identity(self) -> bytes:
        """Equal exactly for equal states of the database; versions may be equal by chance."""
        return self.manifest.database_id + self.manifest.commit_id if self.manifest else b""

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
        if start + size <= self.page_size:
            content = self.tail_page(page + 1) if page + 1 in self._tail else None
            if content is None:
                content = self._interior_page(page + 1)
            if content is not None:
                return content if size == len(content) else content[start : start + size]
            return self._block_bytes(offset, size, ahead)
        return self._joined(offset, size, ahead)

    def tail_page(self, page: int) -> bytes | None:
        """A page (from 1) that the tail holds, as its newest entry has it."""
        content = self._tail_pages.get(page)
        entries = self._tail.get(page)
        if content is None and entries is not None:
            previous: bytes | None = None
            for position, entry in enumerate(entries):
                if position == 0 and entry.encoding.needs_previous:
                    previous = self._page_of_blocks(page)
                previous = content = decode_page(entry, self.page_size, previous)
            assert content is not None, "a page in the tail has an entry"
            self._tail_pages[page] = content
        return content

    def remember(self, pages: Mapping[int, bytes]) -> None:
        """Take over pages of the tail from the transaction that wrote them."""
        self._tail_pages.update((page, pages[page]) for page in pages if page in self._tail)

    def page_at_hand(self, page: int) -> bytes | None:
        """A page as the blocks hold it, if that costs no request."""
        interior = self._interior_page(page)
        if interior is not None or self.manifest is None:
            return interior
        spans = list(block_spans((page - 1) * self.page_size, self.page_size, self.block_size))
        recent = self.manifest.blocks.recent
        parts = []
        for block, start, stop in spans:
            locator = recent.get(block)
            content = locator and self._blocks.cached(block, locator)
            if content is None or len(content) < stop:
                return None
            parts.append(content[start:stop])
        return b"".join(parts)

    @property
    def block_count(self) -> int:
        """Blocks of the file."""
        return unit_count(self.size, self.block_size)

    def locators(self, blocks: Iterable[int]) -> dict[int, Locator]:
        """Where blocks lie, holes left out."""
        return self._map.locators(blocks) if self.manifest else {}

    @property
    def map(self) -> MapReader:
        """The block map of a version that exists."""
        return self._map

    def fetch(self, blocks: Iterable[int]) -> dict[int, bytes]:
        """Bring blocks into memory in parallel; their valid bytes, without the tail, holes left out."""
        return self._blocks.fetch(self.locators(blocks), self.missing_object)

    def keep(self, locators: Mapping[int, Locator], contents: Mapping[int, bytes]) -> None:
        """Have the contents of blocks in memory that were just written to these places."""
        for block, locator in locators.items():
            self._blocks.keep(block, locator, contents[block])

    def start_fetch(self, blocks: Iterable[int]) -> list[Future[dict[int, bytes]]]:
        """Start reading blocks past the cache; each future gives some of their contents."""
        wanted = [block for block in blocks if block not in self._held]
        return self._blocks.start(self.locators(wanted), self.missing_object)

    def assemble(self, offset: int, size: int, contents: Mapping[int, bytes]) -> bytes:
        """Bytes of the file from ``contents`` of all its blocks there (holes absent) and the tail.

        ``offset`` is the start of a block, and ``size`` whole blocks or up to the end of the file.
        """
        file = bytearray(size)
        for block, _, stop in block_spans(offset, size, self.block_size):
            content = self._held.get(block, contents.get(block, b""))[:stop]
            start = block * self.block_size - offset
            file[start : start + len(content)] = content
        for page in self._tail:
            start = (page - 1) * self.page_size - offset
            if -self.page_size < start < size:
                content = self.tail_page(page) or b""
                visible = content[max(0, -start) : size - start]
                file[max(0, start) : max(0, start) + len(visible)] = visible
        return bytes(file)

    def _joined(self, offset: int, size: int, ahead: SequentialReadAhead | None) -> bytes:
        if not self._tail:
            return bytes(self._block_bytes(offset, size, ahead))
        spans = block_spans(offset, size, self.page_size)
        return b"".join(
            self.read(page * self.page_size + start, stop - start, ahead=ahead)
            for page, start, stop in spans
        )

    def _interior_page(self, page: int) -> bytes | None:
        content = self._interior.get(page)
        if content is None and self.manifest and page in self._interior_copies:
            content = interior_content(self._interior_copies[page], self.page_size)
            self._interior[page] = content
        return content

    def _page_of_blocks(self, page: int) -> bytes:
        interior = self._interior_page(page)
        if interior is not None:
            return interior
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
        inside = [other for other in wanted if 0 <= other < self.block_count]
        return self.fetch(inside)[block]

"""The pages of one version as its map tells: from the copies in the map, the cache, or the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import Locator, SegmentSource
from sqlite_s3vfs.format.geometry import block_spans, overlapping
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.planning.interior import interior_content
from sqlite_s3vfs.readahead import TELLING, ReadAhead
from sqlite_s3vfs.reader.block_reader import RANGE_MAX, BlockReader, Missing
from sqlite_s3vfs.reader.in_advance import InAdvance
from sqlite_s3vfs.reader.map_objects import MapObjects
from sqlite_s3vfs.reader.map_reader import MapReader
from sqlite_s3vfs.reader.shipped_pages import ShippedPages


class StoredPages:
    """What lies below the tail. A ``View`` for predictions."""

    def __init__(
        self,
        engine: Engine,
        keys: DatabaseKeys,
        manifest: Manifest,
        missing: Missing,
        held: Mapping[int, bytes],
        shipped: ShippedPages,
    ) -> None:
        """``held`` are contents of blocks that are kept for good; ``shipped`` what the manifest has."""
        self.page_size = manifest.page_size
        self.block_size = manifest.block_size
        self.block_count = manifest.block_count
        objects = MapObjects(engine, keys, manifest.database_id, manifest.blocks, missing)
        self.map = MapReader(engine, manifest.blocks, objects)
        self.blocks = BlockReader(engine, keys, manifest.owners)
        self.in_advance = InAdvance(engine, self.blocks, missing)
        self._engine = engine
        self._missing = missing
        self.held = held
        self._shipped = shipped

    def copy(self, page: int) -> bytes | None:
        """An interior page, where the map has a copy of it. Requests as for its locator."""
        copy = self.map.copy_of(page, self._blocks_of(page))
        return self._unpacked(copy) if copy else None

    def read(self, offset: int, size: int, ahead: ReadAhead | None) -> bytes | memoryview:
        """Bytes of one page from the blocks; zeros where nothing was ever written."""
        block, start = divmod(offset, self.block_size)
        page = offset // self.page_size + 1
        found: bytes | memoryview
        if start + size <= self.block_size:
            found = _bytes_of(self._contents([block], page, ahead)[block], start, start + size)
        else:
            spans = list(block_spans(offset, size, self.block_size))
            contents = self._contents([block for block, _, _ in spans], page, ahead)
            found = b"".join(_bytes_of(contents[block], start, stop) for block, start, stop in spans)
        if ahead is not None and found[0] in TELLING and size == self.page_size:
            ahead.saw(page, found)
        return found

    def stretch(self, offset: int, size: int) -> Iterator[bytes | memoryview]:
        """Bytes of any number of pages from the blocks, in parts; they predict nothing."""
        for block, start, stop in block_spans(offset, size, self.block_size):
            page = (block * self.block_size + start) // self.page_size + 1
            yield _bytes_of(self._contents([block], page, None)[block], start, stop)

    def fetch(self, blocks: Iterable[int]) -> dict[int, Content]:
        """Bring blocks into memory in parallel; their valid bytes, holes left out."""
        return self.blocks.fetch(self.map.locators(self.not_held(blocks)), self._missing)

    def not_held(self, blocks: Iterable[int]) -> Iterable[int]:
        """Without those that are kept for good."""
        return (block for block in blocks if block not in self.held) if self.held else blocks

    def window(
        self, block: int, ahead: ReadAhead | None, *, again: bool = False
    ) -> Content | None:
        """The valid bytes of a block, where it is in memory; ``again``: as it was just now.

        It counts as read by whom ``ahead`` belongs to, if not ``again``.
        """
        locator = self.map.locator_at_hand(block)
        if locator is None:
            return None
        cached = (self.blocks.peek if again else self.blocks.cached)(block, locator)
        if cached is None:
            return None
        if not again:
            if cached.fresh:
                self.in_advance.note_use(cached)
            if ahead is not None:
                self._look_ahead(ahead.used(block, self, waited=False), ahead)
        return cached.content

    def in_memory(self, page: int) -> bytes | None:
        """A page (from 1) as the blocks hold it, if that costs no request."""
        copy = self.map.copy_at_hand(page, self._blocks_of(page))
        if copy is not None:
            return self._unpacked(copy)
        parts = []
        for block, start, stop in block_spans(
            (page - 1) * self.page_size, self.page_size, self.block_size
        ):
            locator = self.map.locator_at_hand(block)
            cached = self.blocks.peek(block, locator) if locator else None
            if cached is None or len(cached.content) < stop:
                return None
            parts.append(cached.content[start:stop])
        return b"".join(parts)

    def at_hand(self, page: int) -> bytes | memoryview | None:
        """See ``View``."""
        content = self._shipped.page_at_hand(page)
        return self.in_memory(page) if content is None else content

    def is_near(self, block: int) -> bool:
        """See ``View``."""
        if block in self.held:
            return True
        locator = self.map.locator_at_hand(block)
        return locator is not None and self.in_advance.is_near(block, locator)

    def is_together(self, block: int, other: int) -> bool:
        """See ``View``."""
        first, second = self.map.locator_at_hand(block), self.map.locator_at_hand(other)
        if first is None or second is None or not isinstance(first.source, SegmentSource):
            return False
        return first.source == second.source and abs(first.offset - second.offset) < RANGE_MAX

    def _contents(
        self, blocks: Sequence[int], page: int, ahead: ReadAhead | None
    ) -> dict[int, Content]:
        """The blocks that ``page``, which is read, lies in; what is missing is fetched at once."""
        contents: dict[int, Content] = {}
        lacking: dict[int, Locator] = {}
        for block in blocks:
            content: Content | None = self.held.get(block)
            locator = self.map.locator(block) if content is None else None
            if locator is not None:
                content = self.window(block, ahead)
                if content is None:
                    lacking[block] = locator
            contents[block] = b"" if content is None else content
        if not lacking:
            return contents
        wanted = list(lacking)
        if ahead is not None:       # what comes next is fetched meanwhile
            for block, locator in lacking.items():
                wanted += self.in_advance.take(block, locator)
            self._look_ahead(ahead.missed(page, self), ahead)
        contents.update(self.fetch(wanted))
        for block, locator in lacking.items():
            cached = self.blocks.peek(block, locator)
            if cached is not None:
                self.in_advance.note_use(cached)        # it was under way
        return contents

    def _look_ahead(self, blocks: Sequence[int], ahead: ReadAhead) -> None:
        if blocks:
            self.in_advance.start(self.map.locators_at_hand(self.not_held(blocks)), ahead)

    def _unpacked(self, copy: InteriorPage) -> bytes:
        content = self._engine.interior.get(copy)
        if content is None:
            content = interior_content(copy, self.page_size)
            self._engine.interior.put(copy, content, len(content))
        return content

    def _blocks_of(self, page: int) -> range:
        return overlapping(page - 1, self.page_size, self.block_size)


def _bytes_of(content: Content, start: int, stop: int) -> bytes | memoryview:
    """Bytes of a block; zeros behind its end: a hole, or a cut block (I3)."""
    if len(content) >= stop:
        return memoryview(content)[start:stop]
    return bytes(content[start:stop]).ljust(stop - start, b"\x00")

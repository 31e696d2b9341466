"""A reader's fixed view of one version: the tail over the interior copies over the blocks.

A snapshot never changes and belongs to nobody: connections that see the same version share it, and
with it the pages that were decoded already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import BlockMap, Locator
from sqlite_s3vfs.format.geometry import block_spans
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.readahead import ReadAhead
from sqlite_s3vfs.reader.map_objects import MapObjects
from sqlite_s3vfs.reader.shipped_pages import ShippedPages
from sqlite_s3vfs.reader.stored_pages import StoredPages

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
        self.map_objects: Callable[[BlockMap], MapObjects] = partial(
            MapObjects, engine, keys, manifest.database_id, missing=self.missing_object
        )
        """The objects of a map of this database; the error for one that is gone is this version's."""
        self._stored = StoredPages(
            engine, keys, manifest, self.missing_object, held or {}, self.pages
        )

    def missing_object(self, key: str) -> Exception:
        """The error for an object of this version that is not there."""
        return self._missing(self, key)

    def read(
        self, offset: int, size: int, *, ahead: ReadAhead | None = None
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
            content = self._stored.copy(page + 1)
        elif not page:
            self._stored.map.start_loading()
        if content is None:
            return self._stored.read(offset, size, ahead)
        if ahead is not None and size == len(content):
            ahead.saw(page + 1, content)
        return content if size == len(content) else content[start : start + size]

    def read_stretch(self, offset: int, size: int) -> bytes:
        """The same for many pages whose blocks are in memory, or are to be: one step for each block."""
        size = max(0, min(size, self.size - offset))
        return self.pages.over(offset, size, self._stored.stretch(offset, size))

    def page_at_hand(self, page: int) -> bytes | None:
        """A page (from 1) as the blocks hold it, if that costs no request."""
        interior = self.pages.interior_page(page)
        return self._stored.in_memory(page) if interior is None else interior

    def locators(self, blocks: Iterable[int]) -> dict[int, Locator]:
        """Where blocks lie, holes left out."""
        return self._stored.map.locators(blocks)

    def fetch(self, blocks: Iterable[int]) -> dict[int, Content]:
        """Bring blocks into memory in parallel; their valid bytes, without the tail, holes left out."""
        return self._stored.fetch(blocks)

    def contents_at_hand(self, blocks: Iterable[int]) -> dict[int, Content]:
        """Blocks in memory, as they are stored: without the tail. 0 requests."""
        stored, wanted = self._stored, list(blocks)
        found: dict[int, Content] = {
            block: stored.held[block] for block in wanted if block in stored.held
        }
        for block, locator in stored.map.locators_at_hand(stored.not_held(wanted)):
            cached = stored.blocks.peek(block, locator)
            if cached is not None:
                found[block] = cached.content
        return found

    def retire(self, locators: Mapping[int, Locator]) -> None:
        """Blocks at these places were replaced: they leave memory before others do."""
        self._stored.blocks.retire(locators)

    def keep(self, locators: Mapping[int, Locator], contents: Mapping[int, bytes]) -> None:
        """Have the contents of blocks in memory that were just written to these places."""
        for block, locator in locators.items():
            self._stored.blocks.keep(block, locator, contents[block])

    def start_fetch(self, blocks: Iterable[int]) -> list[Future[dict[int, Content]]]:
        """Start reading blocks past the cache; each future gives some of their contents."""
        stored = self._stored
        wanted = self.locators(stored.not_held(blocks))
        return stored.blocks.start(wanted, self.missing_object)

    def assemble(self, offset: int, size: int, contents: Mapping[int, Content]) -> bytes:
        """Bytes of the file from ``contents`` of all its blocks there (holes absent) and the tail.

        ``offset`` is the start of a block, and ``size`` whole blocks or up to the end of the file.
        """
        parts: list[Content] = []
        for block, _, stop in block_spans(offset, size, self.block_size):
            content = self._stored.held.get(block, contents.get(block, b""))[:stop]
            parts.append(content)
            if len(content) < stop:
                parts.append(bytes(stop - len(content)))
        return self.pages.over(offset, size, parts)

    def window(self, block: int, ahead: ReadAhead, *, again: bool) -> Content | None:
        """The valid bytes of a block, if it is in memory and nothing lies over it.

        It counts as read by whom ``ahead`` belongs to, unless it was so just now (``again``).
        """
        if not block or block in self._stored.held:
            return None
        if self.pages.tail_numbers and self.pages.tail_lies_over(block, self.block_size):
            return None
        return self._stored.window(block, ahead, again=again)

    def stop_advance(self, ahead: ReadAhead) -> None:
        """A connection's transaction is over: what was fetched for it in advance is not wanted."""
        stored = self._stored
        stored.in_advance.drop(ahead, stored.map.locators_at_hand(ahead.end()))

    def _page_of_blocks(self, page: int) -> bytes:
        return bytes(self._stored.read((page - 1) * self.page_size, self.page_size, None))

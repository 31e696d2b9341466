"""Pages that ride inside a manifest: the tail, and copies of interior pages; decoded once each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.tail import TailEntry, decode_page
from sqlite_s3vfs.planning.interior import interior_content


class ShippedPages:
    """The pages of one manifest, by number from 1. ``page_of_blocks`` reads a page from the blocks."""

    def __init__(self, manifest: Manifest, page_of_blocks: Callable[[int], bytes]) -> None:
        self._page_size = manifest.page_size
        self._page_of_blocks = page_of_blocks
        self._entries: dict[int, list[TailEntry]] = {}
        for entry in manifest.tail:
            self._entries.setdefault(entry.page, []).append(entry)
        self._copies = {copy.page: copy for copy in manifest.interior}
        self._tail_pages: dict[int, bytes] = {}
        self._interior_pages: dict[int, bytes] = {}

    @property
    def tail_numbers(self) -> Mapping[int, object]:
        """The numbers of the pages in the tail."""
        return self._entries

    def tail_lies_over(self, block: int, block_size: int) -> bool:
        """Whether a page in the tail shares bytes with the block."""
        pages = overlapping(block, block_size, self._page_size)
        return any(page + 1 in self._entries for page in pages)

    def page(self, page: int) -> bytes | None:
        """A page as this version has it, where the manifest tells; the tail goes before the copies."""
        if page in self._entries:
            return self.tail_page(page)
        return self.interior_page(page) if page in self._copies else None

    def page_at_hand(self, page: int) -> bytes | None:
        """The same without a request: nothing where the tail has a patch of a page not read yet."""
        if page in self._entries:
            return self._tail_pages.get(page)
        return self.interior_page(page) if page in self._copies else None

    def over(self, offset: int, size: int, parts: Iterable[Content]) -> bytes:
        """The bytes of ``parts``, which begin at ``offset`` in the file, with the tail over them."""
        if not self._entries:
            return b"".join(parts)
        file, page_size = bytearray().join(parts), self._page_size
        for page in self.tail_numbers:
            start = (page - 1) * page_size - offset
            if -page_size < start < size:
                content = self.tail_page(page) or b""
                visible = content[max(0, -start) : size - start]
                file[max(0, start) : max(0, start) + len(visible)] = visible
        return bytes(file)

    def tail_page(self, page: int) -> bytes | None:
        """A page that the tail holds, as its newest entry has it.

        Reads from the blocks where the first entry is a patch.
        """
        content = self._tail_pages.get(page)
        entries = self._entries.get(page)
        if content is None and entries is not None:
            previous: bytes | None = None
            for position, entry in enumerate(entries):
                if position == 0 and entry.encoding.needs_previous:
                    previous = self.interior_page(page) or self._page_of_blocks(page)
                previous = content = decode_page(entry, self._page_size, previous)
            assert content is not None, "a page in the tail has an entry"
            self._tail_pages[page] = content
        return content

    def interior_page(self, page: int) -> bytes | None:
        """The copy of an interior page, as the blocks hold it."""
        content = self._interior_pages.get(page)
        if content is None and page in self._copies:
            content = interior_content(self._copies[page], self._page_size)
            self._interior_pages[page] = content
        return content

    def remember(self, pages: Mapping[int, bytes]) -> None:
        """Take over pages of the tail from the transaction that wrote them."""
        self._tail_pages.update((page, pages[page]) for page in pages if page in self._entries)

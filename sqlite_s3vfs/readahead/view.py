"""What a prediction may look at: the shape of the file, and the pages that are in memory already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from sqlite_s3vfs.format.geometry import overlapping


class View(Protocol):
    """One version of a database, as far as it is at hand. Nothing here costs a request."""

    @property
    def page_size(self) -> int:
        """Bytes of a page."""

    @property
    def block_size(self) -> int:
        """Bytes of a block."""

    @property
    def block_count(self) -> int:
        """Blocks of the file."""

    def at_hand(self, page: int) -> bytes | memoryview | None:
        """A page (from 1), where it is in memory."""

    def is_near(self, block: int) -> bool:
        """Whether a block is in memory, or is being fetched."""

    def is_together(self, block: int, other: int) -> bool:
        """Whether two blocks lie in one object, so that one request may bring both."""


def block_of(view: View, page: int) -> int:
    """The block in which a page begins."""
    return (page - 1) * view.page_size // view.block_size


def blocks_of(view: View, runs: Iterable[Sequence[int]]) -> Iterator[int]:
    """The blocks that pages lie in, in the order of the pages; neighbours in one block count once."""
    whole = view.block_size // view.page_size if not view.block_size % view.page_size else 0
    count, last = view.block_count, -1
    for run in runs:
        if whole:
            blocks: Iterable[int] = ((page - 1) // whole for page in run)
        else:
            parts = (overlapping(page - 1, view.page_size, view.block_size) for page in run)
            blocks = chain.from_iterable(parts)
        for block in blocks:
            if block != last and 0 <= block < count:
                yield block
                last = block

"""Ways to run one script: which connections take its records, over which pages, blocks and caches.

The same connections also run it on a plain SQLite file, so that each record can be compared with what
it does there, and at the end the databases byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import apsw

from sqlite_s3vfs.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How to run a script.

    ``connections`` take the records in turn; with ``processes`` each through a VFS of its own, as in
    that many processes. After every ``reopen_every`` records (0: never) the connection whose turn it is
    is closed and opened again. ``cache_size``, in pages, is SQLite's page cache. ``short_tails`` sends
    nearly all commits to blocks, and folds the others at once.
    """

    name: str
    connections: int = 1
    processes: bool = False
    reopen_every: int = 0
    cache_size: int | None = None
    page_size: int = 4096
    block_size: int = 64 << 10
    short_tails: bool = False

    @property
    def settings(self) -> Settings:
        return Settings(block_size=self.block_size)

    @property
    def on_plain_file(self) -> Variant:
        """The part of it that makes a difference to results on a plain file."""
        one_process = replace(self, name="", processes=False, short_tails=False)
        return replace(one_process, cache_size=None, block_size=512)

    def prepare(self, connection: apsw.Connection) -> None:
        """Set what a new connection is told."""
        connection.pragma("page_size", self.page_size)
        if self.cache_size is not None:
            connection.pragma("cache_size", self.cache_size)


ONE = Variant(name="one")
ALTERNATING = Variant(name="alternating", connections=3)
PROCESSES = Variant(name="processes", connections=3, processes=True)
REOPENING = Variant(name="reopening", reopen_every=7)
TINY_CACHE = Variant(name="tiny-cache", cache_size=5)
SMALL_PAGES = Variant(name="small-pages", page_size=512, block_size=512)
ODD_BLOCKS = Variant(name="odd-blocks", block_size=4095)
LARGE_PAGES = Variant(name="large-pages", page_size=64 << 10, block_size=4097)
SHORT_TAILS = Variant(name="short-tails", short_tails=True)
EVERYTHING = Variant(
    name="everything",
    connections=3,
    processes=True,
    reopen_every=5,
    cache_size=5,
    page_size=1024,
    block_size=1500,
    short_tails=True,
)

VARIANTS = (
    ONE,
    EVERYTHING,
    ALTERNATING,
    PROCESSES,
    REOPENING,
    TINY_CACHE,
    SHORT_TAILS,
    SMALL_PAGES,
    ODD_BLOCKS,
    LARGE_PAGES,
)


class TakingTurns:
    """``Connections`` after a variant. ``opens`` has a way to open for each connection."""

    def __init__(self, variant: Variant, opens: list[Callable[[], apsw.Connection]]) -> None:
        self._variant = variant
        self._opens = opens
        self._connections = [self._open(index) for index in range(variant.connections)]
        self._count = 0

    def next(self) -> apsw.Connection:
        """The connection whose turn it is."""
        index = self._count % len(self._connections)
        self._count += 1
        every = self._variant.reopen_every
        if every and self._count % every == 0:
            self._connections[index].close()
            self._connections[index] = self._open(index)
        return self._connections[index]

    def close(self) -> None:
        """Close them all."""
        for connection in self._connections:
            connection.close()

    def _open(self, index: int) -> apsw.Connection:
        connection = self._opens[index % len(self._opens)]()
        self._variant.prepare(connection)
        return connection

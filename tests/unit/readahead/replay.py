"""SQLite's reads, played to a policy: a real database file, and a memory that starts empty.

``Replay`` counts what the policy is for: how often SQLite had to wait, and what was fetched in vain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlite_s3vfs.format.btree import InteriorNode
from sqlite_s3vfs.readahead import TELLING, ReadAhead

PAGE_SIZE = 4096
PAGES_IN_BLOCK = 4
INTERIOR = (2, 5)


class Tree:
    """One B-tree of a database file."""

    def __init__(self, file: bytes, root: int) -> None:
        self.file = file
        self.root = root

    def page(self, number: int) -> bytes:
        return self.file[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]

    def walk(self, number: int = 0, step: int = 1) -> Iterator[int]:
        """The pages in the order in which a scan reads them."""
        number = number or self.root
        yield number
        if self.page(number)[0] in INTERIOR:
            for child in InteriorNode(number, self.page(number)).children[::step]:
                yield from self.walk(child, step)

    def way_to(self, rowid: int) -> Iterator[int]:
        """The pages that a lookup of a row reads."""
        number = self.root
        while self.page(number)[0] in INTERIOR:
            yield number
            node = InteriorNode(number, self.page(number))
            number = node.children[node.position_of(rowid)]
        yield number

    def leaves(self) -> list[int]:
        return [number for number in self.walk() if self.page(number)[0] not in INTERIOR]


class Replay:
    """A ``View`` whose interior pages are all at hand, and the reader."""

    page_size = PAGE_SIZE
    block_size = PAGES_IN_BLOCK * PAGE_SIZE
    blocks_in_object = 64

    def __init__(self, file: bytes, *, bytes_max: int = 8 << 20) -> None:
        self.file = file
        self.ahead = ReadAhead(bytes_max)
        self.block_count = -(-len(file) // self.block_size)
        self.fresh: set[int] = set()
        self.memory: set[int] = set()
        self.fetched: list[int] = []
        self.fetches: list[list[int]] = []
        self._on_the_way: set[int] = set()
        self.waits = 0
        self._seen: set[int] = set()

    def at_hand(self, page: int) -> bytes | None:
        content = self.file[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return content if content[0] in INTERIOR else None

    def is_near(self, block: int) -> bool:
        return block in self.memory or block in self._on_the_way

    def still_on_the_way(self, block: int) -> None:
        """A block that was fetched has not come yet."""
        self.memory.discard(block)
        self._on_the_way.add(block)

    def is_together(self, block: int, other: int) -> bool:
        return block // self.blocks_in_object == other // self.blocks_in_object

    def read(self, page: int) -> None:
        """SQLite asks for a page, unless it is an interior page that it has."""
        content = self.file[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        if content[0] in INTERIOR:
            if page not in self._seen:
                self._seen.add(page)
                self.ahead.saw(page, content)
            return
        block = (page - 1) // PAGES_IN_BLOCK
        if block in self.memory:
            self.fresh.discard(block)
            self._fetch(self.ahead.used(block, self, waited=False))
        else:
            self.waits += 1
            self._fetch(self.ahead.missed(page, self))
            self.memory.add(block)
            self.fresh.discard(block)
        if content[0] in TELLING:
            self.ahead.saw(page, content)

    def read_all(self, pages: Iterator[int] | list[int]) -> None:
        for page in pages:
            self.read(page)

    def _fetch(self, blocks: list[int]) -> None:
        assert all(0 <= block < self.block_count for block in blocks)
        assert not self.memory.intersection(blocks), "what is there already is not fetched"
        assert len(set(blocks)) == len(blocks)
        self.fetched += blocks
        self.fetches += [blocks] if blocks else []
        self.memory.update(blocks)
        self.fresh.update(blocks)


def build(path: Path, script: str, *rows: tuple[str, Iterator[tuple[object, ...]]]) -> bytes:
    """The file that a script and many rows make."""
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA page_size={PAGE_SIZE}; {script}")
    for sql, values in rows:
        connection.executemany(sql, values)
    connection.commit()
    connection.close()
    return path.read_bytes()


def trees(file: bytes, path: Path) -> dict[str, Tree]:
    """The B-trees of a file by name."""
    connection = sqlite3.connect(path)
    found = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    connection.close()
    return {name: Tree(file, root) for name, root in found.items()}

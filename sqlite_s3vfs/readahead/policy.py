"""Which blocks to fetch before SQLite asks for them, by what one connection has read so far.

A block that is not in memory is taken for part of a scan

* where the leaf before it (or after it, for a scan downwards) in the order of its B-tree was read
  shortly before, wherever in the file that lies; or it is the first leaf of its tree, which may as well
  be a lookup: that is worth one request until the next leaf is read;
* where it and a row read before it follow each other in an index leaf, or it has the first row of a
  key there: then the rows that the leaf names next are, though their leaves lie anywhere;
* where its B-tree is not known (overflow pages, say), and the block before or after it was read.

Anything else is taken for random access and fetches nothing in advance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from sqlite_s3vfs.format.btree import INDEX_LEAF
from sqlite_s3vfs.format.sqlite_header import INDEX_INTERIOR, TABLE_INTERIOR, page_type
from sqlite_s3vfs.readahead.rows import IndexOrder
from sqlite_s3vfs.readahead.streams import Depth, Stream
from sqlite_s3vfs.readahead.trees import Path, Trees
from sqlite_s3vfs.readahead.view import View, block_of, blocks_of

TELLING = frozenset({INDEX_INTERIOR, TABLE_INTERIOR, INDEX_LEAF})
"""First bytes of the pages that tell about others."""
START_BYTES = 512 << 10
ENOUGH_BYTES = 8 << 20
BATCH_BYTES = 4 << 20
ROWS_BYTES = 8 << 20
_RECENT = 8
"""Changes of block that a scan may be away, reading an index or another table."""
_STREAMS = 8
_AWAY_MAX = 64
"""Blocks read for other scans, after which one is taken for ended."""


class ReadAhead:
    """Told what is read; answers which blocks to fetch in advance, in order."""

    def __init__(self, bytes_max: int) -> None:
        """``bytes_max`` bounds what is fetched in advance and not used yet; 0 for nothing."""
        self._bytes_max = bytes_max
        self._trees = Trees()
        self._order = IndexOrder(self._trees)
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._streams: list[Stream] = []
        self._reads = 0

    def saw(self, page: int, content: bytes | memoryview) -> None:
        """SQLite has read a page that tells about others (``TELLING``), or may do so."""
        content = bytes(content)                # a view would keep all that lies around it
        kind = page_type(content, page)
        if kind in (TABLE_INTERIOR, INDEX_INTERIOR):
            self._trees.saw(page, content)
        elif kind == INDEX_LEAF:
            self._order.saw_leaf(page, content)

    def used(self, block: int, view: View, *, waited: bool) -> list[int]:
        """SQLite comes to a block that is in memory, or (``waited``) was being fetched in advance."""
        self._recent.append(block)
        for stream in self._streams:
            if block in stream:
                self._reads += 1
                stream.at = self._reads
                return stream.follow(block, view, waited=waited, share=self._share())
        return []

    def missed(self, page: int, view: View) -> list[int]:
        """SQLite reads a page that is not in memory, and waits for its block meanwhile."""
        block = block_of(view, page)
        if any(block in stream for stream in self._streams):
            return self.used(block, view, waited=True)
        expected = self._streams and view.is_near(block)    # under way, and come to out of turn
        stream = self._detect(page, block, view) if self._bytes_max and not expected else None
        self._recent.append(block)
        if stream is None or any(stream.is_part_of(other) for other in self._streams):
            return []
        self._reads += 1
        stream.at = self._reads
        self._streams.append(stream)
        del self._streams[:-_STREAMS]
        return stream.start(view)

    def end(self) -> list[int]:
        """The transaction is over, and every scan with it: what was fetched and is not wanted now."""
        unwanted = [block for stream in self._streams for block in stream]
        self._streams.clear()
        self._order.end()
        return unwanted

    def _share(self) -> int:
        """Among how many scans the bound is divided."""
        return sum(stream.at > self._reads - _AWAY_MAX for stream in self._streams)

    def _detect(self, page: int, block: int, view: View) -> Stream | None:
        path = self._trees.path_to(page)
        if not path:
            return self._by_position(block, view)
        for step in (1, -1):
            before = self._neighbour(path, block, -step, view)
            first = step == 1 and not any(position for _, position in path)
            follows = before in self._recent
            if follows or first:
                others = self._others(blocks_of(view, self._trees.leaves(path, step, view)), block)
                return Stream(others, self._scan(view), guessed=not follows)
        return self._order.missed(page, path, view, self._rows(view))

    def _neighbour(self, path: Path, block: int, step: int, view: View) -> int | None:
        """The block of the nearest leaf that lies in another one."""
        leaves = self._trees.leaves(path, step, view)
        return next(self._others(blocks_of(view, leaves), block), None)

    def _by_position(self, block: int, view: View) -> Stream | None:
        if block - 1 in self._recent:
            return Stream(iter(range(block + 1, view.block_count)), self._scan(view))
        if block + 1 in self._recent:
            return Stream(iter(range(block - 1, -1, -1)), self._scan(view))
        return None

    def _others(self, blocks: Iterator[int], own: int) -> Iterator[int]:
        return (block for block in blocks if block != own)

    def _scan(self, view: View) -> Depth:
        most = max(1, self._bytes_max // view.block_size)
        batch = max(1, BATCH_BYTES // view.block_size)
        roomy = most - batch if most > 2 * batch else most      # so that a batch may be longer
        return Depth(
            first=min(most, max(1, START_BYTES // view.block_size)),
            growth=2,
            enough=min(roomy, max(1, ENOUGH_BYTES // view.block_size)),
            most=most,
            batch=batch,
        )

    def _rows(self, view: View) -> Depth:
        most = max(1, min(self._bytes_max, ROWS_BYTES) // view.block_size)
        return Depth(first=1, growth=1, enough=most, most=most, batch=1)

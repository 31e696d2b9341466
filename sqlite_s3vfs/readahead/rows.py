"""Index order: an index leaf names the rows that come next, wherever their leaves lie.

After two rows that follow each other in a leaf of an index, the leaves of the next ones are known and
can be fetched side by side. Rows whose leaf is in memory are not noticed, and stepped over. Where both
rows have the same first column, only the rest of those that have it is fetched: a query by
equality ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlite_s3vfs.format.btree import IndexLeaf
from sqlite_s3vfs.readahead.streams import Depth, Stream
from sqlite_s3vfs.readahead.trees import Path, Trees
from sqlite_s3vfs.readahead.view import View, block_of, blocks_of

_INDEXES = 6
_STEPS_OVER_MAX = 64
"""Rows in memory that may lie between two that are not."""
_TABLES = 8


@dataclass(slots=True)
class _Opened:
    """The leaf read last of one index, when it was, and its page's path."""

    leaf: IndexLeaf
    path: Path
    at: int


@dataclass(slots=True)
class _Row:
    """The row read last of one table, by the bounds of its leaf."""

    low: int | None
    high: int | None
    at: int


class IndexOrder:
    """Watches index leaves and the rows that are read after them."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._now = 0
        self._opened: dict[int, _Opened] = {}
        self._rows: dict[int, _Row] = {}

    def saw_leaf(self, page: int, content: bytes | memoryview) -> None:
        """SQLite has read a leaf of an index."""
        path = self._trees.path_to(page)
        root = path[0].node.page if path else page
        self._now += 1
        self._opened.pop(root, None)
        self._opened[root] = _Opened(IndexLeaf(page, content), path, self._now)
        if len(self._opened) > _INDEXES:
            del self._opened[next(iter(self._opened))]

    def end(self) -> None:
        """The transaction is over."""
        self._opened.clear()
        self._rows.clear()

    def missed(self, page: int, path: Path, view: View, depth: Depth) -> Stream | None:
        """A leaf of a table is not in memory: the rows that come after it, where an index tells."""
        if not path[-1].node.is_table:
            return None
        self._now += 1
        table = path[0].node.page
        row = _Row(*self._trees.bounds(path), self._now)
        before = self._rows.pop(table, None)
        self._rows[table] = row
        if len(self._rows) > _TABLES:
            del self._rows[next(iter(self._rows))]
        if before is None:
            return None
        for opened in reversed(self._opened.values()):
            if opened.at < before.at:
                stream = self._following(opened, before, row, path, view, depth)
                if stream is not None:
                    return stream
        return None

    def _following(self, opened: _Opened, before: _Row, row: _Row, path: Path, view: View,
                   depth: Depth) -> Stream | None:
        entries = opened.leaf.entries
        steps = [
            (start, at, step)
            for start, (_, rowid) in enumerate(entries)
            if _holds(before, rowid)
            for step in (1, -1)
            if (at := self._next_row(entries, start, step, row, before, path, view)) is not None
        ]
        if not steps:
            return None
        # In a small table rows may seem to follow each other by chance: rather those of one key.
        start, at, step = min(
            steps, key=lambda found: (entries[found[0]][0] != entries[found[1]][0], found[1] - found[0])
        )
        equal = entries[at][0] == entries[start][0]
        pages = self._pages(opened, at, step, path, view, equal=equal)
        own = block_of(view, self._trees.leaf_of_row(entries[at][1], path, view))
        blocks = (block for block in blocks_of(view, pages) if block != own)
        return Stream(blocks, replace(depth, growth=2 if equal else 1), used=2)

    def _next_row(self, entries: Entries, start: int, step: int, row: _Row, before: _Row, path: Path,
                  view: View) -> int | None:
        """Where ``row`` is, if only rows in memory lie between it and the one at ``start``."""
        at = start + step
        while 0 <= at < len(entries) and abs(at - start) <= _STEPS_OVER_MAX:
            rowid = entries[at][1]
            if _holds(row, rowid):
                return at
            near = view.is_near(block_of(view, self._trees.leaf_of_row(rowid, path, view)))
            if not near and not _holds(before, rowid):
                return None
            at += step
        return None

    def _pages(self, opened: _Opened, at: int, step: int, path: Path, view: View, *,
               equal: bool) -> Iterator[Sequence[int]]:
        """The leaves of the rows from there on, and the index leaf after this one."""
        entries = opened.leaf.entries
        key = entries[at][0]
        at += step
        while 0 <= at < len(entries):
            if equal and entries[at][0] != key:
                return
            yield (self._trees.leaf_of_row(entries[at][1], path, view),)
            at += step
        next_leaf = next(filter(None, self._trees.leaves(opened.path, step, view)), ())
        yield next_leaf[:1]


Entries = Sequence[tuple[bytes, int]]


def _holds(row: _Row, rowid: int) -> bool:
    return (row.low is None or row.low < rowid) and (row.high is None or rowid <= row.high)

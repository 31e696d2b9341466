"""Index order: an index leaf names the rows that come next, wherever their leaves lie.

* After two rows that follow each other in a leaf of an index, the leaves of the next ones are known and
  can be fetched side by side. Rows whose leaf is in memory are not noticed, and stepped over.
* **By equality.** Where both rows have the same first column, only the rest of those that have it is
  fetched. The first (or last) of them is enough to guess that all are wanted; a guess that was of no use
  is not made again with that index.
* **Joins.** Rows of one table may be looked up in another one, or in an index, by their rowid: so the
  same is looked for in every tree that is ordered by numbers. A join may leave some rows out.
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
_LEFT_OUT_MAX = 2
"""Rows of one key that may lie between two without being asked for."""
_GUESSED = 2
"""What a guess counts as used already: twice as many are fetched."""
_TABLES = 12


@dataclass(slots=True)
class _Opened:
    """The leaf read last of one index, by its topmost known page; when it was, and the leaf's path."""

    root: int
    leaf: IndexLeaf
    path: Path
    at: int


@dataclass(slots=True)
class _Row:
    """The row read last of one tree, by the bounds of its leaf."""

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
        self._guesses: dict[int, Stream] = {}

    def saw_leaf(self, page: int, content: bytes | memoryview) -> None:
        """SQLite has read a leaf of an index."""
        path = self._trees.path_to(page)
        root = path[0].node.page if path else page
        self._now += 1
        self._opened.pop(root, None)
        self._opened[root] = _Opened(root, IndexLeaf(page, content), path, self._now)
        if len(self._opened) > _INDEXES:
            del self._opened[next(iter(self._opened))]

    def end(self) -> None:
        """The transaction is over."""
        self._opened.clear()
        self._rows.clear()

    def missed(self, page: int, path: Path, view: View, depth: Depth) -> Stream | None:
        """A leaf is not in memory: those of the rows that come after it, where an index tells."""
        bounds = self._trees.bounds(path)
        if bounds is None:
            return None
        self._now += 1
        tree = path[0].node.page
        row = _Row(*bounds, self._now)
        before = self._rows.pop(tree, None)
        self._rows[tree] = row
        if len(self._rows) > _TABLES:
            del self._rows[next(iter(self._rows))]
        for opened in reversed(self._opened.values()):
            if before and opened.at < before.at and opened.root != tree:
                stream = self._following(opened, before, row, path, view, depth)
                if stream is not None:
                    self._guesses.pop(opened.root, None)
                    return stream
        return self._guess(row, path, view, depth)

    def _guess(self, row: _Row, path: Path, view: View, depth: Depth) -> Stream | None:
        """The rows of one key, where the first of a table's is asked for just after their index leaf."""
        opened = next(reversed(self._opened.values()), None)
        if opened is None or opened.at != row.at - 1 or not path[-1].node.is_table:
            return None
        last = self._guesses.pop(opened.root, None)
        if last is not None and last.used == _GUESSED:
            self._guesses[opened.root] = last
            return None
        entries = opened.leaf.entries
        for at, (key, rowid) in enumerate(entries):
            if _holds(row, rowid):
                after = at + 1 < len(entries) and entries[at + 1][0] == key
                before = at > 0 and entries[at - 1][0] == key
                if after != before:
                    stream = self._stream(opened, at, 1 if after else -1, path, view, depth)
                    self._remember(opened.root, stream)
                    return stream
        return None

    def _remember(self, root: int, guess: Stream) -> None:
        self._guesses[root] = guess
        if len(self._guesses) > _TABLES:
            del self._guesses[next(iter(self._guesses))]

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
        return self._stream(opened, at, step, path, view, depth, equal=equal)

    def _stream(self, opened: _Opened, at: int, step: int, path: Path, view: View, depth: Depth, *,
                equal: bool = True) -> Stream:
        """The leaves of the rows after the one there."""
        pages = self._pages(opened, at, step, path, view, equal=equal)
        own = block_of(view, self._trees.leaf_of(opened.leaf.entries[at][1], path, view))
        blocks = (block for block in blocks_of(view, pages) if block != own)
        return Stream(blocks, replace(depth, growth=2 if equal else 1), used=_GUESSED)

    def _next_row(self, entries: Entries, start: int, step: int, row: _Row, before: _Row, path: Path,
                  view: View) -> int | None:
        """Where ``row`` is, if only rows in memory lie between it and the one at ``start``.

        Of the same key a few others may.
        """
        at, left_out = start + step, 0
        while 0 <= at < len(entries) and abs(at - start) <= _STEPS_OVER_MAX:
            rowid = entries[at][1]
            if _holds(row, rowid):
                return at
            near = view.is_near(block_of(view, self._trees.leaf_of(rowid, path, view)))
            if not near and not _holds(before, rowid):
                left_out += 1
                if left_out > _LEFT_OUT_MAX or entries[at][0] != entries[start][0]:
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
            yield (self._trees.leaf_of(entries[at][1], path, view),)
            at += step
        next_leaf = next(filter(None, self._trees.leaves(opened.path, step, view)), ())
        yield next_leaf[:1]


Entries = Sequence[tuple[bytes, int]]


def _holds(row: _Row, rowid: int) -> bool:
    return (row.low is None or row.low < rowid) and (row.high is None or rowid <= row.high)

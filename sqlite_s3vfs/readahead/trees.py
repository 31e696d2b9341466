"""Ways through B-trees, by the interior pages that are at hand.

The children of an interior page, in their order, are what a scan reads next, wherever in the file
they lie; and an index leaf names the rows that come next, whose leaves the table's interior pages know.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sqlite_s3vfs.format.btree import InteriorNode
from sqlite_s3vfs.readahead.view import View

NODES_REMEMBERED = 48
"""Interior pages: enough for the paths of a join of a dozen tables and indexes."""
_DEPTH_MAX = 20
"""SQLite's own limit: https://www.sqlite.org/limits.html (BTCURSOR_MAX_DEPTH)."""


class Step(NamedTuple):
    """A place on the way from a root to a leaf: the position-th child of a node."""

    node: InteriorNode
    position: int


Path = tuple[Step, ...]
"""From the topmost node that is known down to the leaf's parent."""


class Trees:
    """The interior pages that SQLite has read lately. It keeps them itself and reads them once, so what
    is forgotten here may not be seen again."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[int, InteriorNode] = OrderedDict()
        self._upper: OrderedDict[int, InteriorNode] = OrderedDict()
        """Nodes above others: SQLite reads them once, and a scan many that would push them out."""

    def saw(self, page: int, content: bytes | memoryview) -> None:
        """SQLite has read an interior page."""
        self._nodes.pop(page, None)
        self._nodes[page] = node = InteriorNode(page, content)
        if page in self._upper:
            self._upper[page] = node
        if len(self._nodes) > NODES_REMEMBERED:
            self._nodes.popitem(last=False)

    def path_to(self, page: int) -> Path:
        """The way to a page; empty where its parent has not been read."""
        steps: list[Step] = []
        while len(steps) < _DEPTH_MAX:
            step = self._parent_of(page)
            if step is None:
                break
            if steps:
                self._upper[step.node.page] = step.node
                if len(self._upper) > NODES_REMEMBERED:
                    self._upper.popitem(last=False)
            steps.append(step)
            page = step.node.page
        return tuple(reversed(steps))

    def node(self, page: int, view: View) -> InteriorNode | None:
        """An interior page that was read, or is at hand."""
        known = self._nodes.get(page)
        if known is None:
            content = view.at_hand(page)
            known = InteriorNode(page, content) if content is not None else None
        return known if known and known.children else None

    def leaves(self, path: Path, step: int, view: View) -> Iterator[Sequence[int]]:
        """The leaves after (``step`` 1) or before (-1) the one that ``path`` leads to, in runs.

        Ends, behind the page that is lacking, where an interior page is not at hand.
        """
        depth = len(path)
        while path:
            node, position = path[-1]
            children = node.children
            if len(path) == depth:
                yield children[position + 1 :] if step > 0 else children[:position][::-1]
                path = path[:-1]
                continue
            position += step
            if not 0 <= position < len(children):
                path = path[:-1]
                continue
            below = self._edge(children[position], depth - len(path), step, view)
            if isinstance(below, int):
                yield (below,)
                return
            path = (*path[:-1], Step(node, position), *below)

    def leaf_of(self, number: int, path: Path, view: View) -> int:
        """The page of the tree at ``path`` that has the row, or the first entry of a number.

        Otherwise the interior page on the way there that is not at hand.
        """
        node = path[0].node
        for _ in path[1:]:
            page = node.children[node.position_of(number)]
            found = self.node(page, view)
            if found is None:
                return page
            node = found
        return node.children[node.position_of(number)]

    def bounds(self, path: Path) -> tuple[int | None, int | None] | None:
        """The numbers that the leaf at ``path`` lies between: above the first, up to the second.

        None where the tree is not ordered by numbers.
        """
        low = high = None
        for node, position in path:
            above, below = node.number_at(position), node.number_at(position - 1)
            if (above is None and position < node.child_count - 1) or (below is None and position):
                return None
            high = above if above is not None else high
            low = below if below is not None else low
        return low, high

    def _parent_of(self, page: int) -> Step | None:
        for node in chain(reversed(self._nodes.values()), reversed(self._upper.values())):
            position = node.positions.get(page)
            if position is not None:
                return Step(node, position)
        return None

    def _edge(self, page: int, levels: int, step: int, view: View) -> Path | int:
        """The way from an interior page to just before its first (or behind its last) leaf.

        Otherwise the page on that way that is not at hand.
        """
        steps: list[Step] = []
        for level in range(levels):
            node = self.node(page, view)
            if node is None:
                return page
            first = 0 if step > 0 else len(node.children) - 1
            steps.append(Step(node, first - step if level == levels - 1 else first))
            page = node.children[first]
        return tuple(steps)

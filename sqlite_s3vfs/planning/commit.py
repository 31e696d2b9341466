"""Tail or blocks: how a transaction's pages are going to be stored.

Small transactions ride in the manifest and cost one request. The limits are bytes of encoded tail
entries; a manifest of 128 KiB still costs one small upload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from operator import attrgetter

from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.format.manifest import RECENT_COMMITS, Manifest
from sqlite_s3vfs.format.sqlite_header import is_interior_page
from sqlite_s3vfs.format.tail import ENTRY_OVERHEAD, TailEntry, encode_page
from sqlite_s3vfs.planning.cleaning import ALONG, TURNS, has_turn

TAIL_COMMIT_MAX = 32 << 10
"""A transaction that encodes to more is written as blocks."""
TAIL_SOFT_MAX = 64 << 10
"""Past this the tail is folded in the background."""
TAIL_HARD_MAX = 128 << 10
"""No tail grows past this: the commit that would folds it."""
COMMIT_OVERHEAD = 32
"""Bytes that the row of a commit takes beside the writer's name, about."""
_TRY_PAGES_MAX = 64
"""More pages than this are not worth trying: they would not fit."""
_CONTENT, _WRITER = attrgetter("content"), attrgetter("writer")

PreviousPage = Callable[[int], bytes | None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transaction did: the new size, and whole pages by number (from 1).

    Bytes of the base from ``base_limit`` on were cut off on the way: where ``pages`` does not hold
    them they are zeros, even if the file grew again (invariant I3). ``spilled`` are the blocks that
    are stored already, with all that is in them.
    """

    page_size: int
    size: int
    pages: Mapping[int, bytes]
    base_limit: int
    spilled: Set[int] = frozenset()


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """Either ``entries`` for the tail, or ``blocks`` (indexes, ascending) to be written whole.

    ``pages`` are those whose bytes in the blocks change. ``drops`` says that the new manifest forgets
    tail or map entries of the base, which has to be kept as history first (invariant I4).
    """

    entries: tuple[TailEntry, ...]
    blocks: tuple[int, ...]
    drops: bool
    pages: frozenset[int] = frozenset()


def plan_commit(base: Manifest | None, changes: Changes, *, block_size: int,
                tail_page: PreviousPage, block_page: PreviousPage, version: int = 1) -> CommitPlan:
    """Plan the commit of ``changes`` as ``version``, on top of ``base`` (None: a new database).

    ``tail_page(page)`` gives a page that the base's tail holds, ``block_page(page)`` a page that is
    at hand from the base's blocks; None where there is none. They only make entries smaller.
    """
    shrinks = base is not None and changes.size < base.size
    version = base.version + 1 if base else version
    entries = _tail_entries(base, changes, block_size, tail_page, block_page, version)
    if entries is not None:
        return CommitPlan(entries, (), drops=shrinks)
    if base is not None and base.page_size != changes.page_size:
        count = unit_count(changes.size, block_size)
        every = tuple(block for block in range(count) if block not in changes.spilled)
        return CommitPlan((), every, drops=True, pages=frozenset(changes.pages))
    pages = set(changes.pages) | _regrown(base, changes)
    if base is not None and len(changes.pages) <= _TRY_PAGES_MAX and not changes.spilled:
        pages.update(entry.page for entry in base.tail)       # the tail is full: empty it as well
    blocks = _blocks_of(pages, changes.page_size, block_size, changes.size)
    blocks = tuple(block for block in blocks if block not in changes.spilled)
    return CommitPlan((), blocks, drops=base is not None, pages=frozenset(pages))


def _tail_entries(base: Manifest | None, changes: Changes, block_size: int, tail_page: PreviousPage,
                  block_page: PreviousPage, version: int) -> tuple[TailEntry, ...] | None:
    """The entries, where they fit the limits."""
    if base is not None and base.size and base.page_size != changes.page_size:
        return None
    if len(changes.pages) > _TRY_PAGES_MAX or changes.spilled or _regrown(base, changes):
        return None
    room = TAIL_HARD_MAX - tail_cost(base) if base else TAIL_HARD_MAX
    room = min(room, TAIL_COMMIT_MAX)
    entries = []
    for page, content in sorted(changes.pages.items()):
        previous = tail_page(page)
        if previous is None and page != 1 and not is_interior_page(content, page):
            # Page 1 and interior pages are wanted at every open: they never depend on a block.
            previous = block_page(page)
        if len(overlapping(page - 1, changes.page_size, block_size)) > 1:
            # Its blocks may be rewritten one without the other: no version to patch would be left.
            previous = None
        entry = encode_page(page, version, content, previous)
        room -= entry.cost
        if room < 0:
            return None
        entries.append(entry)
    return tuple(entries)


def tail_cost(manifest: Manifest) -> int:
    """Bytes that the tail takes in the manifest, with the rows of commits that it makes necessary."""
    rows = manifest.commits[:-RECENT_COMMITS]
    named = len(rows) * COMMIT_OVERHEAD + sum(map(len, map(_WRITER, rows)))
    tail = len(manifest.tail) * ENTRY_OVERHEAD + sum(map(len, map(_CONTENT, manifest.tail)))
    return tail + named


def must_clean(base: Manifest) -> bool:
    """Whether a commit on ``base`` cleans where no fold does: it has to fold, or has its turn."""
    return bool(base.commits) and (tail_cost(base) > TAIL_SOFT_MAX or has_turn(base.version))


def room_to_clean(base: Manifest, count: int) -> int:
    """How many blocks such a commit takes along that writes ``count`` blocks: as much as folds would."""
    return ALONG * count * (1 if tail_cost(base) > TAIL_SOFT_MAX else TURNS) + 16


def _regrown(base: Manifest | None, changes: Changes) -> set[int]:
    """Pages of the base that were cut off and are there again."""
    stop = min(base.size, changes.size) if base else 0
    if changes.base_limit >= stop:
        return set()
    first = changes.base_limit // changes.page_size
    return set(range(first + 1, unit_count(stop, changes.page_size) + 1))


def _blocks_of(
    pages: Iterable[int], page_size: int, block_size: int, size: int
) -> tuple[int, ...]:
    count = unit_count(size, block_size)
    touched = {
        block
        for page in pages
        for block in overlapping(page - 1, page_size, block_size)
        if block < count
    }
    return tuple(sorted(touched))

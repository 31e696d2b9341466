"""The manifest that a commit publishes, from the one it replaces.

Everything here is a pure function of the base manifest and of what the commit prepared, so that a
base that only maintenance has moved can be answered by computing once more (a rebase).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    BlockMap,
    DeadBlocks,
    Locator,
    SegmentSource,
    cut_refs,
)
from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import (
    RECENT_COMMITS,
    Commit,
    Condemned,
    Died,
    HistoryName,
    Manifest,
    Restore,
)
from sqlite_s3vfs.format.tail import TailEntry
from sqlite_s3vfs.planning.condemning import Plan, named_history, with_condemned
from sqlite_s3vfs.planning.fold import Fold, entry_identity
from sqlite_s3vfs.planning.interior import Geometry, manifest_copies, valid_copies
from sqlite_s3vfs.planning.liveness import (
    Liveness,
    after_adopting,
    after_replacing,
    content_died,
    map_objects_died,
    segment_died,
)
from sqlite_s3vfs.planning.mapfold import MapFold


@dataclass(frozen=True, slots=True)
class Adoption:
    """The part of a fold that this commit takes along."""

    fold: Fold
    blocks: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """All that a commit changes, uploaded and ready to be named by a manifest.

    ``written`` are this commit's own blocks; ``replaced`` the base's locators of every block that it
    writes, adopts, cuts or drops (holes absent); ``cut`` the shortened locator of the last block.
    ``changed_pages`` are the pages whose bytes in the blocks change with ``written``; ``interior``
    copies of such. ``pages_written`` counts what the transaction itself wrote.
    ``cleared`` is the condemned batch whose deletion this process saw answered (invariant I5);
    ``condemned`` what this commit condemns in any case, else ``condemning`` what was planned.
    ``born_dead`` counts blocks of this commit's segments that it does not refer to: written over before
    it, or beside those that a new content takes from the old one.
    ``anew`` says that nothing of the base's content is carried on (a whole database was written, or the
    version ``restored`` is brought back: then the map is that one's, and ``replaced`` are its locators).
    """

    commit_id: bytes
    writer: str
    page_size: int
    size: int
    entries: tuple[TailEntry, ...] = ()
    written: Mapping[int, Locator] = field(default_factory=dict)
    replaced: Mapping[int, Locator] = field(default_factory=dict)
    cut: Mapping[int, Locator] = field(default_factory=dict)
    changed_pages: frozenset[int] = frozenset()
    pages_written: int = 0
    interior: tuple[InteriorPage, ...] = ()
    adoption: Adoption | None = None
    map_fold: MapFold | None = None
    history: ObjectName | None = None
    anew: bool = False
    restored: Manifest | None = None
    born_dead: Mapping[ObjectName, DeadBlocks] = field(default_factory=dict)
    condemned: Condemned | None = None
    condemning: Plan | None = None
    cleared: bytes = b""
    conditions_proven: bytes = b""


def successor(base: Manifest, prepared: Prepared, base_time_ms: int) -> Manifest:
    """The next version. ``base_time_ms`` is the store time at which ``base`` was published."""
    # A restore condemns nothing: what it brings back has to be readable until then.
    plan = None if prepared.restored else prepared.condemning
    base = with_condemned(base, plan, cleared=prepared.cleared, condemned=prepared.condemned)
    version = base.version + 1
    blocks = prepared.map_fold.blocks if prepared.map_fold else next_map(base, prepared)
    rewritten = _rewritten(prepared)
    tail = tuple(_kept_entries(base, prepared, rewritten)) + prepared.entries
    commits = _commits(base, prepared, base_time_ms, tail)
    liveness = _liveness(base, prepared, blocks)
    return replace(
        base,
        page_size=prepared.page_size,
        size=prepared.size,
        version=version,
        commits=commits,
        blocks=blocks,
        tail=tail,
        interior=_interior(base, prepared, blocks),
        dead=liveness.dead,
        died=(*_not_recorded(base, prepared), *liveness.died),
        history=_history(base, prepared, commits),
        restores=_restores(base, prepared),
        conditions_proven=prepared.conditions_proven or base.conditions_proven,
    )


def _restores(base: Manifest, prepared: Prepared) -> tuple[Restore, ...]:
    if prepared.restored is None:
        return base.restores
    return (*base.restores, Restore(prepared.restored.version, base.version + 1))


def next_map(base: Manifest, prepared: Prepared) -> BlockMap:
    """The map before its recent part is moved into pieces."""
    locators = dict(prepared.cut)
    if prepared.adoption:
        locators.update(adopted_locators(prepared.adoption))
    locators.update(prepared.written)
    if prepared.restored:
        return prepared.restored.blocks.with_blocks(locators)
    if prepared.anew:
        return BlockMap(recent=locators)
    count = unit_count(prepared.size, base.block_size)
    if count >= base.block_count:
        return base.blocks.with_blocks(locators) if locators else base.blocks
    kept = {block: found for block, found in base.blocks.recent.items() if block < count}
    return BlockMap(
        recent={**kept, **locators},
        pieces=cut_refs(base.blocks.pieces, PIECE_SPAN, count),
        nodes=cut_refs(base.blocks.nodes, PIECE_SPAN * NODE_SPAN, count),
    )


def adopted_locators(adoption: Adoption) -> dict[int, Locator]:
    """The locators of the adopted blocks.

    The versions between the fold's and the adopting one have no history object of their own: they
    are read through a map that refers to the fold's segments, so the first of them counts as theirs.
    """
    fold = adoption.fold
    homes = {
        name: min(block for block, folded in fold.blocks.items() if folded.segment == name)
        for name in fold.segments
    }
    sources = {
        name: SegmentSource(name, fold.version + 1, blocks, homes[name] // PIECE_SPAN)
        for name, blocks in fold.segments.items()
    }
    found = {}
    for block in sorted(adoption.blocks):
        folded = fold.blocks[block]
        placed = folded.placed
        found[block] = Locator(sources[folded.segment], placed.offset, placed.length, placed.size)
    return found


def _rewritten(prepared: Prepared) -> frozenset[int]:
    adopted = prepared.adoption.blocks if prepared.adoption else frozenset()
    return adopted | frozenset(prepared.written)


def _kept_entries(
    base: Manifest, prepared: Prepared, rewritten: frozenset[int]
) -> Iterable[TailEntry]:
    """The base's tail entries that the next version still needs (invariant I3)."""
    if prepared.anew or base.page_size != prepared.page_size:
        return
    if not rewritten and prepared.size >= base.size:        # most commits: there may be hundreds
        yield from base.tail
        return
    count = unit_count(prepared.size, base.block_size)
    for entry in base.tail:
        if (entry.page - 1) * base.page_size >= prepared.size:
            continue
        touched = [block for block in _blocks(base, entry) if block < count]
        done = (
            block in rewritten and _merged(base, prepared, entry, block) for block in touched
        )
        if not all(done):
            yield entry


def _merged(base: Manifest, prepared: Prepared, entry: TailEntry, block: int) -> bool:
    """Whether the rewritten block contains the entry: always where this commit wrote the block."""
    if block in prepared.written or prepared.adoption is None:
        return True
    folded = prepared.adoption.fold.blocks[block]
    return entry_identity(base, entry.page, entry.version) in folded.merged


def _commits(
    base: Manifest, prepared: Prepared, base_time_ms: int, tail: tuple[TailEntry, ...]
) -> tuple[Commit, ...]:
    """Recent commits with the base's time stamped (invariant I8), and the new one."""
    new = Commit(
        base.version + 1,
        prepared.commit_id,
        0,
        prepared.writer,
        prepared.size,
        prepared.pages_written,
    )
    if not base.commits:
        return (new,)
    newest = base.commits[-1]
    before = base.commits[-2].time_ms if len(base.commits) > 1 else 0
    stamped = newest._replace(time_ms=newest.time_ms or max(base_time_ms, before))
    commits = (*base.commits[:-1], stamped, new)
    oldest_needed = tail[0].version if tail else new.version        # entries are in that order
    # A history object does not know its own newest commit's time: the next one has to tell it (I8);
    # and of versions that only the newest manifest serves, nothing else tells size and time.
    names = (*_fresh_history(prepared), *(row.name for row in base.history))
    pinned = (pin.version for pin in base.pins if pin.database_id == base.database_id)
    oldest_asked = min((base.oldest_readable, *pinned))
    kept = max((name.version for name in names), default=oldest_asked)
    oldest_needed = min(oldest_needed, kept)
    surplus = len(commits) - RECENT_COMMITS
    keep_from = max(0, min(surplus, oldest_needed - commits[0].version))
    return commits[keep_from:]


def _interior(base: Manifest, prepared: Prepared, blocks: BlockMap) -> tuple[InteriorPage, ...]:
    if not prepared.page_size:
        return ()
    geometry = Geometry(prepared.page_size, base.block_size)
    return manifest_copies(all_copies(base, prepared), blocks.recent, geometry)


def all_copies(base: Manifest, prepared: Prepared) -> tuple[InteriorPage, ...]:
    """The interior copies that are at hand for the next version, whatever their place."""
    rewritten = _rewritten(prepared)
    same = not prepared.anew and base.page_size == prepared.page_size
    tail = base.tail if rewritten else ()
    merged = {entry.page for entry in tail if not rewritten.isdisjoint(_blocks(base, entry))}
    adoption = prepared.adoption
    folded = adoption.fold.interior if adoption else ()
    return valid_copies(
        base.interior if same else (),
        (*prepared.interior, *(copy for copy in folded if _lies_in(base, copy, adoption))),
        touched_pages=merged | prepared.changed_pages,
        page_size=prepared.page_size,
        size=prepared.size,
    )


def _lies_in(base: Manifest, copy: InteriorPage, adoption: Adoption | None) -> bool:
    blocks = overlapping(copy.page - 1, base.page_size, base.block_size)
    return adoption is not None and adoption.blocks.issuperset(blocks)


def _blocks(base: Manifest, entry: TailEntry) -> range:
    return overlapping(entry.page - 1, base.page_size, base.block_size)


def dead_blocks(base: Manifest, prepared: Prepared) -> Liveness:
    """Dead blocks and objects after this commit, before the map is folded."""
    version = base.version + 1
    if prepared.restored:
        liveness = after_replacing(prepared.restored.dead, prepared.replaced, version)
        return Liveness(liveness.dead, (*content_died(base.version).died, *liveness.died))
    if prepared.anew:
        replaced = content_died(base.version if base.commits else 0)
        return Liveness(dict(prepared.born_dead), replaced.died)
    liveness = after_replacing({**base.dead, **prepared.born_dead}, prepared.replaced, version)
    if prepared.adoption:
        adoption = prepared.adoption
        liveness = after_adopting(liveness, adoption.fold, adoption.blocks, version)
    return liveness


def _liveness(base: Manifest, prepared: Prepared, blocks: BlockMap) -> Liveness:
    version = base.version + 1
    liveness = dead_blocks(base, prepared)
    died = list(liveness.died)
    dead = liveness.dead
    below: frozenset[ObjectName] = frozenset()
    if prepared.map_fold:
        dead, below = prepared.map_fold.dead, prepared.map_fold.below_nodes
        died += [
            segment_died(name, count, version) for name, count in prepared.map_fold.killed.items()
        ]
    carried = prepared.restored or (None if prepared.anew else base)
    if carried:
        died += map_objects_died(carried.blocks, blocks, below, version)
    return Liveness(dead, tuple(died))


def _not_recorded(base: Manifest, prepared: Prepared) -> list[Died]:
    """What died in the base and is not told by a history object that this commit adds."""
    recorded = max((name.version for name in _fresh_history(prepared)), default=0)
    return [row for row in base.died if row.died > recorded]


def _history(
    base: Manifest, prepared: Prepared, commits: tuple[Commit, ...]
) -> tuple[HistoryName, ...]:
    """Names of the newest history objects; a name's time is that of the commit after it."""
    times = {commit.version: commit.time_ms for commit in commits}
    known = {kept.name: kept.time_ms for kept in base.history}
    known.update((name, 0) for name in _fresh_history(prepared) if name not in known)
    stamped = (
        HistoryName(name, time_ms or times.get(name.version + 1, 0))
        for name, time_ms in sorted(known.items())
    )
    return named_history(tuple(stamped), base.oldest_readable)


def _fresh_history(prepared: Prepared) -> list[ObjectName]:
    fresh = [prepared.history] if prepared.history else []
    if prepared.adoption:
        fresh.append(prepared.adoption.fold.history)
    return fresh

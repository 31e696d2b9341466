"""Which objects the readable past of a database refers to, and which of them are its own.

The readable past is the newest version, every version from ``oldest_readable`` on and every pinned
one, of a database that was here before too (pins outlive a removal). Each is read from a *kept*
manifest: the newest one, or what a history object keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    BlockMap,
    DeadBlocks,
    Locator,
    PieceRef,
    SegmentSource,
)
from sqlite_s3vfs.format.keys import ObjectName, parse_object_name
from sqlite_s3vfs.format.manifest import Manifest, Pin, State
from sqlite_s3vfs.past.histories import nearer, read_history
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.reader.map_objects import MapObjects

_MISSING = "the object is missing"
_PIECES_AT_ONCE = 16
_NODE_LIMIT = NODE_SPAN * PIECE_SPAN


@dataclass(frozen=True, slots=True)
class Kept:
    """A manifest that readable versions are read from; ``name`` is its history object's."""

    manifest: Manifest
    name: ObjectName | None


@dataclass(frozen=True, slots=True)
class Damaged:
    """A history object, of ``version``, that readable versions would be read from, and what is wrong."""

    key: str
    version: int
    what: str


@dataclass(slots=True)
class References:
    """Keys of own objects that are in use, and the pin ids of those whose objects are borrowed."""

    keys: set[str] = field(default_factory=set)
    borrowed: set[bytes] = field(default_factory=set)


def history_names(database: Database) -> list[ObjectName]:
    """Every history object under the prefix, in order. 1 LIST a 1 000."""
    prefix = database.keys.history_prefix
    rows = (row.key.removeprefix(prefix) for row in database.engine.store.list(prefix))
    return list(filter(None, map(parse_object_name, rows)))


def kept_manifests(
    database: Database, newest: Manifest, names: Iterable[ObjectName]
) -> list[Kept]:
    """The manifests that the readable past is read from, oldest first. 1 GET for each of them.

    Of history objects that nobody ever named (of a fold that was given up) none is among them, but
    where a pinned version has no other.

    Raises:
        CorruptError: one is damaged or gone.
    """
    kept, damaged = readable_kept(database, newest, names)
    for one in damaged:
        raise CorruptError(
            "a history object cannot be read: restore it from a copy. "
            f"key={one.key!r} what={one.what!r}"
        )
    return kept


def readable_kept(
    database: Database, newest: Manifest, names: Iterable[ObjectName]
) -> tuple[list[Kept], list[Damaged]]:
    """The same, and beside it those that cannot be read."""
    names = sorted(names)
    live = newest.state is State.LIVE
    wanted = [name for name in names if live and name.version >= newest.oldest_readable]
    read = _read_all(database, newest.database_id, wanted)
    damaged = [
        _damaged(database, name, str(found)) for name, found in read.items()
        if isinstance(found, CorruptError)
    ]
    whole = {name: found for name, found in read.items() if isinstance(found, Manifest)}
    named = {row.name for row in newest.history}
    for manifest in whole.values():
        named.update(row.name for row in manifest.history)
    damaged += [
        _damaged(database, name, _MISSING)
        for name in sorted(named - set(names))
        if live and name.version >= newest.oldest_readable
    ]
    found = {name: manifest for name, manifest in whole.items() if name in named}
    for pin in newest.pins:
        own = live and pin.database_id == newest.database_id
        if not own or pin.version < newest.oldest_readable:
            served = _serving(database, newest if own else None, names, pin)
            if isinstance(served, Damaged):
                damaged.append(served)
            elif served.name is not None:
                found[served.name] = served.manifest
    kept = [Kept(manifest, name) for name, manifest in sorted(found.items())]
    return [*kept, *([Kept(newest, None)] if live else [])], list(dict.fromkeys(damaged))


def references(database: Database, kept: Iterable[Kept]) -> References:
    """What these manifests refer to; reads their maps, each piece once.

    Raises:
        CorruptError: a map object is damaged or gone.
    """
    found = References()
    seen: set[ObjectName] = set()
    keys = database.keys
    for one in kept:
        manifest = one.manifest
        if one.name:
            found.keys.add(keys.history(one.name))
        for block, locator in _all_locators(database, manifest, seen):
            source = locator.source
            if source.owner:
                found.borrowed.add(manifest.owners[source.owner - 1].pin_id)
            elif isinstance(source, SegmentSource):
                found.keys.add(keys.segment(source.name))
            else:
                found.keys.add(keys.ancestor_block(block))
    found.keys.update(keys.map_piece(name) for name in seen)
    return found


def locators_of_map(database: Database, manifest: Manifest) -> Iterator[tuple[int, Locator]]:
    """Every block of a version with its locator, holes left out; not in order.

    1 GET for each map object, some at a time.

    Raises:
        CorruptError: a map object is damaged or gone.
    """
    blocks = manifest.blocks
    yield from blocks.recent.items()
    reader = _reader(database, manifest, blocks)
    pieces = sorted(_piece_refs(reader, blocks))
    for start in range(0, len(pieces), _PIECES_AT_ONCE):
        for piece in reader.load_pieces(pieces[start : start + _PIECES_AT_ONCE]).values():
            yield from ((b, found) for b, found in piece.locators.items() if b not in blocks.recent)


def _all_locators(
    database: Database, manifest: Manifest, seen: set[ObjectName]
) -> Iterator[tuple[int, Locator]]:
    """Whatever a manifest's map objects name that are not in ``seen``, where they are put.

    Of each the whole: a shrink cuts references, and a restore brings back what one has cut.
    """
    yield from manifest.blocks.recent.items()
    nodes = {node: PieceRef(ref.name, _NODE_LIMIT) for node, ref in manifest.blocks.nodes.items()}
    blocks = BlockMap(pieces=manifest.blocks.pieces, nodes=nodes)
    below = _piece_refs(_reader(database, manifest, blocks), blocks, every=seen)
    seen.update(ref.name for ref in nodes.values())
    names = {piece: ref.name for piece, ref in below.items() if ref.name not in seen}
    whole = {piece: PieceRef(name, PIECE_SPAN) for piece, name in names.items()}
    reader = _reader(database, manifest, BlockMap(pieces=whole))
    wanted = sorted(whole)
    for start in range(0, len(wanted), _PIECES_AT_ONCE):
        for piece in reader.load_pieces(wanted[start : start + _PIECES_AT_ONCE]).values():
            yield from piece.locators.items()
    seen.update(names.values())


def _piece_refs(
    reader: MapObjects, blocks: BlockMap, *, every: set[ObjectName] | None = None
) -> dict[int, PieceRef]:
    """The pieces that count, by index; names that a node gives to no avail are put into ``every``."""
    refs = dict(blocks.pieces)
    for below in reader.load_nodes(blocks.nodes).values():
        for piece, ref in below.items():
            if refs.setdefault(piece, ref) is not ref and every is not None:
                every.add(ref.name)
    return refs


def _reader(database: Database, manifest: Manifest, blocks: BlockMap) -> MapObjects:
    return database.view(manifest).map_objects(blocks)


def _serving(
    database: Database, newest: Manifest | None, names: list[ObjectName], pin: Pin
) -> Kept | Damaged:
    """What a pinned version is read from: a history object, or else ``newest``, where it is its own."""
    for name in names:
        if name.version >= pin.version:
            try:
                manifest = read_history(database, name, pin.database_id)
            except CorruptError as error:
                return _damaged(database, name, str(error))
            if manifest is not None:
                return _telling(database, Kept(manifest, name), pin)
    return _telling(database, Kept(newest, None) if newest else None, pin)


def _telling(database: Database, served: Kept | None, pin: Pin) -> Kept | Damaged:
    """``served``, unless what should have told of the version in its place is gone."""
    lost = nearer(served.manifest, pin.version) if served else None
    if lost is not None:
        return _damaged(database, lost, _MISSING)
    if served and any(commit.version == pin.version for commit in served.manifest.commits):
        return served
    key = f"{database.keys.history_prefix}{pin.version:020d}"      # or later: nothing tells its name
    return Damaged(key, pin.version, _MISSING)


def _damaged(database: Database, name: ObjectName, what: str) -> Damaged:
    return Damaged(database.keys.history(name), name.version, what)


def _read_all(
    database: Database, database_id: bytes, names: list[ObjectName]
) -> dict[ObjectName, Manifest | CorruptError]:
    """Those that are there and the database's own; the error for those that are damaged."""

    def read(name: ObjectName) -> Manifest | CorruptError | None:
        try:
            return read_history(database, name, database_id)
        except CorruptError as error:
            return error

    found = run_all(database.engine.pool, [partial(read, name) for name in names])
    return {name: one for name, one in zip(names, found, strict=True) if one is not None}


def dead_counts(database: Database, manifest: Manifest) -> dict[ObjectName, DeadBlocks]:
    """Dead blocks by segment: what the manifest counts, and what the homes have counted already."""
    counts = dict(manifest.dead)
    reader = _reader(database, manifest, manifest.blocks)
    pieces = sorted(_piece_refs(reader, manifest.blocks))
    for start in range(0, len(pieces), _PIECES_AT_ONCE):
        for piece in reader.load_pieces(pieces[start : start + _PIECES_AT_ONCE]).values():
            for name, count in piece.dead.items():
                before = counts.get(name, count._replace(dead=0))
                counts[name] = count._replace(dead=before.dead + count.dead)
    return counts

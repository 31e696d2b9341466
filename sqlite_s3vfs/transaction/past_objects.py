"""What can be condemned next, found by reading history objects and without listing the bucket.

The newest manifest names the newest 64 history objects. Mostly these are all, or this process has seen
the others being made. Where it has not, one request asks for the first few keys of the readable past,
and one of these objects is read: it names those before it, with their times. What is read there is
never out of date, because history objects do not change; one that is gone somebody else condemned.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    AncestorSource,
    BlockMap,
    DeadBlocks,
    Locator,
    PieceRef,
    SegmentSource,
)
from sqlite_s3vfs.format.history import decode_history
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName, ObjectRef, Role, parse_object_name
from sqlite_s3vfs.format.manifest import HISTORY_NAMES, Died, HistoryName, Manifest
from sqlite_s3vfs.planning.condemning import BATCH_MAX, Expired, Plan
from sqlite_s3vfs.reader.map_objects import MapObjects
from sqlite_s3vfs.store.port import Fetched

OBJECTS_MAX = 16
"""History objects that one plan looks into: each is a GET of some 100 KiB."""
OLDEST_MAX = 2 * OBJECTS_MAX
"""Keys of the oldest history objects that are asked for: the last of them names the others."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a manifest, of the past or the newest, tells about the objects of its time."""

    version: int
    died: tuple[Died, ...]
    dead: Iterable[tuple[ObjectName, DeadBlocks]]
    blocks: BlockMap
    history: tuple[HistoryName, ...]


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest history objects, ascending: no other one serves a version below ``until``."""

    rows: tuple[HistoryName, ...]
    until: int


class GoneError(S3VFSError):
    """A map object is not there: it was condemned with all that was read through it."""


class PastObjects:
    """The history objects of one database as far as this process knows them; for one thread."""

    def __init__(self, engine: Engine, keys: DatabaseKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._database_id = b""
        self._rows: dict[ObjectName, HistoryName] = {}
        self._has_all = False
        self._read: dict[ObjectName, Kept] = {}
        self._done: set[ObjectRef] = set()
        self._condemned: deque[Sequence[ObjectRef]] = deque()

    def look(self, manifest: Manifest) -> Oldest:
        """The oldest history objects. Mostly 0 requests; else 1 LIST of a few keys and 1 GET.

        Raises:
            S3VFSError: something could not be read.
        """
        self._drop_condemned()
        if manifest.database_id != self._database_id:
            self._database_id = manifest.database_id
            self._rows, self._read, self._done, self._has_all = {}, {}, set(), False
        named = readable_rows(manifest.history, manifest)
        follows = not named or named[0].name in self._rows
        self._has_all = len(named) < HISTORY_NAMES or (self._has_all and follows)
        if not self._has_all:
            self._rows = {}
        news = {row.name for row in manifest.history if row.name not in self._rows}
        self._rows.update((row.name, row) for row in manifest.history if row.time_ms or row.name in news)
        if self._has_all:
            return Oldest(tuple(sorted(self._rows.values())), manifest.version)
        return self._listed(manifest)

    def plan(
        self, manifest: Manifest, oldest: Oldest, first_wanted: int, held: Collection[ObjectName] = ()
    ) -> Plan:
        """What to condemn so that ``first_wanted`` becomes the oldest readable version. 1 GET or more.

        Where there is more than goes into one plan, the oldest readable version is raised as far as
        the plan goes and no further: whoever comes next finds the rest as this process has.
        ``held`` are history objects that have to stay for now.

        Raises:
            S3VFSError: something could not be read.
        """
        rows = oldest.rows
        first_wanted = min(first_wanted, oldest.until)
        expired: list[Expired] = []
        found = 0
        version = 0
        old = deque(row for row in rows if row.name.version < first_wanted and row.name not in held)
        looked_into = 0
        while old and (not _is_enough(looked_into, found) or old[0].name.version == version):
            row = old.popleft()
            version, looked_into = row.name.version, looked_into + 1
            kept = self._look_into(row.name)
            if kept is None:
                continue
            after = max((r.name.version for r in rows if r.name.version < kept.version), default=0)
            one = self._expired(row, after, kept, self._next(rows, kept.version, manifest))
            expired.append(one)
            found += len(one.died) + 1
        wanted = {one.row.name for one in expired}
        self._read = {name: kept for name, kept in self._read.items() if name in wanted}
        return Plan(
            batch_id=self._engine.ids.new_id(),
            database_id=manifest.database_id,
            oldest_before=manifest.oldest_readable,
            retention_seconds=manifest.retention_seconds,
            oldest_readable=max(
                manifest.oldest_readable, min([first_wanted, *(row.name.version for row in old)])
            ),
            expired=tuple(expired),
        )

    def forget(self, refs: Sequence[ObjectRef]) -> None:
        """These are condemned for good. From any thread."""
        self._condemned.append(refs)

    def _drop_condemned(self) -> None:
        while self._condemned:
            refs = self._condemned.popleft()
            self._done.update(refs)
            for ref in refs:
                if ref.role is Role.HISTORY:
                    self._forget_object(ObjectName(ref.number, ref.random))
            if len(refs) < BATCH_MAX:
                self._done.clear()            # nothing of what was looked into was left for later

    def _forget_object(self, name: ObjectName) -> None:
        self._rows.pop(name, None)
        self._read.pop(name, None)

    def _listed(self, manifest: Manifest) -> Oldest:
        """The rows of one of the oldest history objects: nothing lies between them that counts.

        What is listed and named nowhere belongs to somebody who has not published it.
        """
        prefix = self._keys.history_prefix
        after = f"{prefix}{manifest.oldest_readable:020d}"
        limit = min(OLDEST_MAX, HISTORY_NAMES)
        found = list(self._engine.store.list(prefix, start_after=after, limit=limit))
        for name in filter(None, (parse_object_name(row.key[len(prefix) :]) for row in reversed(found))):
            kept = self._look_into(name)
            rows = readable_rows(kept.history, manifest) if kept else ()
            if rows:
                below = (row for row in manifest.history if row.name.version < manifest.oldest_readable)
                return Oldest((*below, *rows), rows[-1].name.version)
        return Oldest((), manifest.oldest_readable)

    def _look_into(self, name: ObjectName) -> Kept | None:
        """A history object; None where it is gone. 1 GET, or 0."""
        if name not in self._read:
            key = self._keys.history(name)
            found = self._engine.store.get(key)
            if not isinstance(found, Fetched):
                self._forget_object(name)
                return None
            manifest = decode_history(found.body, self._database_id, name)
            self._read[name] = _kept(manifest)
        return self._read[name]

    def _next(self, rows: Sequence[HistoryName], version: int, newest: Manifest) -> Kept:
        """The next manifest after ``version`` that is there: of the past, or the newest."""
        for row in rows:
            kept = self._look_into(row.name) if row.name.version > version else None
            if kept is not None:
                return kept
        return _kept(newest)

    def _expired(self, row: HistoryName, after: int, kept: Kept, following: Kept) -> Expired:
        rows = self._single(kept, following)
        left = (died for died in rows if died.ref not in self._done)
        died = tuple(islice(left, BATCH_MAX))
        return Expired(row, after, died, listed=next(left, None) is None)

    def _single(self, kept: Kept, following: Kept) -> Iterator[Died]:
        """All that a history object lists, and its own content where that is replaced, one by one."""
        for row in kept.died:
            match row.ref.role:
                case Role.MAP_NODE:
                    yield from self._below(row, kept)
                    yield row
                case Role.CONTENT:
                    pass                     # told with the object of that version
                case _:
                    yield row
        for row in following.died:
            if row.ref == ObjectRef(Role.CONTENT, kept.version):
                yield from self._content(kept, following, row.died)

    def _below(self, row: Died, kept: Kept) -> Iterator[Died]:
        """Pieces that a dead node refers to and the map of ``kept`` does not."""
        name = ObjectName(row.ref.number, row.ref.random)
        try:
            pieces = self._reader(kept.blocks).read_node(PieceRef(name, 0))
        except GoneError:
            return
        still = {ref.name for ref in kept.blocks.pieces.values()}
        nodes = {piece // NODE_SPAN for piece in pieces} & set(kept.blocks.nodes)
        for node in nodes:
            refs = self._reader(kept.blocks).read_node(kept.blocks.nodes[node])
            still.update(ref.name for ref in refs.values())
        for ref in pieces.values():
            if ref.name not in still:
                yield Died(ObjectRef.named(Role.MAP_PIECE, ref.name), ref.name.version, row.died)

    def _content(self, kept: Kept, following: Kept, died: int) -> Iterator[Died]:
        """What the map of ``kept`` refers to and that of ``following`` does not.

        The objects of a piece come before the piece, so that a piece that is gone tells that they are.
        What is listed as dead before is not: a restore has brought it back.
        """
        later = [row for row in following.died if row.died >= died]
        still = {row.ref for row in later}
        still.update(row.ref for row in self._objects(following))
        for row in later:
            if row.ref.role is Role.MAP_NODE:
                still.update(below.ref for below in self._below(row, following))
        for row in self._objects(kept):
            if row.ref not in still:
                yield row._replace(died=died)

    def _objects(self, kept: Kept) -> Iterator[Died]:
        """All that a map refers to; ``died`` is 0."""
        reader = self._reader(kept.blocks)
        yield from _places(kept.blocks.recent.items(), kept.dead)
        pieces = list(kept.blocks.pieces.values())
        for node in kept.blocks.nodes.values():
            with suppress(GoneError):
                pieces += reader.read_node(node).values()
        for ref in {piece.name: piece for piece in pieces}.values():
            with suppress(GoneError):
                piece = reader.read_piece(ref)
                yield from _places(piece.locators.items(), piece.dead.items())
                yield Died(ObjectRef.named(Role.MAP_PIECE, ref.name), ref.name.version, 0)
        for node in kept.blocks.nodes.values():
            yield Died(ObjectRef.named(Role.MAP_NODE, node.name), node.name.version, 0)

    def _reader(self, blocks: BlockMap) -> MapObjects:
        return MapObjects(self._engine, self._keys, self._database_id, blocks, GoneError)


def readable_rows(rows: Iterable[HistoryName], manifest: Manifest) -> tuple[HistoryName, ...]:
    """Those that serve a version from the oldest readable one on."""
    return tuple(row for row in rows if row.name.version >= manifest.oldest_readable)


def _is_enough(looked_into: int, found: int) -> bool:
    return looked_into >= OBJECTS_MAX or found >= BATCH_MAX


def _kept(manifest: Manifest) -> Kept:
    return Kept(
        manifest.version,
        manifest.died,
        manifest.dead.items(),
        manifest.blocks,
        manifest.history,
    )


def _places(
    locators: Iterable[tuple[int, Locator]], dead: Iterable[tuple[ObjectName, DeadBlocks]]
) -> Iterator[Died]:
    """The own objects that blocks lie in, or lay in."""
    for block, locator in locators:
        source = locator.source
        if isinstance(source, AncestorSource) and not source.owner:
            yield Died(ObjectRef(Role.OLD_BLOCK, block), 1, 0)
        elif isinstance(source, SegmentSource) and not source.owner:
            yield Died(ObjectRef.named(Role.SEGMENT, source.name), source.first, 0)
    for name, count in dead:
        yield Died(ObjectRef.named(Role.SEGMENT, name), count.first, 0)

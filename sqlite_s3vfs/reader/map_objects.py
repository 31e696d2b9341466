"""Map pieces and nodes, the objects that a large block map is kept in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from sqlite_s3vfs.cache import BoundedCache, Content
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CorruptError, unreadable
from sqlite_s3vfs.fetching import Key
from sqlite_s3vfs.format.blockmap import NODE_SPAN, BlockMap, Piece, PieceRef
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.mapcodec import decode_node, decode_piece
from sqlite_s3vfs.planning.mapfold import limited_locators, limited_refs
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.store.port import Fetched

V = TypeVar("V")
Missing = Callable[[str], Exception]
"""Makes the error for an object that a map refers to and that is not there, by its key."""


class MapObjects:
    """The objects of one version's map, from memory or the store."""

    def __init__(
        self,
        engine: Engine,
        keys: DatabaseKeys,
        database_id: bytes,
        blocks: BlockMap,
        missing: Missing,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._database_id = database_id
        self._map = blocks
        self._missing = missing

    def load_pieces(self, pieces: Iterable[int]) -> dict[int, Piece]:
        """Whole pieces, within the limits of this version's references; empty ones for holes."""
        wanted = list(pieces)
        refs = self._piece_refs(wanted)
        read = run_all(
            self._engine.pool, [partial(self.read_piece, ref) for ref in refs.values()]
        )
        loaded = dict.fromkeys(wanted, Piece({}, {}))
        for (index, ref), piece in zip(refs.items(), read, strict=True):
            loaded[index] = piece._replace(locators=limited_locators(ref, index, piece.locators))
        return loaded

    def piece_of(self, index: int) -> tuple[PieceRef, Piece] | None:
        """One piece and the reference to it; None for a hole. Up to 2 requests."""
        ref = self._piece_refs([index]).get(index)
        return (ref, self.read_piece(ref)) if ref else None

    def load_nodes(self, nodes: Iterable[int]) -> dict[int, Mapping[int, PieceRef]]:
        """The references in whole nodes, within the limits of this version's references."""
        wanted = [(node, self._map.nodes[node]) for node in nodes if node in self._map.nodes]
        read = run_all(self._engine.pool, [partial(self.read_node, ref) for _, ref in wanted])
        return {
            node: limited_refs(ref, node, refs)
            for (node, ref), refs in zip(wanted, read, strict=True)
        }

    def _piece_refs(self, pieces: Iterable[int]) -> dict[int, PieceRef]:
        refs, below_nodes = {}, []
        for piece in pieces:
            ref = self._map.piece_ref(piece)
            if ref is not None:
                refs[piece] = ref
            elif self._map.node_ref(piece) is not None:
                below_nodes.append(piece)
        nodes = self.load_nodes(sorted({piece // NODE_SPAN for piece in below_nodes}))
        for piece in below_nodes:
            ref = nodes[piece // NODE_SPAN].get(piece)
            if ref is not None:
                refs[piece] = ref
        return refs

    def read_piece(self, ref: PieceRef) -> Piece:
        """The piece behind a reference, whole. 1 request where it is not at hand."""
        return self._read(self._engine.pieces, ref.name, decode_piece)

    def read_node(self, ref: PieceRef) -> Mapping[int, PieceRef]:
        """The references in the node behind a reference, whole. 1 request where it is not at hand."""
        return self._read(self._engine.nodes, ref.name, decode_node)

    def _read(
        self,
        cache: BoundedCache[V],
        name: ObjectName,
        decode: Callable[[bytes, bytes, ObjectName], V],
    ) -> V:
        """From memory, the disk or the store; where another thread is reading it, that is waited for."""
        cached = cache.get(name)
        if cached is not None:
            return cached
        own: list[V] = []

        def read() -> V:
            found = cache.get(name)             # it may have come since
            if found is None:
                found = self._decoded(name, decode)
                cache.put(name, found, 1)
            return found

        def bring(_: Sequence[Key]) -> dict[Key, Content]:
            own.append(read())
            return {}

        _, others = self._engine.flights.bring([(-1, name)], bring)
        for other in others.values():
            other.wait()
        return own[0] if own else read()

    def _decoded(self, name: ObjectName, decode: Callable[[bytes, bytes, ObjectName], V]) -> V:
        key = self._keys.map_piece(name)
        disk, place = self._engine.disk, f"{self._engine.store.identity}/{key}"
        kept = body = disk.get(place) if disk is not None else None
        if body is None:
            found = self._engine.store.get(key)
            if not isinstance(found, Fetched):
                raise self._missing(key)
            body = found.body
        try:
            decoded = decode(body, self._database_id, name)
        except CorruptError as error:
            raise unreadable("a piece of the block map", key, error) from error
        if disk is not None and kept is None:
            disk.put(place, body)       # only what is whole: it would be taken for that ever after
        return decoded

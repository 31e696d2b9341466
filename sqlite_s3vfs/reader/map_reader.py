"""Block index → locator, reading map pieces and nodes where the manifest only refers to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from sqlite_s3vfs.cache import BoundedCache
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CorruptError, unreadable
from sqlite_s3vfs.format.blockmap import NODE_SPAN, PIECE_SPAN, BlockMap, Locator, Piece, PieceRef
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.mapcodec import decode_node, decode_piece
from sqlite_s3vfs.planning.mapfold import limited_locators, limited_refs
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.store.port import Fetched

V = TypeVar("V")
Missing = Callable[[str], Exception]
"""Makes the error for an object that a map refers to and that is not there, by its key."""


class MapReader:
    """The block map of one version."""

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
        self._last: tuple[int, Piece] = (-1, Piece({}, {}))
        """The piece looked into last; the others are in the engine's bounded cache."""

    def locator(self, block: int) -> Locator | None:
        """Where a block lies; None for a hole. Up to 2 requests where its piece is not at hand."""
        found = self._map.recent.get(block)
        if found is not None or not (self._map.pieces or self._map.nodes):
            return found
        index, piece = self._last
        if index != block // PIECE_SPAN:
            index = block // PIECE_SPAN
            piece = self.load_pieces([index])[index]
            self._last = (index, piece)
        return piece.locators.get(block)

    def locators(self, blocks: Iterable[int]) -> dict[int, Locator]:
        """The locators of many blocks, holes left out; their pieces are read side by side."""
        recent = self._map.recent
        found = {}
        others: dict[int, list[int]] = {}
        for block in blocks:
            if block in recent:
                found[block] = recent[block]
            else:
                others.setdefault(block // PIECE_SPAN, []).append(block)
        for index, piece in self.load_pieces(sorted(others)).items():
            found.update((b, piece.locators[b]) for b in others[index] if b in piece.locators)
        return found

    def load_pieces(self, pieces: Iterable[int]) -> dict[int, Piece]:
        """Whole pieces, within the limits of this version's references; empty ones for holes."""
        wanted = list(pieces)
        refs = self._piece_refs(wanted)
        read = run_all(
            self._engine.pool, [partial(self._read_piece, ref) for ref in refs.values()]
        )
        loaded = dict.fromkeys(wanted, Piece({}, {}))
        for (index, ref), piece in zip(refs.items(), read, strict=True):
            loaded[index] = Piece(limited_locators(ref, index, piece.locators), piece.dead)
        return loaded

    def load_nodes(self, nodes: Iterable[int]) -> dict[int, Mapping[int, PieceRef]]:
        """The references in whole nodes, within the limits of this version's references."""
        wanted = [(node, self._map.nodes[node]) for node in nodes if node in self._map.nodes]
        read = run_all(self._engine.pool, [partial(self._read_node, ref) for _, ref in wanted])
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

    def _read_piece(self, ref: PieceRef) -> Piece:
        return self._read(self._engine.pieces, ref.name, decode_piece)

    def _read_node(self, ref: PieceRef) -> Mapping[int, PieceRef]:
        return self._read(self._engine.nodes, ref.name, decode_node)

    def _read(
        self,
        cache: BoundedCache[V],
        name: ObjectName,
        decode: Callable[[bytes, bytes, ObjectName], V],
    ) -> V:
        cached = cache.get(name)
        if cached is not None:
            return cached
        key = self._keys.map_piece(name)
        found = self._engine.store.get(key)
        if not isinstance(found, Fetched):
            raise self._missing(key)
        try:
            decoded = decode(found.body, self._database_id, name)
        except CorruptError as error:
            raise unreadable("a piece of the block map", key, error) from error
        cache.put(name, decoded, 1)
        return decoded

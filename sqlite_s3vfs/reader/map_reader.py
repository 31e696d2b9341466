"""Block index → locator, reading map pieces and nodes where the manifest only refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import PIECE_SPAN, BlockMap, Locator, Piece, PieceRef
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.planning.mapfold import limited_locators
from sqlite_s3vfs.reader.map_objects import MapObjects

PIECES_TOGETHER = 8
"""Of a map with so few pieces (2 GiB in blocks of 64 KiB) all are fetched when one is needed: to come
upon them one after the other would cost a round trip each."""


class LoadedPiece(NamedTuple):
    """A piece as a version refers to it: its locators within the limit, and its copies by page."""

    locators: Mapping[int, Locator]
    interior: Mapping[int, InteriorPage]

    @classmethod
    def of(cls, ref: PieceRef, index: int, piece: Piece) -> LoadedPiece:
        """``piece`` as ``ref`` shows it."""
        interior = {copy.page: copy for copy in piece.interior}
        return cls(limited_locators(ref, index, piece.locators), interior)


EMPTY = LoadedPiece({}, {})


class MapReader:
    """The block map of one version."""

    def __init__(self, engine: Engine, blocks: BlockMap, objects: MapObjects) -> None:
        """``objects`` are those of the same map."""
        self._engine = engine
        self._map = blocks
        self._objects = objects
        self._recent = blocks.recent.keys()
        self._has_pieces = bool(blocks.pieces or blocks.nodes)
        self._pieces: dict[int, LoadedPiece] = {}
        """Those looked into last; the others are in the engine's bounded cache."""
        self._loading: dict[int, Future[LoadedPiece]] = {}
        self._loading_started = False

    def locator(self, block: int) -> Locator | None:
        """Where a block lies; None for a hole. Up to 2 requests where its piece is not at hand."""
        found = self._map.recent.get(block)
        if found is not None or not self._has_pieces:
            return found
        return self._piece_of(block).locators.get(block)

    def copy_of(self, page: int, blocks: range) -> InteriorPage | None:
        """The copy of an interior page that lies in ``blocks``, where their piece has a valid one.

        As many requests as ``locator`` of that page.
        """
        if not self._has_pieces or not self._recent.isdisjoint(blocks):
            return None
        return self._valid_copy(self._piece_of(blocks[0]), page, blocks)

    def copy_at_hand(self, page: int, blocks: range) -> InteriorPage | None:
        """The same where it costs no request."""
        if not self._has_pieces or not self._recent.isdisjoint(blocks):
            return None
        piece = self._piece_at_hand(blocks[0] // PIECE_SPAN)
        return self._valid_copy(piece, page, blocks) if piece else None

    def _valid_copy(self, piece: LoadedPiece, page: int, blocks: range) -> InteriorPage | None:
        copy = piece.interior.get(page)
        # Behind the limit there are no locators, and nothing that a copy could be of.
        return copy if copy and all(block in piece.locators for block in blocks) else None

    def locator_at_hand(self, block: int) -> Locator | None:
        """Where a block lies, as far as it can be told without a request."""
        found = self._map.recent.get(block)
        if found is not None or not self._has_pieces:
            return found
        piece = self._piece_at_hand(block // PIECE_SPAN)
        return piece.locators.get(block) if piece else None

    def locators_at_hand(self, blocks: Iterable[int]) -> list[tuple[int, Locator]]:
        """The same of many blocks, in their order; without those for which it cannot be told."""
        found = ((block, self.locator_at_hand(block)) for block in blocks)
        return [(block, locator) for block, locator in found if locator is not None]

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
        at_hand = {index: self._piece_at_hand(index) for index in others}
        lacking = sorted(index for index, piece in at_hand.items() if piece is None)
        for pieces in (at_hand, self._objects.load_pieces(lacking) if lacking else {}):
            for index, piece in pieces.items():
                here = piece.locators if piece else {}
                found.update((b, here[b]) for b in others[index] if b in here)
        return found

    def start_loading(self) -> None:
        """Have all pieces of a small map brought in the background, where they are not at hand."""
        if self._loading_started or len(self._map.pieces) > PIECES_TOGETHER:
            return
        self._loading_started = True
        self._loading = {
            index: self._engine.pool.submit(partial(self._loaded, index, ref))
            for index, ref in self._map.pieces.items()
            if self._piece_at_hand(index) is None
        }

    def _piece_of(self, block: int) -> LoadedPiece:
        """The piece that covers a block. The first one asked for brings the others along."""
        index = block // PIECE_SPAN
        piece = self._piece_at_hand(index)
        if piece is None:
            self.start_loading()
            loading = self._loading.pop(index, None)
            piece = loading.result() if loading else self._load(index)
            if len(self._pieces) >= PIECES_TOGETHER:
                self._pieces.clear()
            self._pieces[index] = piece
        return piece

    def _piece_at_hand(self, index: int) -> LoadedPiece | None:
        piece = self._pieces.get(index)
        if piece is None:
            ref = self._map.piece_ref(index)
            found = self._engine.pieces.get(ref.name) if ref else None
            if ref and found:
                piece = self._pieces[index] = LoadedPiece.of(ref, index, found)
        return piece

    def _load(self, index: int) -> LoadedPiece:
        found = self._objects.piece_of(index)
        return LoadedPiece.of(found[0], index, found[1]) if found else EMPTY

    def _loaded(self, index: int, ref: PieceRef) -> LoadedPiece:
        return LoadedPiece.of(ref, index, self._objects.read_piece(ref))

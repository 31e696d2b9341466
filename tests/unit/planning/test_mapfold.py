"""Maps with tiny spans against a plain dictionary: recent part, pieces, nodes, limits."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sqlite_s3vfs.format import blockmap
from sqlite_s3vfs.format.blockmap import (
    BlockMap,
    DeadBlocks,
    Locator,
    Piece,
    PieceRef,
    SegmentSource,
    cut_refs,
)
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.mapcodec import decode_node, decode_piece
from sqlite_s3vfs.planning.mapfold import (
    fold_map,
    limited_locators,
    limited_refs,
    must_fold,
    nodes_to_load,
    pieces_to_write,
)
from unit.planning.world import limits

DATABASE_ID = b"0123456789abcdef"
TINY = {"PIECE_SPAN": 4, "NODE_SPAN": 3, "RECENT_MAX": 5, "PIECES_MAX": 4, "DEAD_MAX": 3}


class Maps:
    """A map that is written, cut and folded, its objects in a dictionary."""

    def __init__(self) -> None:
        self.blocks = BlockMap()
        self.objects: dict[ObjectName, bytes] = {}
        self.dead: Mapping[ObjectName, DeadBlocks] = {}
        self.killed: dict[ObjectName, DeadBlocks] = {}
        self._names = 0

    def write(self, locators: dict[int, Locator]) -> None:
        self.blocks = self.blocks.with_blocks(locators)
        self._fold_if_large()

    def cut(self, count: int) -> None:
        span = blockmap.PIECE_SPAN
        self.blocks = BlockMap(
            {block: found for block, found in self.blocks.recent.items() if block < count},
            cut_refs(self.blocks.pieces, span, count),
            cut_refs(self.blocks.nodes, span * blockmap.NODE_SPAN, count),
        )

    def count_dead(self, name: ObjectName, count: DeadBlocks) -> None:
        known = self.dead.get(name, count._replace(dead=0)).dead
        self.dead = {**self.dead, name: count._replace(dead=known + count.dead)}
        self._fold_if_large()

    def _fold_if_large(self) -> None:
        if not must_fold(self.blocks, self.dead):
            return
        pieces = pieces_to_write(self.blocks, self.dead)
        nodes = {node: self.node(node) for node in nodes_to_load(self.blocks, pieces)}
        loaded = {piece: self.piece(piece) for piece in pieces}
        folded = fold_map(DATABASE_ID, self.blocks, self.dead, loaded, nodes, self._new_name)
        self.objects.update(folded.objects)
        self.blocks, self.dead = folded.blocks, folded.dead
        self.killed.update(folded.killed)

    def node(self, node: int) -> dict[int, PieceRef]:
        ref = self.blocks.nodes[node]
        return limited_refs(ref, node, decode_node(self.objects[ref.name], DATABASE_ID, ref.name))

    def piece(self, piece: int) -> Piece:
        ref = self.blocks.piece_ref(piece)
        if ref is None and self.blocks.node_ref(piece) is not None:
            ref = self.node(piece // blockmap.NODE_SPAN).get(piece)
        if ref is None:
            return Piece({}, {})
        found = decode_piece(self.objects[ref.name], DATABASE_ID, ref.name)
        return Piece(limited_locators(ref, piece, found.locators), found.dead)

    def locator(self, block: int) -> Locator | None:
        recent = self.blocks.recent.get(block)
        return recent or self.piece(block // blockmap.PIECE_SPAN).locators.get(block)

    def dead_of(self, name: ObjectName, home: int) -> int:
        counts = (self.dead.get(name), self.piece(home).dead.get(name))
        return sum(count.dead for count in counts if count)

    def _new_name(self) -> ObjectName:
        self._names += 1
        return ObjectName(self._names, b"map.....")


@given(st.integers(0, 1 << 32), st.integers(1, 40))
@settings(max_examples=60)
def test_a_folded_map_is_the_map(seed: int, steps: int):
    random, model, maps = Random(seed), {}, Maps()
    with limits(TINY):
        for step in range(steps):
            source = SegmentSource(ObjectName(step, b"segment!"), step, 3, 0)
            if random.random() < 0.3:
                count = random.randrange(60)
                model = {block: found for block, found in model.items() if block < count}
                maps.cut(count)
            else:
                chosen = random.sample(range(60), random.randrange(1, 6))
                written = {block: Locator(source, block, 1, 1) for block in chosen}
                model |= written
                maps.write(written)

            assert len(maps.blocks.recent) <= TINY["RECENT_MAX"]
            assert len(maps.blocks.pieces) <= TINY["PIECES_MAX"]
            found = {block: maps.locator(block) for block in range(64)}
            assert {block: locator for block, locator in found.items() if locator} == model


@given(st.integers(0, 1 << 32), st.integers(1, 60))
@settings(max_examples=60)
def test_dead_blocks_are_counted_to_the_last_one_in_manifest_and_home_piece(seed: int, steps: int):
    random, model, maps = Random(seed), {}, Maps()
    with limits(TINY):
        for step in range(steps):
            name = ObjectName(random.randrange(8), b"segment!")
            home, total = name.version % 5, 4
            if random.random() < 0.3:
                source = SegmentSource(name, 1, total, home)
                maps.write({random.randrange(60): Locator(source, step, 1, 1)})
            elif model.get(name, 0) < total:
                model[name] = model.get(name, 0) + 1
                maps.count_dead(name, DeadBlocks(home, 1, total, 1))

            assert len(maps.dead) <= TINY["DEAD_MAX"]
            for known, dead in model.items():
                if known in maps.killed:
                    assert dead == maps.killed[known].dead == total
                else:
                    assert maps.dead_of(known, known.version % 5) == dead


def test_a_cut_reference_shows_less_and_growing_again_shows_holes():
    with limits(TINY):
        maps = Maps()
        source = SegmentSource(ObjectName(1, b"segment!"), 1, 12, 0)
        maps.write({block: Locator(source, block, 1, 1) for block in range(12)})
        assert not maps.blocks.recent

        maps.cut(6)
        shown = [block for block in range(12) if maps.locator(block)]
        maps.write({10: Locator(source, 99, 1, 1)})

        assert shown == list(range(6))
        assert [block for block in range(12) if maps.locator(block)] == [*range(6), 10]

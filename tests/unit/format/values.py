"""Generated values of the format: whatever its rules allow."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import MappingProxyType
from typing import TypeVar

from hypothesis import strategies as st

from sqlite_s3vfs.format.blockmap import (
    NODE_SPAN,
    PIECE_SPAN,
    AncestorSource,
    BlockMap,
    DeadBlocks,
    Locator,
    Piece,
    PieceRef,
    SegmentSource,
)
from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import (
    Commit,
    Condemned,
    Died,
    HistoryName,
    InteriorPage,
    Manifest,
    Owner,
    Pin,
    Restore,
    State,
)
from sqlite_s3vfs.format.tail import Encoding, TailEntry

V = TypeVar("V")

PAGE_SIZES = [512 << power for power in range(8)]
BLOCK_SIZES = [512, 4095, 4096, 4097, 65536, 1 << 24]

uint63 = st.integers(0, (1 << 63) - 1)
ids = st.binary(min_size=8, max_size=8)
database_ids = st.binary(min_size=16, max_size=16)
names = st.builds(ObjectName, uint63, ids)

NAMED = [Role.SEGMENT, Role.MAP_PIECE, Role.MAP_NODE, Role.HISTORY]
OLD = [Role.OLD_BLOCK, Role.OLD_JOURNAL]
object_refs = (
    st.builds(ObjectRef.named, st.sampled_from(NAMED), names)
    | st.builds(ObjectRef, st.sampled_from(OLD), st.integers(0, 10**10 - 1), st.just(b""))
)


class Draw:
    """Values by chance, edges often. (Whole manifests drawn field by field by hypothesis are slow.)"""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.choice = self._random.choice
        self.below = self._random.randrange

    def uint(self, bits: int = 63) -> int:
        return self.choice([0, 1, self.below(1000), self.below(1 << bits), (1 << bits) - 1])

    def id(self, size: int = 8) -> bytes:
        return self._random.randbytes(size)

    def id_or_none(self, size: int) -> bytes:
        return self.choice([b"", self.id(size)])

    def text(self) -> str:
        return self.choice(["", "a", "host:1234", "\N{SNOWMAN}\0", self.id(4).hex()])

    def name(self) -> ObjectName:
        return ObjectName(self.uint(), self.id())

    def some(self, make: Callable[[], V], count_max: int = 4) -> tuple[V, ...]:
        return tuple(make() for _ in range(self.below(count_max + 1)))

    def ref(self, *, content: bool = False) -> ObjectRef:
        role = self.choice([*NAMED, *OLD, *([Role.CONTENT] if content else [])])
        if role in NAMED:
            return ObjectRef.named(role, self.name())
        return ObjectRef(role, self.uint() if role is Role.CONTENT else self.uint(33))

    def locator(self, block_size: int) -> Locator:
        segment = SegmentSource(self.name(), self.uint(), self.uint(32), self.uint(), self.uint(32))
        old = AncestorSource(self.choice([f'"{self.id(16).hex()}"', '"0f-2"', ""]), self.uint(32))
        return Locator(
            self.choice([segment, old]),
            self.uint(),
            self.uint(32),
            self.choice([1, block_size, 1 + self.below(block_size)]),
        )

    def refs(self, span: int) -> dict[int, PieceRef]:
        made = self.some(lambda: (self.below(5000), PieceRef(self.name(), 1 + self.below(span))))
        return dict(made)

    def blocks(self, block_count: int, block_size: int) -> BlockMap:
        recent = self.some(lambda: (self.below(block_count), self.locator(block_size)), 8)
        return BlockMap(
            dict(recent),
            self.refs(PIECE_SPAN),
            self.refs(PIECE_SPAN * NODE_SPAN),
        )

    def dead(self) -> dict[ObjectName, DeadBlocks]:
        return dict(
            self.some(
                lambda: (
                    self.name(),
                    DeadBlocks(self.uint(), self.uint(), self.uint(32), self.uint(32)),
                )
            )
        )

    def piece(self) -> Piece:
        first = self.uint(40) * PIECE_SPAN
        rows = self.some(lambda: (first + self.below(PIECE_SPAN), self.locator(65536)), 20)
        copies = self.some(lambda: InteriorPage(self.uint(), self.choice([2, 5, 13]), self.id(9)), 5)
        return Piece(dict(rows), self.dead(), tuple(copies))

    def node(self) -> dict[int, PieceRef]:
        first = self.uint(40) * NODE_SPAN
        return dict(
            self.some(
                lambda: (
                    first + self.below(NODE_SPAN),
                    PieceRef(self.name(), 1 + self.below(PIECE_SPAN)),
                ),
                20,
            )
        )

    def tail(self, page_count: int, versions: range) -> tuple[TailEntry, ...]:
        places = self.some(lambda: (self.choice(versions), 1 + self.below(page_count)), 8)
        return tuple(
            TailEntry(page, version, self.choice(list(Encoding)), self.id(self.below(40)))
            for version, page in sorted(set(places))
        )

    def commit(self, version: int, size: int) -> Commit:
        return Commit(version, self.id(), self.uint(), self.text(), size, self.uint())


def manifest_of(draw: Draw) -> Manifest:
    """Some manifest that keeps all rules."""
    page_size = draw.choice(PAGE_SIZES)
    block_size = draw.choice(BLOCK_SIZES)
    page_count = draw.choice([0, 1, draw.below(100_000)])
    size = page_count * page_size
    version = draw.choice([1, 2, 100, (1 << 63) - 1])
    versions = range(max(1, version - draw.below(40)), version + 1)
    commits = [draw.commit(number, draw.uint()) for number in versions[:-1]]
    copies = draw.some(
        lambda: InteriorPage(1 + draw.below(page_count), draw.choice([2, 5, 13]), draw.id(9))
    ) if page_count else ()
    condemned = Condemned(draw.id(), draw.some(draw.ref))
    return Manifest(
        database_id=draw.id(16),
        page_size=page_size,
        size=size,
        block_size=block_size,
        retention_seconds=draw.uint(),
        version=version,
        commits=(*commits, draw.commit(version, size)),
        blocks=draw.blocks(-(-size // block_size), block_size) if size else BlockMap(),
        tail=draw.tail(page_count, versions) if page_count else (),
        interior=copies,
        dead=MappingProxyType(draw.dead()),
        died=draw.some(lambda: Died(draw.ref(content=True), draw.uint(), draw.uint())),
        history=draw.some(lambda: HistoryName(draw.name(), draw.uint())),
        pins=draw.some(lambda: Pin(draw.id(), draw.id(16), draw.uint(), draw.text(), draw.text())),
        restores=draw.some(lambda: Restore(draw.uint(), draw.uint())),
        oldest_readable=1 + draw.below(version),
        condemned=draw.choice([None, condemned]),
        floor_ms=draw.uint(),
        conditions_proven=draw.id_or_none(16),
        state=draw.choice(list(State)),
        fork_id=draw.id_or_none(8),
        predecessor=draw.id_or_none(16),
        owners=draw.some(lambda: Owner(draw.text(), draw.id(16), draw.id(), draw.uint())),
        write_features=draw.some(draw.text),
    )


draws = st.integers(0, (1 << 32) - 1).map(Draw)
manifests = draws.map(manifest_of)

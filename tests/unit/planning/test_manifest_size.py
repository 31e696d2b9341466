"""The manifest of a database of 1 TB, made up, encoded by the real code: it stays within 256 KiB."""

from __future__ import annotations

from random import Random

import pytest

from sqlite_s3vfs.format.blockmap import BlockMap, DeadBlocks, Locator, PieceRef, SegmentSource
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import (
    HISTORY_NAMES,
    Commit,
    Condemned,
    Died,
    HistoryName,
    Manifest,
)
from sqlite_s3vfs.format.manifestcodec import encode_manifest
from sqlite_s3vfs.format.tail import Encoding, TailEntry
from sqlite_s3vfs.planning import commit, condemning, interior, mapfold

SIZE, BLOCK, VERSION, TIME = 1 << 40, 64 << 10, 10_000_000, 1_763_000_000_000


class MadeUp:
    """Everything at its limit at the same time, in segments of ``together`` blocks each."""

    def __init__(self, *, row_bytes: int, writer: str, together: int) -> None:
        self.chance = Random(1)
        self.row_bytes = row_bytes
        self.writer = writer
        self.together = together

    def manifest(self, rows: int) -> Manifest:
        """``rows`` in the tail, two of each commit."""
        number = max(32, rows // 2 + 1)
        first = VERSION - number + 1
        return Manifest(
            database_id=bytes(16),
            page_size=4096,
            size=SIZE,
            block_size=BLOCK,
            retention_seconds=3600,
            version=VERSION,
            commits=tuple(
                Commit(first + n, self.random(8), TIME + n, self.writer, SIZE, 2)
                for n in range(number)
            ),
            blocks=self.blocks(),
            tail=tuple(self.row(VERSION - rows // 2 + n // 2, n) for n in range(rows)),
            interior=(InteriorPage(1, 13, self.random(interior.INTERIOR_MAX)),),
            dead={self.name(n): DeadBlocks(n, VERSION, 64, 9) for n in range(mapfold.DEAD_MAX)},
            died=tuple(Died(self.ref(n), VERSION - n, VERSION) for n in range(64)),
            history=tuple(HistoryName(self.name(n), TIME) for n in range(2 * HISTORY_NAMES)),
            condemned=Condemned(
                self.random(8), tuple(self.ref(n) for n in range(condemning.BATCH_MAX))
            ),
        )

    def blocks(self) -> BlockMap:
        places = sorted(self.chance.sample(range(SIZE // BLOCK), mapfold.RECENT_MAX))
        count = len(places) // self.together
        sources = [SegmentSource(self.name(n), VERSION, 64, n) for n in range(count)]
        recent = {
            block: Locator(sources[n // self.together], self.chance.randrange(1 << 22), 65568, BLOCK)
            for n, block in enumerate(places)
        }
        pieces = {n: PieceRef(self.name(n), 4096) for n in range(mapfold.PIECES_MAX)}
        return BlockMap(recent, pieces, {n: PieceRef(self.name(n), 1 << 20) for n in range(16)})

    def row(self, version: int, number: int) -> TailEntry:
        page = 1 + number % 2 * self.chance.randrange(SIZE // 4096)
        return TailEntry(page, version, Encoding.PATCH, self.random(self.row_bytes))

    def name(self, back: int) -> ObjectName:
        return ObjectName(VERSION - back, self.random(8))

    def ref(self, back: int) -> ObjectRef:
        return ObjectRef.named(Role.SEGMENT, self.name(back))

    def random(self, size: int) -> bytes:
        return self.chance.randbytes(size)


@pytest.mark.parametrize(
    ("row_bytes", "writer"),
    [(400, "host-1234:4711"), (60, "host-1234:4711"), (60, "h" * 255)],
    ids=["long rows", "short rows", "short rows and long names"],
)
def test_at_one_terabyte_the_manifest_stays_within_256_kib(row_bytes: int, writer: str):
    made = MadeUp(row_bytes=row_bytes, writer=writer, together=16)
    rows = 64
    while commit.tail_cost(made.manifest(rows)) < commit.TAIL_HARD_MAX:
        rows += 64
    size = len(encode_manifest(made.manifest(rows), bytes(8)))

    assert size <= 256 << 10, f"{size >> 10} KiB with {rows} rows"
    assert size > 150 << 10, "everything is at its limit"

"""Write one object of every kind as format 1 has it into ``v1/``, each beside what it means.

    python -m tests.golden.generate

Format 1 is not released yet: until then this script makes the files anew whenever the format changes,
and the difference in the JSON says what changed. From the release on the files stay as they are, and
every later release has to read them.

All ids and contents come from a seed. Compressed bytes also depend on the release of zstd; what they
unfold to does not, and only that is compared.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import zstandard

from sqlite_s3vfs.format.ancestor import AncestorBlock
from sqlite_s3vfs.format.blockmap import (
    AncestorSource,
    BlockMap,
    DeadBlocks,
    Locator,
    Piece,
    PieceRef,
    SegmentSource,
)
from sqlite_s3vfs.format.history import decode_history, encode_history
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
from sqlite_s3vfs.format.manifestcodec import decode_manifest, encode_manifest
from sqlite_s3vfs.format.mapcodec import decode_node, decode_piece, encode_node, encode_piece
from sqlite_s3vfs.format.segment import (
    decode_directory,
    decode_frame,
    encode_frame,
    encode_segment,
)
from sqlite_s3vfs.format.tail import Encoding, TailEntry, decode_page, encode_page
from sqlite_s3vfs.planning.interior import interior_content
from sqlite_s3vfs.testing.ids import SeededIds

FILES = Path(__file__).parent / "v1"
PAGE_SIZE = 512
BLOCK_SIZE = 1024
TIME_MS = 1_700_000_000_000

_ids = SeededIds("format 1")


def some_bytes(size: int) -> bytes:
    """Bytes that do not compress."""
    return b"".join(_ids.new_id() for _ in range(size // 8))


def name(version: int) -> ObjectName:
    return ObjectName(version, _ids.new_id())


DATABASE_ID, PARENT_ID = some_bytes(16), some_bytes(16)
NONCE = _ids.new_id()
OWN = SegmentSource(name(38), first=39, blocks=4, home=0)
BORROWED = SegmentSource(name(7), first=7, blocks=2, home=0, owner=1)
PIECE, OTHER_PIECE, NODE, HISTORY, SEGMENT = name(40), name(37), name(36), name(41), name(12)

PAGE_3_IN_BLOCKS = b"page 3 as the blocks hold it".ljust(PAGE_SIZE, b"\0")
PAGE_3 = some_bytes(PAGE_SIZE)
PAGE_3_LATER = PAGE_3[:100] + b"changed" + PAGE_3[107:]
PAGE_4 = b"a page with much room".ljust(PAGE_SIZE, b"\0")
PAGE_1 = b"SQLite format 3\0".ljust(100, b"\1") + b"\5".ljust(PAGE_SIZE - 100, b"\0")
PAGE_2 = b"\2".ljust(PAGE_SIZE, b"\7")

BLOCKS_OF_SEGMENT = {0: b"text " * 200, 5: some_bytes(BLOCK_SIZE), 4_000_000_000: bytes(700)}
OLD_BLOCKS = (
    AncestorBlock(0, 4096, '"9e107d9d372bb6826bd81d3542a419d6"'),
    AncestorBlock(1, 4096, '"e4d909c290d0fb1ca068ffaddf22cbd0-3"'),
    AncestorBlock(3, 100, '"0123456789ABCDEF0123456789ABCDEF"'),
)


def compressed(page: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(page)


def commits(first: int, last: int, size: int) -> tuple[Commit, ...]:
    """Commits of these versions; the newest has no time yet."""
    return tuple(
        Commit(
            version,
            commit_id=_ids.new_id(),
            time_ms=0 if version == last else TIME_MS + version,
            writer="wríter:1",
            size=size,
            pages=version % 3,
        )
        for version in range(first, last + 1)
    )


INLINE = Manifest(
    database_id=DATABASE_ID,
    page_size=PAGE_SIZE,
    size=11 * PAGE_SIZE,
    block_size=BLOCK_SIZE,
    retention_seconds=3600,
    version=42,
    commits=commits(39, 42, 11 * PAGE_SIZE),
    blocks=BlockMap(
        recent={
            0: Locator(OWN, 192, 300, 1024),
            1: Locator(OWN, 492, 1056, 1024),
            2: Locator(BORROWED, 4_300_000_000, 20, 1000),
            5: Locator(OWN, 1548, 40, 512),
        }
    ),
    tail=(
        encode_page(3, 40, PAGE_3, PAGE_3_IN_BLOCKS),
        encode_page(3, 41, PAGE_3_LATER, PAGE_3),
        encode_page(4, 41, PAGE_4, None),
    ),
    interior=(InteriorPage(1, 5, compressed(PAGE_1)), InteriorPage(2, 2, compressed(PAGE_2))),
    dead={OWN.name: DeadBlocks(home=0, first=39, blocks=4, dead=1)},
    died=tuple(
        Died(ref, first, 42)
        for first, ref in enumerate(
            (
                ObjectRef.named(Role.SEGMENT, name(30)),
                ObjectRef.named(Role.MAP_PIECE, name(31)),
                ObjectRef.named(Role.MAP_NODE, name(32)),
                ObjectRef.named(Role.HISTORY, name(33)),
                ObjectRef(Role.OLD_BLOCK, 9_999_999_999),
                ObjectRef(Role.OLD_JOURNAL, 0),
                ObjectRef(Role.CONTENT, 34),
            ),
            start=30,
        )
    ),
    history=(HistoryName(HISTORY, TIME_MS + 42), HistoryName(name(38), 0)),
    pins=(
        Pin(_ids.new_id(), DATABASE_ID, 39, "before the märz import", ""),
        Pin(_ids.new_id(), PARENT_ID, 7, "", "forks/child.sqlite"),
    ),
    restores=(Restore(12, 20), Restore(19, 35)),
    oldest_readable=38,
    condemned=Condemned(
        _ids.new_id(),
        (
            ObjectRef.named(Role.SEGMENT, name(1)),
            ObjectRef.named(Role.HISTORY, name(2)),
            ObjectRef(Role.OLD_BLOCK, 0),
            ObjectRef(Role.OLD_JOURNAL, 3),
        ),
    ),
    floor_ms=TIME_MS - 86_400_000,
    conditions_proven=b"proven here",
    owners=(Owner("parents/of ours.sqlite", PARENT_ID, _ids.new_id(), 7),),
)
FOLDED = Manifest(
    database_id=DATABASE_ID,
    page_size=65536,
    size=3 << 40,
    block_size=65536,
    retention_seconds=0,
    version=(1 << 40) + 1,
    commits=commits((1 << 40), (1 << 40) + 1, 3 << 40),
    blocks=BlockMap(
        recent={49_999_999: Locator(OWN, 64, 65568, 65536)},
        pieces={0: PieceRef(PIECE, 4096), 300: PieceRef(OTHER_PIECE, 17)},
        nodes={0: PieceRef(NODE, 256 * 4096), 5: PieceRef(name(35), 1)},
    ),
    state=State.PENDING,
    fork_id=some_bytes(8),
    predecessor=PARENT_ID,
    write_features=("something-later",),
)
TOMBSTONE = Manifest(
    database_id=DATABASE_ID,
    page_size=0,
    size=0,
    block_size=65536,
    retention_seconds=3600,
    version=43,
    commits=commits(43, 43, 0),
    pins=INLINE.pins,
    oldest_readable=43,
    floor_ms=TIME_MS,
    state=State.TOMBSTONE,
)
ADOPTED = Manifest(
    database_id=DATABASE_ID,
    page_size=1024,
    size=12 * 1024 + 1024,
    block_size=4096,
    retention_seconds=3600,
    version=1,
    commits=commits(1, 1, 13 * 1024),
    blocks=BlockMap(
        recent={
            block.index: Locator(AncestorSource(block.etag), 0, block.size, block.size)
            for block in OLD_BLOCKS
        }
    ),
)


def plain(value: Any) -> Any:
    """A decoded value as JSON has it: bytes as hexadecimal digits, rows by the names of their fields."""
    if isinstance(value, bytes | memoryview):
        return value.hex()
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, ObjectName):
        return str(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        named = value._asdict()
        return {"is": type(value).__name__, **{key: plain(field) for key, field in named.items()}}
    if isinstance(value, Manifest):
        return plain_manifest(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def plain_manifest(manifest: Manifest) -> dict[str, Any]:
    """A manifest, with its pages unfolded instead of their compressed bytes."""
    found = {field.name: plain(getattr(manifest, field.name)) for field in fields(manifest)}
    pages = {3: PAGE_3_IN_BLOCKS}
    for row, entry in zip(found["tail"], manifest.tail, strict=True):
        pages[entry.page] = decode_page(entry, manifest.page_size, pages.get(entry.page))
        row["content"] = pages[entry.page].hex()
    for row, copy in zip(found["interior"], manifest.interior, strict=True):
        row["content"] = interior_content(copy, manifest.page_size).hex()
    return found


@dataclass(frozen=True)
class Segment:
    """A whole segment, every frame opened."""

    database_id: bytes
    name: ObjectName
    contents: dict[int, bytes]
    hashes: dict[int, bytes]
    codecs: dict[int, int]


def encode_whole_segment(segment: Segment) -> bytes:
    frames = [
        encode_frame(segment.name.random, block, content)
        for block, content in segment.contents.items()
    ]
    return encode_segment(segment.database_id, segment.name, frames)[0]


def decode_whole_segment(data: bytes) -> Segment:
    database_id, found, directory = decode_directory(data)
    frames = {
        row.placed.block: data[row.placed.offset : row.placed.offset + row.placed.length]
        for row in directory
    }
    return Segment(
        database_id,
        found,
        contents={block: decode_frame(frame, found.random, block) for block, frame in frames.items()},
        hashes={row.placed.block: row.content_hash for row in directory},
        codecs={block: frame[2] for block, frame in frames.items()},
    )


@dataclass(frozen=True)
class Golden:
    """An object: how to make its bytes from a value, and a value from its bytes."""

    value: Any
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def manifest_of(value: Manifest) -> Golden:
    return Golden(value, lambda manifest: encode_manifest(manifest, NONCE), decode_manifest)


GOLDEN = {
    "manifest-inline": manifest_of(INLINE),
    "manifest-folded": manifest_of(FOLDED),
    "manifest-tombstone": manifest_of(TOMBSTONE),
    "manifest-adopted": manifest_of(ADOPTED),
    "map-piece": Golden(
        Piece(
            {
                4096: Locator(OWN, 192, 300, 1024),
                4097: Locator(BORROWED, 0, 77, 1),
                8191: Locator(AncestorSource(OLD_BLOCKS[1].etag, 1), 0, 4096, 4096),
            },
            {OWN.name: DeadBlocks(1, 39, 4, 3), BORROWED.name: DeadBlocks(0, 7, 2, 1)},
            (InteriorPage(8193, 5, b"a frame"), InteriorPage(8194, 2, b"another")),
        ),
        lambda piece: encode_piece(DATABASE_ID, PIECE, piece),
        lambda data: decode_piece(data, DATABASE_ID, PIECE),
    ),
    "map-node": Golden(
        {256: PieceRef(PIECE, 4096), 300: PieceRef(OTHER_PIECE, 17), 511: PieceRef(name(2), 1)},
        lambda refs: encode_node(DATABASE_ID, NODE, refs),
        lambda data: decode_node(data, DATABASE_ID, NODE),
    ),
    "segment": Golden(
        decode_whole_segment(
            encode_whole_segment(Segment(DATABASE_ID, SEGMENT, BLOCKS_OF_SEGMENT, {}, {}))
        ),
        encode_whole_segment,
        decode_whole_segment,
    ),
    "history": Golden(
        replace(
            INLINE,
            version=41,
            commits=INLINE.commits[:-1],
            condemned=None,
            died=(),
            history=INLINE.history[1:],
        ),
        lambda manifest: encode_history(manifest, HISTORY),
        lambda data: decode_history(data, DATABASE_ID, HISTORY),
    ),
}


def main() -> None:
    """Write all files."""
    kinds = [TailEntry(*entry).encoding for entry in INLINE.tail]
    assert kinds == [Encoding.STORED, Encoding.PATCH, Encoding.COMPRESSED], kinds
    FILES.mkdir(exist_ok=True)
    for title, golden in GOLDEN.items():
        meaning = json.dumps(plain(golden.value), indent=1, ensure_ascii=False)
        (FILES / f"{title}.bin").write_bytes(golden.encode(golden.value))
        (FILES / f"{title}.json").write_text(meaning + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""A reader of format 1, written from docs/format.md alone: it uses nothing of the library.

It is slow and short, reads objects from a mapping of keys to bytes, and believes nothing: whatever is
not as the document says fails an assertion.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

import msgpack
import zstandard

V = TypeVar("V")
Row = list[Any]
Fields = dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """An object without its envelope. ``end`` is where the payload ends."""

    database_id: bytes
    object_id: bytes
    payload: Fields
    end: int


def open_envelope(data: bytes, kind: bytes) -> Opened:
    magic, version, own_kind, codec, size, stored_size = struct.unpack_from("<8sHcBIQ", data)
    database_id, object_id, digest = data[24:40], data[40:48], data[48:64]
    stored = data[64 : 64 + stored_size]
    assert (magic, version, own_kind) == (b"\x89S3VFS\r\n", 1, kind)
    assert hashlib.blake2b(data[:48] + stored, digest_size=16).digest() == digest
    assert kind == b"S" or len(data) == 64 + stored_size
    payload = unzstd(stored) if codec == 1 else stored
    assert codec in (0, 1)
    assert len(payload) == size
    return Opened(database_id, object_id, msgpack.unpackb(payload), 64 + stored_size)


def unzstd(frame: bytes, dictionary: bytes = b"") -> bytes:
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=raw if dictionary else None).decompress(
        frame, max_output_size=1 << 26
    )


def name_of(version: int, random: bytes) -> str:
    return f"{version:020d}-{random.hex()}"


def columns_of(table: Fields) -> Iterator[tuple[int, Row, int, int, int]]:
    """Block, source row, offset, length and valid bytes of each row."""
    count, raw = table["count"], unzstd(table["columns"])
    assert len(raw) == 28 * count
    starts = [0, 8 * count, 12 * count, 20 * count, 24 * count]
    columns = [
        struct.unpack_from(f"<{count}{code}", raw, start)
        for code, start in zip("QIQII", starts, strict=True)
    ]
    for block, source, offset, length, valid in zip(*columns, strict=True):
        yield block, table["sources"][source], offset, length, valid


class Version:
    """One version: the payload of a manifest, or of the one in a history object."""

    def __init__(self, stored: Stored, database_id: bytes, fields: Fields) -> None:
        self.stored = stored
        self.objects = stored.objects
        self.prefix = stored.prefix
        self.database_id = database_id
        self.fields = fields
        assert fields["features"] == []

    @property
    def version(self) -> int:
        return self.fields["version"]

    @cached_property
    def nodes(self) -> list[tuple[Row, list[Row]]]:
        """The references to nodes, and the references to pieces in each, whatever its limit."""
        rows = self.fields["map"]["nodes"]
        return [(row, self._map_object(row[1], row[2])["pieces"]) for row in rows]

    @cached_property
    def pieces(self) -> dict[int, tuple[Row, Fields]]:
        """Per piece the reference that counts, and its payload."""
        span = self.fields["map"]["piece_span"]
        node_blocks = span * self.fields["map"]["node_span"]
        rows: dict[int, Row] = {}
        for (index, _, _, limit), inner in self.nodes:
            for piece, version, random, own_limit in inner:
                shown = min(own_limit, index * node_blocks + limit - piece * span)
                if shown > 0:
                    rows[piece] = [piece, version, random, shown]
        rows.update((row[0], row) for row in self.fields["map"]["pieces"])
        return {piece: (row, self._map_object(row[1], row[2])) for piece, row in rows.items()}

    @cached_property
    def locators(self) -> dict[int, tuple[Row, int, int, int]]:
        """Source, offset, length and valid bytes of every block that is no hole."""
        span = self.fields["map"]["piece_span"]
        found = {}
        for piece, (row, payload) in self.pieces.items():
            for block, *rest in columns_of(payload["locators"]):
                assert block // span == piece
                if block - piece * span < row[3]:
                    found[block] = tuple(rest)
        for block, *rest in columns_of(self.fields["map"]["recent"]):
            found[block] = tuple(rest)
        return found

    def _map_object(self, version: int, random: bytes) -> Fields:
        return self.stored.once(("map", random), lambda: self._read_map_object(version, random))

    def _read_map_object(self, version: int, random: bytes) -> Fields:
        opened = open_envelope(self.objects[f"{self.prefix}/maps/{name_of(version, random)}"], b"P")
        assert (opened.database_id, opened.object_id) == (self.database_id, random)
        assert opened.payload["version"] == version
        return opened.payload

    def block(self, block: int) -> bytes:
        """What the map says that a block holds; of full size, also past the end of the file."""
        block_size = self.fields["block_size"]
        if block not in self.locators:
            return bytes(block_size)
        source, offset, length, valid = self.locators[block]
        assert source[1] == 0
        if source[0] == 1:
            content = self.objects[f"{self.prefix}/{block:010d}"]
            assert hashlib.md5(content).digest() == source[2]
        else:
            content = self.stored.once(
                (source[3], offset, length),
                lambda: self._frame(name_of(source[2], source[3]), offset, length, block),
            )
        assert valid <= len(content) <= block_size
        return content[:valid].ljust(block_size, b"\x00")

    def _frame(self, name: str, offset: int, length: int, block: int) -> bytes:
        segment = self.stored.once(name, lambda: self.objects[f"{self.prefix}/segments/{name}"])
        stored = segment[offset : offset + length]
        fields = struct.unpack_from("<2sBBIQ8sII", stored)
        magic, codec, reserved, size, own_block, own_random, stored_size, checksum = fields
        body = stored[32:]
        assert (magic, reserved, own_block, own_random) == (b"Sb", 0, block, bytes.fromhex(name[21:]))
        assert len(body) == stored_size
        assert zlib.crc32(body, zlib.crc32(stored[:28])) == checksum
        content = unzstd(body) if codec == 1 else body
        assert len(content) == size
        return content

    def page_of_blocks(self, page: int) -> bytes:
        size, block_size = self.fields["page_size"], self.fields["block_size"]
        start = (page - 1) * size
        blocks = range(start // block_size, -(-(start + size) // block_size))
        joined = b"".join(self.block(block) for block in blocks)
        offset = start - blocks[0] * block_size
        return joined[offset : offset + size]

    def page(self, page: int, upto: int) -> bytes:
        """A page as version ``upto`` has it."""
        content = self.page_of_blocks(page)
        for number, version, encoding, stored in self.fields["tail"]:
            if number == page and version <= upto:
                match encoding:
                    case 0:
                        content = stored
                    case 1:
                        content = unzstd(stored)
                    case 2:
                        content = unzstd(stored, content)
                assert len(content) == self.fields["page_size"], "a page of another size"
        return content

    def file(self, upto: int | None = None) -> bytes:
        """The file of version ``upto``, which this manifest serves; of its own version without."""
        return self._file(self.version if upto is None else upto)

    @cache      # noqa: B019 - versions live as long as their test
    def _file(self, upto: int) -> bytes:
        sizes = {row[0]: row[4] for row in self.fields["commits"]}
        assert upto in sizes, f"nobody knows the size of version {upto}"
        size = sizes[upto]
        if not size:
            return b""
        block_size, page_size = self.fields["block_size"], self.fields["page_size"]
        file = bytearray(b"".join(self.block(block) for block in range(-(-size // block_size))))
        for page in {row[0] for row in self.fields["tail"] if row[1] <= upto}:
            file[(page - 1) * page_size : page * page_size] = self.page(page, upto)
        return bytes(file[:size])


class Stored:
    """A database in a bucket."""

    def __init__(self, objects: Mapping[str, bytes], prefix: str) -> None:
        self.objects = objects
        self.prefix = prefix
        self._known: dict[object, Any] = {}

    def once(self, key: object, read: Callable[[], V]) -> V:
        """What never changes is read once."""
        if key not in self._known:
            self._known[key] = read()
        return self._known[key]

    def newest(self) -> Version:
        opened = open_envelope(self.objects[f"{self.prefix}/manifest"], b"M")
        return Version(self, opened.database_id, opened.payload)

    def history(self) -> list[Version]:
        """The versions kept in history objects that the manifest names, ascending."""
        newest = self.newest()
        return [
            self.once(
                ("history", random),
                lambda version=version, random=random: self._kept(newest, version, random),
            )
            for version, random, _ in newest.fields["history"]
        ]

    def _kept(self, newest: Version, version: int, random: bytes) -> Version:
        key = f"{self.prefix}/history/{name_of(version, random)}"
        opened = open_envelope(self.objects[key], b"H")
        fields = msgpack.unpackb(opened.payload["manifest"])
        assert (opened.database_id, opened.object_id) == (newest.database_id, random)
        assert fields["version"] == version
        return Version(self, opened.database_id, fields)

    def serving(self, version: int) -> Version:
        """The manifest that a version is read from (I4)."""
        return next(
            kept for kept in [*self.history(), self.newest()] if kept.version >= version
        )

"""The first 64 bytes of every object of ours: magic, format version, kind, identity, checksum.

All numbers are little-endian. The digest covers the header before it and the payload. A segment's
frames follow its payload and carry checksums of their own.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from dataclasses import dataclass

import zstandard

from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError

FORMAT_VERSION = 1
MAGIC = b"\x89S3VFS\r\n"
DATABASE_ID_SIZE = 16
OBJECT_ID_SIZE = 8
PAYLOAD_SIZE_MAX = 1 << 30

_FIELDS = struct.Struct("<8sHcBIQ16s8s")
_DIGEST_SIZE = 16
HEADER_SIZE = _FIELDS.size + _DIGEST_SIZE
_DATABASE_ID = slice(24, 40)
_STORED, _ZSTD = 0, 1


class ObjectKind(enum.Enum):
    """What an object is; the byte that is stored."""

    MANIFEST = b"M"
    SEGMENT = b"S"
    MAP_PIECE = b"P"
    HISTORY = b"H"
    PROBE = b"T"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An opened object: whose it is, its own id, its payload, and where the payload ends."""

    database_id: bytes
    object_id: bytes
    payload: bytes
    end: int


def seal(
    kind: ObjectKind, database_id: bytes, object_id: bytes, payload: bytes, *, level: int = 0
) -> bytes:
    """Put a payload into its envelope; compressed with zstd at ``level`` unless that is 0."""
    assert len(database_id) == DATABASE_ID_SIZE, "a database id has 16 bytes"
    assert len(object_id) == OBJECT_ID_SIZE, "an object id has 8 bytes"
    codec, size = _STORED, len(payload)
    if level:
        codec, payload = _ZSTD, zstandard.ZstdCompressor(level=level).compress(payload)
    header = _FIELDS.pack(
        MAGIC, FORMAT_VERSION, kind.value, codec, size, len(payload), database_id, object_id
    )
    return header + _digest(header, payload) + payload


def unseal(data: bytes | memoryview, kind: ObjectKind) -> Envelope:
    """Open an envelope and check everything that can be checked without knowing whose it should be.

    Raises:
        UnsupportedFormatError: a newer release wrote it.
        CorruptError: not ours, another kind, cut short, or damaged.
    """
    if len(data) < HEADER_SIZE or bytes(data[: len(MAGIC)]) != MAGIC:
        raise CorruptError(f"not an object of this library. size={len(data)}")
    _, version, stored_kind, codec, size, stored_size, database_id, object_id = _FIELDS.unpack_from(
        data
    )
    if version > FORMAT_VERSION:
        raise UnsupportedFormatError(
            f"written by a newer release: upgrade sqlite-s3vfs. format={version} known={FORMAT_VERSION}"
        )
    end = HEADER_SIZE + stored_size
    if len(data) < end or size > PAYLOAD_SIZE_MAX:
        raise CorruptError(f"object is cut short. size={len(data)} expected={end}")
    if len(data) > end and stored_kind != ObjectKind.SEGMENT.value:
        raise CorruptError(f"something follows the object. size={len(data)} expected={end}")
    stored = bytes(data[HEADER_SIZE:end])
    header = bytes(data[: _FIELDS.size])
    if _digest(header, stored) != bytes(data[_FIELDS.size : HEADER_SIZE]):
        raise CorruptError("object is damaged: the checksum does not match.")
    if (version, stored_kind) != (FORMAT_VERSION, kind.value):
        raise CorruptError(f"another kind of object. kind={stored_kind!r} expected={kind.name}")
    return Envelope(database_id, object_id, _decompressed(stored, codec, size), end)


def database_id_of(data: bytes | memoryview) -> bytes | None:
    """The database of an object, as its first ``HEADER_SIZE`` bytes claim; None: not one of ours."""
    if len(data) < HEADER_SIZE or bytes(data[: len(MAGIC)]) != MAGIC:
        return None
    return bytes(data[_DATABASE_ID])


def envelope_end(data: bytes | memoryview) -> int:
    """Where the payload of an object ends, as its first ``HEADER_SIZE`` bytes claim."""
    if len(data) < HEADER_SIZE or bytes(data[: len(MAGIC)]) != MAGIC:
        raise CorruptError(f"not an object of this library. size={len(data)}")
    stored_size: int = _FIELDS.unpack_from(data)[5]
    if stored_size > PAYLOAD_SIZE_MAX:
        raise CorruptError(f"impossible payload size. size={stored_size}")
    return HEADER_SIZE + stored_size


def _digest(header: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(header, digest_size=_DIGEST_SIZE)
    digest.update(payload)
    return digest.digest()


def _decompressed(stored: bytes, codec: int, size: int) -> bytes:
    if codec == _STORED and len(stored) == size:
        return stored
    if codec == _ZSTD:
        payload = decompress(stored, size)
        if len(payload) == size:
            return payload
    raise CorruptError(f"payload cannot be unpacked. codec={codec} size={size}")


Unpacker = zstandard.ZstdDecompressor
"""What undoes zstd. A new one takes half as long as a block does; one is for one thread at a time."""


def decompress(
    stored: bytes | memoryview,
    size_max: int,
    *,
    dictionary: bytes = b"",
    unpacker: Unpacker | None = None,
) -> bytes:
    """Undo zstd, giving at most ``size_max`` bytes; ``unpacker`` is for what has no dictionary.

    Raises:
        CorruptError: not zstd, or it holds more.
    """
    try:
        if zstandard.frame_content_size(stored) > size_max:
            raise CorruptError(f"compressed bytes hold too much. size_max={size_max}")
        if dictionary:
            decompressor = zstandard.ZstdDecompressor(
                dict_data=zstandard.ZstdCompressionDict(
                    dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT
                )
            )
        else:
            decompressor = unpacker or Unpacker()
        return decompressor.decompress(stored, max_output_size=size_max)
    except zstandard.ZstdError as error:
        raise CorruptError("compressed bytes are damaged.") from error

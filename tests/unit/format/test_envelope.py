from __future__ import annotations

import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError
from sqlite_s3vfs.format import envelope
from sqlite_s3vfs.format.envelope import (
    HEADER_SIZE,
    Envelope,
    ObjectKind,
    decompress,
    envelope_end,
    seal,
    unseal,
)
from unit.format.hostile import gives_value_or_corrupt, mutations
from unit.format.values import database_ids, ids

DATABASE_ID = b"0123456789abcdef"
OBJECT_ID = b"01234567"
SEALED = seal(ObjectKind.MANIFEST, DATABASE_ID, OBJECT_ID, b"payload")


@given(st.sampled_from(ObjectKind), database_ids, ids, st.binary(max_size=5000), st.integers(0, 3))
def test_a_sealed_payload_is_opened_again(kind, database_id, object_id, payload, level):
    sealed = seal(kind, database_id, object_id, payload, level=level)

    assert unseal(sealed, kind) == Envelope(database_id, object_id, payload, len(sealed))
    assert envelope_end(sealed[:HEADER_SIZE]) == len(sealed)


def test_the_header_has_64_bytes_and_says_what_it_is():
    assert HEADER_SIZE == 64
    assert SEALED[:8] == b"\x89S3VFS\r\n"
    assert SEALED[8:10] == b"\x01\x00"
    assert SEALED[10:11] == b"M"


@pytest.mark.parametrize("place", range(len(SEALED)))
def test_no_changed_byte_passes(place: int):
    changed = bytearray(SEALED)
    changed[place] ^= 1

    with pytest.raises(CorruptError):
        unseal(bytes(changed), ObjectKind.MANIFEST)


@pytest.mark.parametrize("size", range(len(SEALED)))
def test_no_part_passes(size: int):
    with pytest.raises(CorruptError):
        unseal(SEALED[:size], ObjectKind.MANIFEST)


def test_nothing_may_follow_an_object_but_the_frames_of_a_segment():
    segment = seal(ObjectKind.SEGMENT, DATABASE_ID, OBJECT_ID, b"payload")

    assert unseal(segment + b"frames", ObjectKind.SEGMENT).end == len(segment)
    with pytest.raises(CorruptError, match="follows"):
        unseal(SEALED + b"x", ObjectKind.MANIFEST)


def test_another_kind_is_refused():
    with pytest.raises(CorruptError, match="another kind"):
        unseal(SEALED, ObjectKind.HISTORY)


@pytest.mark.parametrize("version", [2, 3, 65535])
def test_a_newer_format_is_refused_as_such_whatever_follows_its_number(version: int):
    newer = SEALED[:8] + struct.pack("<H", version) + b"?" * 80

    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        unseal(newer, ObjectKind.MANIFEST)


def test_format_0_does_not_exist(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(envelope, "FORMAT_VERSION", 0)
    older = seal(ObjectKind.MANIFEST, DATABASE_ID, OBJECT_ID, b"payload")
    monkeypatch.undo()

    with pytest.raises(CorruptError) as caught:
        unseal(older, ObjectKind.MANIFEST)
    assert not isinstance(caught.value, UnsupportedFormatError)


@given(st.binary(max_size=200) | mutations(SEALED), st.sampled_from(ObjectKind))
def test_any_bytes_give_an_envelope_or_corrupt(data: bytes, kind: ObjectKind):
    gives_value_or_corrupt(lambda: unseal(data, kind))
    gives_value_or_corrupt(lambda: envelope_end(data))


@given(st.binary(max_size=200), st.binary(max_size=50), st.integers(0, 1000))
def test_decompress_gives_bytes_or_corrupt(stored: bytes, dictionary: bytes, size_max: int):
    gives_value_or_corrupt(lambda: decompress(stored, size_max, dictionary=dictionary))


@given(st.binary(max_size=3000), st.binary(max_size=300))
def test_decompress_undoes_zstd_with_and_without_a_dictionary(content: bytes, dictionary: bytes):
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    plain = zstandard.ZstdCompressor().compress(content)
    patch = zstandard.ZstdCompressor(dict_data=raw).compress(content) if dictionary else plain

    assert decompress(plain, len(content)) == content
    assert decompress(patch, len(content), dictionary=dictionary) == content


def bomb(size: int, *, tells_size: bool) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=tells_size).compress(bytes(size))


@pytest.mark.parametrize("tells_size", [True, False])
def test_a_bomb_does_not_unfold(tells_size: bool):
    """64 MiB in 6 KB; what is allowed is 64 KiB."""
    stored = bomb(64 << 20, tells_size=tells_size)

    with pytest.raises(CorruptError):
        decompress(stored, 65536)
    gives_value_or_corrupt(lambda: decompress(stored, 65536), memory_max=1 << 20)


def test_a_payload_that_tells_another_size_than_it_has_is_refused(monkeypatch: pytest.MonkeyPatch):
    compressed = zstandard.ZstdCompressor().compress(bytes(1000))
    header = envelope._FIELDS.pack(
        envelope.MAGIC, 1, b"M", 1, 999, len(compressed), DATABASE_ID, OBJECT_ID
    )

    with pytest.raises(CorruptError):
        unseal(header + envelope._digest(header, compressed) + compressed, ObjectKind.MANIFEST)


@pytest.mark.parametrize("codec", [2, 7, 255])
def test_an_unknown_codec_is_refused(codec: int):
    header = envelope._FIELDS.pack(envelope.MAGIC, 1, b"M", codec, 7, 7, DATABASE_ID, OBJECT_ID)

    with pytest.raises(CorruptError, match="unpacked"):
        unseal(header + envelope._digest(header, b"payload") + b"payload", ObjectKind.MANIFEST)


def test_an_impossible_size_is_refused_before_anything_is_allocated():
    header = envelope._FIELDS.pack(
        envelope.MAGIC, 1, b"M", 1, (1 << 32) - 1, 7, DATABASE_ID, OBJECT_ID
    )
    sealed = header + envelope._digest(header, b"payload") + b"payload"

    gives_value_or_corrupt(lambda: unseal(sealed, ObjectKind.MANIFEST), memory_max=1 << 20)
    with pytest.raises(CorruptError, match="impossible"):
        envelope_end(header[:16] + b"\xff" * 48)

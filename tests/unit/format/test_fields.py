from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.fields import UINT_MAX, Record, binary, pack, rows, text, uint, unpack_map
from unit.format.hostile import gives_value_or_corrupt

scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() | st.binary()
values = st.recursive(
    scalars | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=5))
def test_a_map_is_unpacked_as_it_was_packed(payload: dict[str, object]):
    assert unpack_map(pack(payload), "payload") == payload


@given(st.binary(max_size=100) | values.map(pack) | values.map(pack).map(lambda data: b"\x81" + data))
def test_any_bytes_give_a_map_or_corrupt(payload: bytes):
    gives_value_or_corrupt(lambda: unpack_map(payload, "payload"))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        pack([1]),
        pack({1: 2}),
        b"\x81\x90\x01",                                      # a list as key
        b"\x81\x80\x01",                                      # a map as key
        pack({"a": 1}) + b"\x00",                              # something behind it
        b"\x81\xa1\xff\x00",                                  # text that is not UTF-8
        b"\x81\xa1a\xd7\xff" + b"\xff" * 8,                   # an impossible time
        b"\x81\xa1a\xdd\xff\xff\xff\xff",                     # 4 billion elements that are not there
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",                     # 4 GB of bytes that are not there
    ],
)
def test_what_is_no_map_of_ours_is_corrupt(payload: bytes):
    with pytest.raises(CorruptError):
        unpack_map(payload, "payload")
    gives_value_or_corrupt(lambda: unpack_map(payload, "payload"), memory_max=1 << 20)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"])
def test_deep_nesting_is_corrupt(opening: bytes):
    payload = b"\x81\xa1a" + opening * 200_000 + b"\x00"

    with pytest.raises(CorruptError):
        unpack_map(payload, "payload")


@given(values)
def test_a_field_is_what_it_should_be_or_corrupt(value: object):
    for read in (uint, binary, text, rows):
        gives_value_or_corrupt(lambda read=read: read(value, "field"))
    gives_value_or_corrupt(lambda: Record([value, value], 2, "row").etag())
    gives_value_or_corrupt(lambda: Record(value, 1, "row").uint())


@pytest.mark.parametrize("value", [0, 1, UINT_MAX])
def test_whole_numbers_have_63_bits(value: int):
    assert uint(value, "field") == value


@pytest.mark.parametrize("value", [-1, UINT_MAX + 1, True, 1.0, None, "1"])
def test_other_things_are_no_numbers(value: object):
    with pytest.raises(CorruptError, match="field"):
        uint(value, "field")


def test_a_row_may_have_more_fields_than_are_known_but_not_fewer():
    record = Record([1, b"12", "x", "of the future"], 3, "row")

    assert (record.uint(), record.binary(2), record.text()) == (1, b"12", "x")
    with pytest.raises(CorruptError):
        Record([1, b"12"], 3, "row")


def test_an_etag_is_an_md5_digest_or_text():
    row = msgpack.unpackb(pack([bytes(range(16)), '"abc-3"']))
    record = Record(row, 2, "row")

    assert record.etag() == '"000102030405060708090a0b0c0d0e0f"'
    assert record.etag() == '"abc-3"'

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError
from sqlite_s3vfs.format.envelope import ObjectKind, seal
from sqlite_s3vfs.format.fields import pack
from sqlite_s3vfs.format.history import decode_history, encode_history
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifestcodec import payload_of_manifest
from unit.format.hostile import gives_value_or_corrupt, mutations
from unit.format.test_manifestcodec import DATABASE_ID, FIELDS, SMALL
from unit.format.values import ids, manifests

NAME = ObjectName(SMALL.version, b"01234567")
STORED = encode_history(SMALL, NAME)


@given(manifests, ids)
def test_a_history_object_keeps_all_but_what_is_condemned(manifest, random):
    name = ObjectName(manifest.version, random)

    kept = decode_history(encode_history(manifest, name), manifest.database_id, name)

    assert kept == replace(manifest, condemned=None)


@pytest.mark.parametrize(
    ("database_id", "name"),
    [
        (b"fedcba9876543210", NAME),
        (DATABASE_ID, NAME._replace(version=4)),
        (DATABASE_ID, NAME._replace(random=b"76543210")),
    ],
)
def test_another_history_object_is_noticed(database_id: bytes, name: ObjectName):
    with pytest.raises(CorruptError, match="another object"):
        decode_history(STORED, database_id, name)


@given(mutations(STORED) | st.binary(max_size=100))
def test_any_bytes_give_a_manifest_or_corrupt(data: bytes):
    gives_value_or_corrupt(lambda: decode_history(data, DATABASE_ID, NAME))


@given(mutations(payload_of_manifest(SMALL)))
def test_a_changed_manifest_under_a_right_checksum_gives_one_or_corrupt(payload: bytes):
    data = seal(ObjectKind.HISTORY, DATABASE_ID, NAME.random, pack({"manifest": payload}), level=1)

    gives_value_or_corrupt(lambda: decode_history(data, DATABASE_ID, NAME))


def test_an_unknown_feature_in_the_past_is_refused():
    payload = pack({"manifest": pack({**FIELDS, "features": ["parquet-pages"]})})

    with pytest.raises(UnsupportedFormatError):
        decode_history(seal(ObjectKind.HISTORY, DATABASE_ID, NAME.random, payload), DATABASE_ID, NAME)

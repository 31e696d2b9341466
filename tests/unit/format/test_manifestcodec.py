from __future__ import annotations

from dataclasses import fields as dataclass_fields
from dataclasses import replace

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError
from sqlite_s3vfs.format import manifest as manifest_module
from sqlite_s3vfs.format.blockmap import AncestorSource, BlockMap, Locator
from sqlite_s3vfs.format.envelope import ObjectKind, seal
from sqlite_s3vfs.format.fields import pack
from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import (
    Commit,
    Condemned,
    InteriorPage,
    Manifest,
    RuleBrokenError,
    check_manifest,
    check_successor,
    unknown_write_features,
)
from sqlite_s3vfs.format.manifestcodec import (
    decode_manifest,
    encode_manifest,
    manifest_of_payload,
    payload_of_manifest,
)
from sqlite_s3vfs.format.tail import Encoding, TailEntry
from unit.format.hostile import gives_value_or_corrupt, mutations
from unit.format.values import ids, manifests

DATABASE_ID = b"0123456789abcdef"
NONCE = b"01234567"
SMALL = Manifest(
    database_id=DATABASE_ID,
    page_size=4096,
    size=40960,
    block_size=65536,
    retention_seconds=3600,
    version=3,
    commits=(Commit(2, b"commit 2", 7, "host:1", 0, 1), Commit(3, b"commit 3", 0, "host:1", 40960, 2)),
    blocks=BlockMap({0: Locator(AncestorSource('"etag"'), 0, 40960, 40960)}),
    tail=(TailEntry(1, 3, Encoding.STORED, b"page 1"),),
)
FIELDS = msgpack.unpackb(payload_of_manifest(SMALL))


@given(manifests, ids)
def test_a_manifest_is_decoded_as_it_was_encoded(manifest: Manifest, nonce: bytes):
    assert decode_manifest(encode_manifest(manifest, nonce)) == manifest


@given(ids, ids)
def test_no_two_puts_have_equal_bytes(one: bytes, other: bytes):
    assert (encode_manifest(SMALL, one) == encode_manifest(SMALL, other)) == (one == other)


def test_every_field_of_a_manifest_is_stored():
    """A field that were forgotten in the codec would come back as its default."""
    assert len(FIELDS) == len(dataclass_fields(Manifest)) - 1          # the id is in the envelope


@given(mutations(encode_manifest(SMALL, NONCE)) | st.binary(max_size=100))
def test_any_bytes_give_a_manifest_or_corrupt(data: bytes):
    gives_value_or_corrupt(lambda: decode_manifest(data))


@given(mutations(payload_of_manifest(SMALL)))
def test_a_payload_changed_under_a_right_checksum_gives_a_manifest_or_corrupt(payload: bytes):
    gives_value_or_corrupt(lambda: manifest_of_payload(DATABASE_ID, payload))


plain = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.binary(max_size=9)
shapes = st.recursive(
    plain | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(st.sampled_from(sorted(FIELDS)), shapes)
@example("version", 1 << 40)
@example("version", (1 << 63) - 1)
@example("features", [[]])
@example("state", [])
@example("page_size", 1)
@example("commits", [[0, b"12345678", 0, "", 0, 0], [3, b"12345678", 0, "", 40960, 0]])
def test_any_value_of_any_field_gives_a_manifest_or_corrupt(field: str, value: object):
    payload = pack({**FIELDS, field: value})

    gives_value_or_corrupt(lambda: manifest_of_payload(DATABASE_ID, payload))


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_a_mutated_field_gives_a_manifest_or_corrupt(field: str, data: st.DataObject):
    """As before, but near a right value: one leaf of the field is another."""
    value = data.draw(near(FIELDS[field]))

    gives_value_or_corrupt(lambda: manifest_of_payload(DATABASE_ID, pack({**FIELDS, field: value})))


def near(value: object) -> st.SearchStrategy[object]:
    if isinstance(value, list) and value:
        places = st.integers(0, len(value) - 1)
        return places.flatmap(
            lambda place: near(value[place]).map(
                lambda put: [*value[:place], put, *value[place + 1 :]]
            )
        )
    if isinstance(value, dict):
        return st.sampled_from(sorted(value)).flatmap(
            lambda key: near(value[key]).map(lambda put: {**value, key: put})
        )
    return shapes


def test_missing_fields_are_corrupt():
    for field in FIELDS:
        payload = pack({name: value for name, value in FIELDS.items() if name != field})
        if field == "condemned":
            assert manifest_of_payload(DATABASE_ID, payload) == SMALL
        else:
            with pytest.raises(CorruptError):
                manifest_of_payload(DATABASE_ID, payload)


def test_unknown_fields_are_left_out():
    payload = pack({**FIELDS, "of the future": [1, 2, 3]})

    assert manifest_of_payload(DATABASE_ID, payload) == SMALL


def test_an_unknown_feature_is_refused_and_named():
    payload = pack({**FIELDS, "features": ["parquet-pages"]})

    with pytest.raises(UnsupportedFormatError, match=r"upgrade.*parquet-pages"):
        decode_manifest(seal(ObjectKind.MANIFEST, DATABASE_ID, NONCE, payload))


def test_an_unknown_feature_is_refused_whatever_else_has_changed():
    payload = pack({"features": ["parquet-pages"], "state": "frozen", "map": "elsewhere"})

    with pytest.raises(UnsupportedFormatError):
        manifest_of_payload(DATABASE_ID, payload)


def test_an_unknown_write_feature_may_be_read_but_not_replaced():
    payload = pack({**FIELDS, "write_features": ["parquet-pages"]})

    manifest = manifest_of_payload(DATABASE_ID, payload)

    assert manifest == replace(SMALL, write_features=("parquet-pages",))
    assert unknown_write_features(manifest) == ["parquet-pages"]
    assert unknown_write_features(SMALL) == []


def test_a_newer_format_is_refused():
    data = bytearray(encode_manifest(SMALL, NONCE))
    data[8] = 2

    with pytest.raises(UnsupportedFormatError):
        decode_manifest(bytes(data))


BROKEN = {
    "no commits": {"commits": ()},
    "another newest commit": {"version": 4},
    "a gap": {"commits": (Commit(1, NONCE, 0, "", 0, 0), SMALL.commits[1])},
    "another size": {"size": 40961},
    "no page size": {"page_size": 0},
    "odd page size": {"page_size": 4095},
    "small page size": {"page_size": 256},
    "no block size": {"block_size": 0},
    "tail page past the end": {"tail": (TailEntry(11, 3, Encoding.STORED, b""),)},
    "tail of no commit": {"tail": (TailEntry(1, 1, Encoding.STORED, b""),)},
    "tail of the future": {"tail": (TailEntry(1, 4, Encoding.STORED, b""),)},
    "copy of page 0": {"interior": (InteriorPage(0, 5, b""),)},
    "copy past the end": {"interior": (InteriorPage(11, 5, b""),)},
    "block past the end": {"blocks": BlockMap({1: SMALL.blocks.recent[0]})},
    "empty block": {"blocks": BlockMap({0: SMALL.blocks.recent[0]._replace(valid=0)})},
    "long block": {"blocks": BlockMap({0: SMALL.blocks.recent[0]._replace(valid=65537)})},
    "nothing readable": {"oldest_readable": 4},
    "version 0 readable": {"oldest_readable": 0},
    "a content condemned": {"condemned": Condemned(NONCE, (ObjectRef(Role.CONTENT, 2),))},
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_neither_written_nor_read(broken: dict[str, object], monkeypatch):
    manifest = replace(SMALL, **broken)

    with pytest.raises(RuleBrokenError):
        encode_manifest(manifest, NONCE)
    monkeypatch.setattr("sqlite_s3vfs.format.manifestcodec.check_manifest", lambda manifest: None)
    written = encode_manifest(manifest, NONCE)
    monkeypatch.undo()
    with pytest.raises(CorruptError):
        decode_manifest(written)


CONDEMNED_OTHERS = [
    [7, 0, b""],
    [0, 17, b"short"],
    [4, 10**10, b""],
    [4, 0, b"12345678"],
    [0, -1, b"12345678"],
    ["/manifest", 0, b""],
    "/manifest",
]


@pytest.mark.parametrize("row", CONDEMNED_OTHERS, ids=repr)
def test_nothing_but_what_may_be_deleted_can_be_condemned(row: object):
    with pytest.raises(CorruptError):
        manifest_of_payload(DATABASE_ID, pack({**FIELDS, "condemned": [NONCE, [row]]}))


NEXT = replace(SMALL, version=4, commits=(*SMALL.commits, Commit(4, b"commit 4", 0, "", 40960, 0)))

WRONG_SUCCESSORS = {
    "another database": replace(NEXT, database_id=b"fedcba9876543210"),
    "another block size": replace(NEXT, block_size=65537),
    "a version left out": replace(
        NEXT, version=5, commits=(*NEXT.commits, Commit(5, b"commit 5", 0, "", 40960, 0))
    ),
    "a version back": replace(
        SMALL, version=2, commits=(Commit(2, b"commit 2", 0, "", 40960, 0),), tail=()
    ),
    "another commit under the same number": replace(
        SMALL, commits=(SMALL.commits[0], SMALL.commits[1]._replace(commit_id=b"another!"))
    ),
}


@pytest.mark.parametrize("wrong", WRONG_SUCCESSORS.values(), ids=WRONG_SUCCESSORS)
def test_what_may_not_follow_a_manifest(wrong: Manifest):
    check_manifest(wrong)

    with pytest.raises(RuleBrokenError):
        check_successor(SMALL, wrong)


def test_what_was_raised_does_not_fall():
    check_successor(SMALL, NEXT)
    check_successor(SMALL, replace(SMALL, floor_ms=5, oldest_readable=2))
    for base in (replace(SMALL, floor_ms=5), replace(SMALL, oldest_readable=2)):
        with pytest.raises(RuleBrokenError):
            check_successor(base, NEXT)


def test_the_first_manifest_follows_nothing():
    check_successor(None, SMALL)
    with pytest.raises(RuleBrokenError):
        check_successor(None, replace(SMALL, commits=()))


def test_a_commit_is_known_while_its_row_is_kept():
    assert SMALL.commit_id == b"commit 3"
    assert [SMALL.commit_id_of(version) for version in range(5)] == [
        None, None, b"commit 2", b"commit 3", None,
    ]


def test_huge_versions_cost_nothing():
    """A list of all versions would not fit into memory."""
    far = (1 << 63) - 1
    commits = tuple(SMALL.commits[1]._replace(version=version) for version in (far - 1, far))

    check_manifest(replace(SMALL, version=far, commits=commits, tail=()))
    gap = pack({**FIELDS, "version": far, "commits": [list(SMALL.commits[0]), list(commits[1])]})
    gives_value_or_corrupt(lambda: manifest_of_payload(DATABASE_ID, gap), memory_max=1 << 20)


def test_names_of_old_objects_have_no_random_part():
    manifest = replace(SMALL, condemned=Condemned(NONCE, (ObjectRef(Role.OLD_BLOCK, 0),)))

    assert decode_manifest(encode_manifest(manifest, NONCE)) == manifest
    assert manifest_module.HISTORY_NAMES == 64
    assert ObjectName(1, NONCE) == ObjectName(version=1, random=NONCE)

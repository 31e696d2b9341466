from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.format.keys import (
    KEY_SIZE_MAX,
    RESERVED_ELEMENTS,
    DatabaseKeys,
    ObjectName,
    ObjectRef,
    Role,
    check_prefix,
    parse_object_name,
)
from unit.format.values import names, object_refs

NAME = ObjectName(17, bytes.fromhex("0123456789abcdef"))
KEYS = DatabaseKeys("my/cool.sqlite")


@given(names)
def test_a_name_is_read_back_from_its_text(name: ObjectName):
    assert parse_object_name(str(name)) == name


@given(names, names)
def test_names_sort_as_their_texts_do(one: ObjectName, other: ObjectName):
    assert (one < other) == (str(one) < str(other))


@given(st.text(max_size=60) | st.from_regex(r"[0-9]{18,22}-[0-9a-fA-F]{14,18}\n?"))
def test_whatever_parses_is_the_text_of_a_name(text: str):
    name = parse_object_name(text)

    assert name is None or str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "00000000000000000017-0123456789ABCDEF",
        "0000000000000000017-0123456789abcdef",
        "00000000000000000017-0123456789abcdef\n",
        " 0000000000000000017-0123456789abcdef",
        "99999999999999999999-0123456789abcdef",
        "\N{ARABIC-INDIC DIGIT ONE}" * 20 + "-0123456789abcdef",
        "\N{FULLWIDTH DIGIT ONE}" * 20 + "-0123456789abcdef",
        "",
    ],
)
def test_what_only_looks_like_a_name_is_none(text: str):
    assert parse_object_name(text) is None


def test_the_keys_of_a_database():
    name = "00000000000000000017-0123456789abcdef"

    assert KEYS.manifest == "my/cool.sqlite/manifest"
    assert KEYS.segment(NAME) == f"my/cool.sqlite/segments/{name}"
    assert KEYS.map_piece(NAME) == f"my/cool.sqlite/maps/{name}"
    assert KEYS.history(NAME) == f"my/cool.sqlite/history/{name}"
    assert KEYS.ancestor_block(12) == "my/cool.sqlite/0000000012"
    assert KEYS.ancestor_journal_prefix == "my/cool.sqlite-journal/"


GRAMMAR = re.compile(
    r"my/cool\.sqlite(/(segments|maps|history)/[0-9]{20}-[0-9a-f]{16}|(-journal)?/[0-9]{10})"
)


@given(object_refs)
def test_what_may_be_deleted_follows_the_grammar_and_is_never_the_manifest(ref: ObjectRef):
    assert GRAMMAR.fullmatch(KEYS.of(ref))


@pytest.mark.parametrize(
    ("ref", "key"),
    [
        (ObjectRef.named(Role.SEGMENT, NAME), KEYS.segment(NAME)),
        (ObjectRef.named(Role.MAP_PIECE, NAME), KEYS.map_piece(NAME)),
        (ObjectRef.named(Role.MAP_NODE, NAME), KEYS.map_piece(NAME)),
        (ObjectRef.named(Role.HISTORY, NAME), KEYS.history(NAME)),
        (ObjectRef(Role.OLD_BLOCK, 12), KEYS.ancestor_block(12)),
        (ObjectRef(Role.OLD_JOURNAL, 12), "my/cool.sqlite-journal/0000000012"),
    ],
)
def test_a_reference_names_its_object(ref: ObjectRef, key: str):
    assert KEYS.of(ref) == key


@given(st.text(max_size=30))
def test_a_prefix_is_kept_as_it_is_or_refused(prefix: str):
    with contextlib.suppress(InvalidArgumentError):
        assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["a", "a/b.sqlite", "manifest2", "Maps", "ä/ö", "a b", "a/.b"])
def test_plain_names_are_taken(prefix: str):
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("element", ["", ".", "..", *sorted(RESERVED_ELEMENTS)])
@pytest.mark.parametrize("pattern", ["{}", "a/{}", "{}/a", "a/{}/a"])
def test_some_elements_are_refused(element: str, pattern: str):
    with pytest.raises(InvalidArgumentError):
        check_prefix(pattern.format(element))


@pytest.mark.parametrize("prefix", ["a\x00", "a\n", "\x7f", "a\ud800"])
def test_control_characters_and_half_characters_are_refused(prefix: str):
    with pytest.raises(InvalidArgumentError):
        check_prefix(prefix)


@pytest.mark.parametrize("character", ["a", "ä", "\N{GRINNING FACE}"])
def test_every_key_of_the_longest_name_fits(character: str):
    size_max = KEY_SIZE_MAX - len(f"/segments/{NAME}")
    longest = check_prefix(character * (size_max // len(character.encode())))

    with pytest.raises(InvalidArgumentError, match="too long"):
        check_prefix(longest + character)
    keys = DatabaseKeys(longest)
    every = [keys.manifest, keys.segment(NAME), keys.map_piece(NAME), keys.history(NAME)]
    sizes = [len(key.encode()) for key in every]
    assert KEY_SIZE_MAX - len(character.encode()) < max(sizes) <= KEY_SIZE_MAX

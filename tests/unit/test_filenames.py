"""Any key becomes a path that any file system takes, and no two keys become one."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqlite_s3vfs.store.filenames import file_names, key_of

KEYS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.text("aA.%/@+conlpt1_~\0", min_size=1, max_size=12),
    st.integers(190, 1024).map(lambda size: "x" * size),
    st.integers(60, 340).map(lambda size: "é" * size),
)
RESERVED = re.compile("(con|prn|aux|nul|com[0-9]|lpt[0-9])([.].*)?", re.IGNORECASE)


@given(KEYS)
@example("..")
@example("../../etc/passwd")
@example("a//b")
@example("con" * 100)
@example("." * 300)
@example(f"{'x' * 199}/nul")
def test_the_key_can_be_told_from_the_names(key: str):
    assert key_of(file_names(key)) == key


@given(KEYS)
@example("..")
@example("com1.txt/lpt9")
@example("@lock")
def test_a_name_is_a_plain_one_on_every_file_system(key: str):
    for name in file_names(key):
        assert re.fullmatch("[a-z0-9._%@+-]{1,202}", name)
        assert not RESERVED.fullmatch(name)
        assert name.strip(".") == name
        assert not name.startswith("@")


@given(KEYS, KEYS)
@example("a", "A")
@example("é", "e\u0301")
@example("a/b", "a%2fb")
@example("x" * 400, "x" * 200 + "/" + "x" * 200)
@example("x+", "x")
def test_no_two_keys_share_a_path(one: str, other: str):
    def seen(key: str) -> str:
        """As a file system sees it that folds case and Unicode normal forms."""
        return unicodedata.normalize("NFC", "/".join(file_names(key)).casefold())

    assert (seen(one) == seen(other)) == (one == other)


@given(KEYS, KEYS)
def test_a_file_is_never_a_directory(one: str, other: str):
    path, longer = file_names(one), file_names(other)

    assert longer[: len(path)] != path or len(longer) == len(path)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a"],
        [".DS_Store"],
        ["@lock"],
        ["@temporary", "0011223344556677"],
        ["A@"],
        ["%41"],
        ["%4@"],
        ["%61@"],
        ["%C3%A9@"],
        ["%ff@"],
        ["a@", "b@"],
        ["a+", "b@"],
        ["a+", "+b@"],
        ["con@"],
        ["%%@"],
        ["@"],
    ],
)
def test_what_is_no_spelling_of_a_key_is_told_apart(names: list[str]):
    assert key_of(names) is None

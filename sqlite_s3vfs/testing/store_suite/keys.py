"""Keys of all kinds stay apart from one another."""

from __future__ import annotations

from typing import ClassVar

import pytest

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.store_suite.surroundings import Around, StoreFixtures, fetch

ODD_NAMES = [
    "space and\ttab",
    "new\nline",
    "carriage\rreturn",
    "control\x01\x7f",
    "no\ufffecharacter",
    "a+b&c=d?e#f;g:h,i",
    "%41%2F%",
    "\"quotes' <xml> &amp; \\ | * $(x) `y`",
    "äßœ日本語",
    "\U0001f600\U000e0001",
    "con",
    "nul.txt",
    "dot.",
    ".hidden",
    "@lock",
    "@temporary/x",
    "plus+/+plus",
    "~tilde",
    "versionId=1?acl",
    "e" * 255,
    "deep/" * 180 + "e",
]
"""Beyond these, some stores that speak S3's protocol refuse ``//``, ``.``, ``..`` and NUL."""

LOOK_ALIKES = [
    ["case", "Case", "CASE"],
    ["caf\u00e9", "cafe\u0301"],
    ["a", "a.b", "a-b", "ab", "a@", "a+"],
    ["x y", "x+y", "x%20y", "x_y"],
    ["d/e", "d@/e", "d+/e", "d/@"],
]


class KeyTests(StoreFixtures):
    """A key is any text, and no two texts are one key."""

    @pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[:24])
    def test_an_odd_key_is_a_key_like_any_other(
        self, store: ObjectStore, around: Around, prefix: str, name: str
    ) -> None:
        key = prefix + name

        store.put(key, b"body", if_absent=True)

        assert around.read(key) == b"body"
        assert fetch(store, key).body == b"body"
        assert [row.key for row in store.list(prefix)] == [key]
        store.delete([key])
        assert store.get(key) is None
        assert list(store.list(prefix)) == []

    @pytest.mark.parametrize("names", LOOK_ALIKES, ids=lambda names: ascii(names[0]))
    def test_keys_that_look_alike_stay_apart(
        self, store: ObjectStore, prefix: str, names: list[str]
    ) -> None:
        for name in names:
            store.put(prefix + name, name.encode(), if_absent=True)

        for name in names:
            assert fetch(store, prefix + name).body == name.encode()
        assert sorted(row.key for row in store.list(prefix)) == sorted(prefix + n for n in names)
        for gone, name in enumerate(names, start=1):
            store.delete([prefix + name])
            left = [row.key.removeprefix(prefix) for row in store.list(prefix)]
            assert sorted(left) == sorted(names[gone:])

    @pytest.mark.parametrize("key", ["", "/a", "/", "x" * 1025, "é" * 513, "a\ud800"])
    def test_what_cannot_be_a_key_is_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(InvalidArgumentError):
            store.get(key)
        with pytest.raises(InvalidArgumentError):
            store.put(key, b"body")
        with pytest.raises(InvalidArgumentError):
            store.delete([key])


class NestedKeysSuite(StoreFixtures):
    """For stores in which an object may lie below another, as ``a/b`` below ``a``; on S3 it may.

    MinIO stores such objects, and leaves those below out of listings. This library never makes them.
    """

    NESTED: ClassVar = ["a", "a/", "a/b", "a/b/c", "a/bc", "ab"]

    def test_an_object_may_lie_below_another(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        for name in self.NESTED:
            store.put(prefix + name, name.encode(), if_absent=True)

        assert [around.read(prefix + name) for name in self.NESTED] == [
            name.encode() for name in self.NESTED
        ]
        assert [row.key.removeprefix(prefix) for row in store.list(prefix)] == self.NESTED
        below = [row.key.removeprefix(prefix) for row in store.list(f"{prefix}a/b")]
        assert below == ["a/b", "a/b/c", "a/bc"]

    def test_deleting_an_object_leaves_those_below_and_above(
        self, store: ObjectStore, prefix: str
    ) -> None:
        for gone in self.NESTED:
            for name in self.NESTED:
                store.put(prefix + name, b"body")

            store.delete([prefix + gone])

            left = [row.key.removeprefix(prefix) for row in store.list(prefix)]
            assert left == [name for name in self.NESTED if name != gone]

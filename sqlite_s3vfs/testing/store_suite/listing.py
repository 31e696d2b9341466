"""Listings: which keys, in which order, how many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.store_suite.surroundings import StoreFixtures

ORDERED = [
    " ",
    "%",
    "0",
    "00",
    "1",
    "A",
    "a-",
    "a-b",
    "a/",
    "a/b",
    "a/bc",
    "a/c/d",
    "a0",
    "aa",
    "b",
    "~",
    "\u00e9",
    "\u65e5",
    "\uffee",
    "\U00010000",
    "\U0001f600",
]
"""By the bytes of UTF-8. In UTF-16 the last two would come before the one above them."""

MANY = 1005


class ListTests(StoreFixtures):
    """The keys that begin with a prefix, in the order of their UTF-8 bytes."""

    def names(self, store: ObjectStore, prefix: str, below: str = "", **which: object) -> list[str]:
        """What is listed, without the prefix that all keys of a test have."""
        if "start_after" in which:
            which["start_after"] = f"{prefix}{which['start_after']}"
        rows = store.list(prefix + below, **which)  # type: ignore[arg-type]
        return [row.key.removeprefix(prefix) for row in rows]

    def fill(self, store: ObjectStore, prefix: str) -> None:
        """Put the keys of ``ORDERED`` in another order."""
        for name in sorted(ORDERED, key=lambda name: name[::-1]):
            store.put(prefix + name, name.encode())

    def test_nothing_is_listed_where_nothing_is(self, store: ObjectStore, prefix: str) -> None:
        assert list(store.list(prefix)) == []
        assert list(store.list(f"{prefix}a/b", start_after=f"{prefix}a/b/c", limit=5)) == []

    def test_rows_tell_size_and_etag(self, store: ObjectStore, prefix: str) -> None:
        empty = store.put(f"{prefix}a", b"")
        some = store.put(f"{prefix}b", b"x" * 70_000)

        rows = [(row.key, row.size, row.etag) for row in store.list(prefix)]

        assert rows == [(f"{prefix}a", 0, empty.etag), (f"{prefix}b", 70_000, some.etag)]

    def test_the_order_is_that_of_the_bytes(self, store: ObjectStore, prefix: str) -> None:
        self.fill(store, prefix)

        assert sorted(ORDERED, key=str.encode) == ORDERED
        assert self.names(store, prefix) == ORDERED

    @pytest.mark.parametrize(
        "below", ["a", "a/", "a/b", "a-", "b", "\u65e5", "A", "z", "a/c/", "a/c/d/e"]
    )
    def test_a_prefix_may_end_anywhere(self, store: ObjectStore, prefix: str, below: str) -> None:
        self.fill(store, prefix)

        assert self.names(store, prefix, below) == [n for n in ORDERED if n.startswith(below)]

    @pytest.mark.parametrize("start_after", ["", "0", "a", "a/", "a/a", "a/b", "az", "~", "\U0010ffff"])
    def test_only_keys_after_the_given_one_are_listed(
        self, store: ObjectStore, prefix: str, start_after: str
    ) -> None:
        self.fill(store, prefix)

        after = [name for name in ORDERED if name.encode() > start_after.encode()]
        assert self.names(store, prefix, start_after=start_after) == after
        below = [name for name in after if name.startswith("a")]
        assert self.names(store, prefix, "a", start_after=start_after) == below

    @pytest.mark.parametrize("limit", [0, 1, 2, len(ORDERED), len(ORDERED) + 1, 5000])
    def test_no_more_than_the_limit_is_listed(self, store: ObjectStore, prefix: str, limit: int) -> None:
        self.fill(store, prefix)

        assert self.names(store, prefix, limit=limit) == ORDERED[:limit]
        assert self.names(store, prefix, "a", start_after="a", limit=limit) == ORDERED[6:14][:limit]

    def test_a_limit_below_nothing_is_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(InvalidArgumentError):
            list(store.list(prefix, limit=-1))

    def test_neighbours_are_not_listed(self, store: ObjectStore, prefix: str) -> None:
        for name in ("sales/1", "sales-journal/1", "sales2/1", "sale", "sales.", "Sales/1"):
            store.put(prefix + name, b"")

        assert self.names(store, prefix, "sales/") == ["sales/1"]

    @pytest.mark.slow
    def test_more_rows_than_one_request_gives(self, store: ObjectStore, prefix: str) -> None:
        """Also: deletions of more keys than one request takes."""
        names = [f"{number:06d}" for number in range(MANY)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: store.put(prefix + name, b""), names))

        assert self.names(store, prefix) == names
        assert self.names(store, prefix, limit=1000) == names[:1000]
        assert self.names(store, prefix, limit=1001) == names[:1001]
        assert self.names(store, prefix, start_after=names[3]) == names[4:]

        store.delete([prefix + name for name in names[:-2]])

        assert self.names(store, prefix) == names[-2:]

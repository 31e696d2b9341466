"""Deletions."""

from __future__ import annotations

from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.store_suite.surroundings import Around, StoreFixtures


class DeleteTests(StoreFixtures):
    """What was asked for is gone, and nothing else."""

    def test_a_deleted_object_is_missing(self, store: ObjectStore, around: Around, prefix: str) -> None:
        store.put(f"{prefix}key", b"body")

        store.delete([f"{prefix}key"])

        assert around.read(f"{prefix}key") is None
        assert store.get(f"{prefix}key") is None
        assert list(store.list(prefix)) == []

    def test_deleting_nothing_and_what_is_missing_is_no_error(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        store.put(f"{prefix}a", b"body")

        store.delete([])
        store.delete([f"{prefix}b"])
        store.delete([f"{prefix}a/b", f"{prefix}c", f"{prefix}c"])

        assert around.read(f"{prefix}a") == b"body"

    def test_many_are_deleted_at_once_and_their_neighbours_stay(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        names = ["a", "ab", "a.b", "b", "c/d", "c/e/f", "g\x01h", "i & j", "A"]
        for name in names:
            store.put(prefix + name, b"body")
        gone = ["a", "missing", "b", "c/d", "g\x01h", "i & j"]

        store.delete([prefix + name for name in gone])

        left = sorted(set(names) - set(gone))
        assert [row.key.removeprefix(prefix) for row in store.list(prefix)] == left
        assert [name for name in names if around.read(prefix + name) is None] == [
            name for name in names if name in gone
        ]

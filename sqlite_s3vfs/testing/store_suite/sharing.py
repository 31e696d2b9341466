"""One store used by many threads, and used on after ``close``."""

from __future__ import annotations

from functools import partial

from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.store_suite.surroundings import StoreFixtures, fetch, in_threads

THREADS = 8


class SharingTests(StoreFixtures):
    """Nothing is torn and nothing is mixed up."""

    def test_a_reader_sees_one_whole_object_while_it_is_replaced(
        self, store: ObjectStore, prefix: str
    ) -> None:
        key = f"{prefix}key"
        etags = {store.put(key, b"0" * 300_000).etag: b"0"}

        def write(letter: bytes) -> None:
            for size in range(300_000, 300_006):
                etags[store.put(key, letter * size).etag] = letter

        def read() -> list[tuple[bytes, str]]:
            found = [fetch(store, key) for _ in range(12)]
            return [(one.body, one.etag) for one in found]

        _, _, *seen = in_threads([lambda: write(b"1"), lambda: write(b"2"), read, read])

        for body, etag in (one for reader in seen for one in reader or ()):
            assert body == etags[etag] * len(body)

    def test_threads_get_what_they_asked_for(self, store: ObjectStore, prefix: str) -> None:
        def use(number: int) -> None:
            key = f"{prefix}{number}"
            for size in range(100, 110):
                body = b"%d" % number * size
                etag = store.put(key, body).etag
                found = fetch(store, key, byte_range=(50, 105))
                assert (found.body, found.etag) == (body[50:105], etag)
                assert [row.key for row in store.list(key)] == [key]

        in_threads([partial(use, number) for number in range(THREADS)])

    def test_a_closed_store_can_be_used_on(self, store: ObjectStore, prefix: str) -> None:
        store.put(f"{prefix}key", b"body")

        store.close()
        store.close()

        assert fetch(store, f"{prefix}key").body == b"body"
        store.put(f"{prefix}key", b"more")
        assert fetch(store, f"{prefix}key").body == b"more"

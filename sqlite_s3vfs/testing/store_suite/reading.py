"""Whole objects, ranges of them, and reading under conditions."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.clock import SystemClock
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.port import Fetched, NotModified, ObjectStore, PreconditionFailedError
from sqlite_s3vfs.testing.store_suite.surroundings import Around, StoreFixtures, fetch

BODY = b"0123456789"
RANGES = [(0, 1), (0, 10), (3, 7), (9, 10), (9, 11), (5, 1000), (0, 1 << 40)]
PAST_THE_END = [(10, 11), (10, 1000), (1 << 40, 1 << 41)]
OTHER_ETAG = f'"{"0" * 32}"'


class ReadTests(StoreFixtures):
    """What has been put is what is read."""

    def test_a_missing_object_is_none_whatever_is_asked_of_it(
        self, store: ObjectStore, prefix: str
    ) -> None:
        store.put(f"{prefix}neighbour", BODY)

        assert store.get(f"{prefix}missing") is None
        assert store.get(f"{prefix}missing", byte_range=(3, 5)) is None
        assert store.get(f"{prefix}missing", if_match=OTHER_ETAG) is None
        assert store.get(f"{prefix}missing", if_none_match=OTHER_ETAG) is None

    @pytest.mark.parametrize("body", [b"", b"\0", bytes(range(256)), b"\r\n\r\n0\r\n"])
    def test_the_bytes_that_are_put_are_stored(
        self, store: ObjectStore, around: Around, prefix: str, body: bytes
    ) -> None:
        stored = store.put(f"{prefix}key", body)

        assert around.read(f"{prefix}key") == body
        found = fetch(store, f"{prefix}key")
        assert (found.body, found.etag) == (body, stored.etag)

    def test_what_others_wrote_is_read(self, store: ObjectStore, around: Around, prefix: str) -> None:
        around.write(f"{prefix}key", BODY)

        assert fetch(store, f"{prefix}key").body == BODY

    def test_a_body_of_many_megabytes_arrives_whole(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        body = b"".join(number.to_bytes(4, "big") for number in range(9 << 18))

        store.put(f"{prefix}big", body)

        assert fetch(store, f"{prefix}big").body == body
        assert around.read(f"{prefix}big") == body
        middle = fetch(store, f"{prefix}big", byte_range=(5_000_001, 9_000_001)).body
        assert middle == body[5_000_001:9_000_001]

    def test_a_put_replaces_the_whole_object(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        first = store.put(f"{prefix}key", BODY * 1000)

        second = store.put(f"{prefix}key", b"short")

        assert around.read(f"{prefix}key") == b"short"
        assert fetch(store, f"{prefix}key").body == b"short"
        assert first.etag != second.etag

    @pytest.mark.parametrize(
        ("start", "stop"),
        RANGES + PAST_THE_END,
    )
    def test_a_range_gives_what_is_there_of_it(
        self, store: ObjectStore, prefix: str, start: int, stop: int
    ) -> None:
        stored = store.put(f"{prefix}key", BODY)

        found = fetch(store, f"{prefix}key", byte_range=(start, stop))

        assert found.body == BODY[start:stop]
        assert found.etag == stored.etag

    def test_a_range_of_an_empty_object_is_empty(self, store: ObjectStore, prefix: str) -> None:
        stored = store.put(f"{prefix}key", b"")

        found = fetch(store, f"{prefix}key", byte_range=(0, 10))

        assert (found.body, found.etag) == (b"", stored.etag)

    @pytest.mark.parametrize("byte_range", [(0, 0), (5, 5), (5, 4), (-1, 3), (-5, -1)])
    def test_a_range_without_a_byte_is_refused(
        self, store: ObjectStore, prefix: str, byte_range: tuple[int, int]
    ) -> None:
        store.put(f"{prefix}key", BODY)

        with pytest.raises(InvalidArgumentError):
            store.get(f"{prefix}key", byte_range=byte_range)

    @pytest.mark.parametrize("byte_range", [None, (2, 5), (10, 20)])
    def test_an_object_that_the_caller_holds_is_not_sent_again(
        self, store: ObjectStore, prefix: str, byte_range: tuple[int, int] | None
    ) -> None:
        held = store.put(f"{prefix}key", BODY).etag

        unchanged = store.get(f"{prefix}key", byte_range=byte_range, if_none_match=held)
        store.put(f"{prefix}key", b"another")
        changed = store.get(f"{prefix}key", if_none_match=held)

        assert isinstance(unchanged, NotModified)
        assert isinstance(changed, Fetched)
        assert changed.body == b"another"

    @pytest.mark.parametrize("byte_range", [None, (2, 5), (10, 20)])
    def test_an_object_can_be_read_only_if_it_is_that_one(
        self, store: ObjectStore, prefix: str, byte_range: tuple[int, int] | None
    ) -> None:
        held = store.put(f"{prefix}key", BODY).etag

        found = store.get(f"{prefix}key", byte_range=byte_range, if_match=held)

        assert isinstance(found, Fetched)
        assert found.body == BODY[slice(*byte_range)] if byte_range else BODY
        with pytest.raises(PreconditionFailedError):
            store.get(f"{prefix}key", byte_range=byte_range, if_match=OTHER_ETAG)

    def test_times_are_seconds_since_the_epoch_and_in_order(
        self, store: ObjectStore, prefix: str
    ) -> None:
        """S3's times are whole seconds in some answers and not in others: a second of tolerance.

        Its clock may differ from ours by a quarter of an hour before it refuses our signatures. The time
        of an object is one between the request and its answer, which may take as long as it likes.
        """
        earlier = store.put(f"{prefix}earlier", BODY)
        stored = store.put(f"{prefix}key", BODY)
        found = fetch(store, f"{prefix}key")
        unchanged = store.get(f"{prefix}key", if_none_match=stored.etag)
        [listed] = store.list(f"{prefix}key")

        assert isinstance(unchanged, NotModified)
        assert abs(stored.date - SystemClock().now()) < 1000
        assert earlier.date <= stored.date <= found.date <= unchanged.date
        assert earlier.date - 1 <= found.last_modified <= stored.date + 1
        assert abs(listed.last_modified - found.last_modified) < 1

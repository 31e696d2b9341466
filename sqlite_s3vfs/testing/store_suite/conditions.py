"""Conditional puts: what commits rest on."""

from __future__ import annotations

from functools import partial

import pytest

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.port import ObjectStore, PreconditionFailedError
from sqlite_s3vfs.testing.store_suite.surroundings import (
    Around,
    StoreFixtures,
    fetch,
    in_threads,
    try_put,
)

OTHER_ETAG = f'"{"0" * 32}"'
RACERS = 8
ROUNDS = 10


class ConditionTests(StoreFixtures):
    """Of writers with one expectation at most one is served."""

    def test_only_a_missing_object_can_be_created(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        store.put(f"{prefix}key", b"first", if_absent=True)

        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"second", if_absent=True)

        assert around.read(f"{prefix}key") == b"first"

    def test_an_empty_object_is_not_a_missing_one(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        around.write(f"{prefix}key", b"")

        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"second", if_absent=True)

        assert around.read(f"{prefix}key") == b""

    def test_only_the_expected_object_is_replaced(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        first = store.put(f"{prefix}key", b"first")

        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"wrong", if_match=OTHER_ETAG)
        second = store.put(f"{prefix}key", b"second", if_match=first.etag)
        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"stale", if_match=first.etag)

        assert around.read(f"{prefix}key") == b"second"
        assert fetch(store, f"{prefix}key").etag == second.etag

    def test_a_missing_object_is_not_replaced(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"body", if_match=OTHER_ETAG)

        assert around.read(f"{prefix}key") is None

    def test_a_deleted_object_can_be_created_but_not_replaced(
        self, store: ObjectStore, prefix: str
    ) -> None:
        first = store.put(f"{prefix}key", b"first")
        store.delete([f"{prefix}key"])

        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"second", if_match=first.etag)
        store.put(f"{prefix}key", b"third", if_absent=True)

        assert fetch(store, f"{prefix}key").body == b"third"

    def test_an_object_that_others_replaced_is_not_the_expected_one(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        first = store.put(f"{prefix}key", b"first")
        around.write(f"{prefix}key", b"theirs")

        with pytest.raises(PreconditionFailedError):
            store.put(f"{prefix}key", b"ours", if_match=first.etag)

        assert around.read(f"{prefix}key") == b"theirs"

    def test_a_put_cannot_expect_an_object_and_none(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(InvalidArgumentError):
            store.put(f"{prefix}key", b"body", if_match=OTHER_ETAG, if_absent=True)

        assert store.get(f"{prefix}key") is None

    def test_of_racing_creates_exactly_one_wins(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        for number in range(ROUNDS):
            key = f"{prefix}{number}"
            bodies = [b"%d wins" % racer for racer in range(RACERS)]

            won = in_threads(partial(try_put, store, key, body, if_absent=True) for body in bodies)

            assert sum(won) == 1
            assert around.read(key) == bodies[won.index(True)]

    def test_of_racing_replacements_exactly_one_wins(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        key = f"{prefix}key"
        store.put(key, b"start")
        for number in range(ROUNDS):
            etag = fetch(store, key).etag
            bodies = [b"%d wins round %d" % (racer, number) for racer in range(RACERS)]

            won = in_threads(partial(try_put, store, key, body, if_match=etag) for body in bodies)

            assert sum(won) == 1
            assert around.read(key) == bodies[won.index(True)]

    def test_no_increment_of_a_shared_counter_is_lost(
        self, store: ObjectStore, around: Around, prefix: str
    ) -> None:
        key = f"{prefix}counter"
        store.put(key, b"0")

        def increment() -> None:
            while True:
                seen = fetch(store, key)
                if try_put(store, key, b"%d" % (int(seen.body) + 1), if_match=seen.etag):
                    return

        in_threads([increment] * RACERS)

        assert around.read(key) == b"%d" % RACERS

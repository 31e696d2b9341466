"""The suite for stores is no formality: planted mistakes do not pass it."""

from __future__ import annotations

import dataclasses
import inspect
import threading

import pytest
from test_memory import Around

from sqlite_s3vfs.store.memory import MemoryObjectStore, etag_of
from sqlite_s3vfs.store.port import Fetched, PreconditionFailedError
from sqlite_s3vfs.testing.store_suite import ObjectStoreSuite
from sqlite_s3vfs.testing.store_suite.conditions import RACERS


class ListsByUtf16(MemoryObjectStore):
    def list(self, prefix, **which):
        rows = super().list(prefix, **which)
        return iter(sorted(rows, key=lambda row: row.key.encode("utf-16-be")))


class ListsFromTheKeyItself(MemoryObjectStore):
    def list(self, prefix, *, start_after="", limit=None):
        found = self._objects.get(start_after)
        rows = super().list(prefix, start_after=start_after, limit=limit)
        if found and start_after.startswith(prefix):
            yield next(super().list(start_after, limit=1))
        yield from rows


class ListsOnePage(MemoryObjectStore):
    def list(self, prefix, *, start_after="", limit=None):
        return super().list(prefix, start_after=start_after, limit=min(limit or 1000, 1000))


class IncludesTheStopOfARange(MemoryObjectStore):
    def get(self, key, *, byte_range=None, **conditions):
        if byte_range:
            byte_range = (byte_range[0], byte_range[1] + 1)
        return super().get(key, byte_range=byte_range, **conditions)


class TakesAnEmptyObjectForAMissingOne(MemoryObjectStore):
    def put(self, key, body, *, if_match=None, if_absent=False):
        if if_absent and not getattr(self._objects.get(key), "body", None):
            return super().put(key, body)
        return super().put(key, body, if_match=if_match, if_absent=if_absent)


class ReplacesWhatIsMissing(MemoryObjectStore):
    def put(self, key, body, *, if_match=None, if_absent=False):
        if if_match is not None and key not in self._objects:
            return super().put(key, body)
        return super().put(key, body, if_match=if_match, if_absent=if_absent)


class ChecksThenActs(MemoryObjectStore):
    def __init__(self) -> None:
        super().__init__()
        self._all_have_looked = threading.Barrier(RACERS)

    def put(self, key, body, *, if_match=None, if_absent=False):
        found = self.get(key)
        if (if_absent and found) or (if_match is not None and (not found or found.etag != if_match)):
            raise PreconditionFailedError("it does not hold.")
        self._all_have_looked.wait(60)
        return super().put(key, body)


class NeverSaysNotModified(MemoryObjectStore):
    def get(self, key, *, if_none_match=None, **how):
        return super().get(key, **how)


class DeletesWhatLooksAlike(MemoryObjectStore):
    def delete(self, keys):
        super().delete([k for k in self._objects for key in keys if k.lower() == key.lower()])


class GivesTheEtagOfThePart(MemoryObjectStore):
    def get(self, key, **how):
        found = super().get(key, **how)
        return (
            dataclasses.replace(found, etag=etag_of(found.body)) if isinstance(found, Fetched) else found
        )


class CompressesInSecret(MemoryObjectStore):
    """Right as long as one asks only itself."""

    def put(self, key, body, **condition):
        return super().put(key, body[::-1], **condition)

    def get(self, key, **how):
        found = super().get(key, **how)
        return dataclasses.replace(found, body=found.body[::-1]) if isinstance(found, Fetched) else found


class LivesInAnotherTime(MemoryObjectStore):
    def put(self, key, body, **condition):
        return dataclasses.replace(super().put(key, body, **condition), date=0.0)


MISTAKES = {
    ListsByUtf16: "test_the_order_is_that_of_the_bytes",
    ListsFromTheKeyItself: "test_only_keys_after_the_given_one_are_listed",
    ListsOnePage: "test_more_rows_than_one_request_gives",
    IncludesTheStopOfARange: "test_a_range_gives_what_is_there_of_it",
    TakesAnEmptyObjectForAMissingOne: "test_an_empty_object_is_not_a_missing_one",
    ReplacesWhatIsMissing: "test_a_missing_object_is_not_replaced",
    ChecksThenActs: "test_of_racing_creates_exactly_one_wins",
    NeverSaysNotModified: "test_an_object_that_the_caller_holds_is_not_sent_again",
    DeletesWhatLooksAlike: "test_keys_that_look_alike_stay_apart",
    GivesTheEtagOfThePart: "test_a_range_gives_what_is_there_of_it",
    CompressesInSecret: "test_the_bytes_that_are_put_are_stored",
    LivesInAnotherTime: "test_times_are_seconds_since_the_epoch_and_in_order",
}
ARGUMENTS = {
    "start": 3,
    "stop": 5,
    "byte_range": None,
    "start_after": "a/b",
    "names": ["case", "Case"],
    "body": b"body",
}


@pytest.mark.parametrize(("store", "test"), MISTAKES.items())
def test_a_mistake_is_found(store: type[MemoryObjectStore], test: str):
    method = getattr(ObjectStoreSuite(), test)

    assert run(method, MemoryObjectStore()) is None
    assert run(method, store()) is not None


def run(method, store: MemoryObjectStore) -> BaseException | None:
    """Run one test of the suite over ``store``; how it failed, if it did."""
    given = {"store": store, "around": Around(store), "prefix": "prefix/", **ARGUMENTS}
    wanted = inspect.signature(method).parameters
    try:
        method(**{name: given[name] for name in wanted})
    except (AssertionError, pytest.fail.Exception) as error:
        return error
    return None

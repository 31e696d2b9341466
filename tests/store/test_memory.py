"""The in-memory store passes the suite that S3 passes; beyond that, what tests need of it."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.testing import ManualClock, SeededIds
from sqlite_s3vfs.testing.store_suite import NestedKeysSuite, ObjectStoreSuite


class Around:
    def __init__(self, store: MemoryObjectStore) -> None:
        self._objects = store._objects

    def read(self, key: str) -> bytes | None:
        found = self._objects.get(key)
        return found and found.body

    def write(self, key: str, body: bytes) -> None:
        other = MemoryObjectStore()
        other.put(key, body)
        self._objects.update(other._objects)


class TestMemoryObjectStore(ObjectStoreSuite, NestedKeysSuite):
    @pytest.fixture
    def store(self) -> MemoryObjectStore:
        return MemoryObjectStore()

    @pytest.fixture
    def around(self, store: MemoryObjectStore) -> Around:
        return Around(store)


def test_its_times_are_those_of_its_clock():
    clock = ManualClock(start=5000.25)
    store = MemoryObjectStore(clock=clock)

    stored = store.put("key", b"body")
    clock.advance(10)
    found = store.get("key")

    assert stored.date == 5000.25
    assert found == Fetched(body=b"body", etag=stored.etag, last_modified=5000.25, date=5010.25)


def test_equal_bytes_have_equal_etags_as_on_s3():
    store = MemoryObjectStore()

    assert store.put("a", b"hello").etag == '"5d41402abc4b2a76b9719d911017c592"'
    assert store.put("b", b"hello").etag == '"5d41402abc4b2a76b9719d911017c592"'


def test_no_two_instances_are_the_same_store():
    assert MemoryObjectStore().identity != MemoryObjectStore().identity
    assert MemoryObjectStore(ids=SeededIds(1)).identity == MemoryObjectStore(ids=SeededIds(1)).identity


def test_a_body_is_kept_as_it_was_when_it_was_put():
    store = MemoryObjectStore()
    body = bytearray(b"before")

    store.put("key", body)
    body[:] = b"after!"

    found = store.get("key")
    assert isinstance(found, Fetched)
    assert found.body == b"before"

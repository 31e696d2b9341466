"""The measured store passes everything on, counted."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.metrics import (
    Metrics,
    OperationMetrics,
    Outcome,
    RequestRecord,
    sequential_round_trips,
)
from sqlite_s3vfs.store.measured import MeasuredStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import PreconditionFailedError
from sqlite_s3vfs.testing import At, Fail, FaultyStore, ManualClock
from sqlite_s3vfs.testing.store_suite import NestedKeysSuite, ObjectStoreSuite


class AroundTheMeasuring:
    def __init__(self, store: MeasuredStore) -> None:
        self._store = store._store

    def read(self, key: str) -> bytes | None:
        found = self._store.get(key)
        return found and found.body

    def write(self, key: str, body: bytes) -> None:
        self._store.put(key, body)


class TestMeasuredStore(ObjectStoreSuite, NestedKeysSuite):
    @pytest.fixture
    def store(self) -> MeasuredStore:
        return MeasuredStore(MemoryObjectStore(), Metrics())

    @pytest.fixture
    def around(self, store: MeasuredStore) -> AroundTheMeasuring:
        return AroundTheMeasuring(store)


class SlowStore(MemoryObjectStore):
    """Takes a second for each get and put, of which it repeats every one in silence."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.extra_requests = 0

    def get(self, key, **how):
        self.clock.advance(1)
        self.extra_requests += 1
        return super().get(key, **how)

    def put(self, key, body, **how):
        self.clock.advance(1)
        self.extra_requests += 1
        return super().put(key, body, **how)


def test_requests_bytes_times_and_retries_are_counted():
    metrics = Metrics()
    clock = ManualClock()
    store = MeasuredStore(SlowStore(clock), metrics, clock)

    etag = store.put("key", b"x" * 100).etag
    store.get("key")
    store.get("key", byte_range=(0, 10))
    store.get("key", if_none_match=etag)
    store.get("missing")

    seen = metrics.snapshot()
    assert seen.put == OperationMetrics(requests=1, retries=1, bytes_up=100, seconds=1)
    assert seen.get == OperationMetrics(requests=4, retries=4, bytes_down=110, seconds=4)


def test_refusals_and_failures_are_counted_and_raised():
    metrics = Metrics()
    records: list[RequestRecord] = []
    faulty = FaultyStore(MemoryObjectStore(), At(2, Fail()))
    store = MeasuredStore(faulty, metrics, on_request=records.append)
    store.put("key", b"body")

    with pytest.raises(PreconditionFailedError):
        store.put("key", b"body", if_absent=True)
    with pytest.raises(StoreUnavailableError):
        store.put("key", b"body")

    assert metrics.snapshot().put.requests == 3
    assert (metrics.snapshot().put.refused, metrics.snapshot().put.failed) == (1, 1)
    assert [record.outcome for record in records] == [Outcome.DONE, Outcome.REFUSED, Outcome.FAILED]


@pytest.mark.parametrize(
    ("rows", "limit", "requests"),
    [(0, None, 1), (1, None, 1), (5, 2, 1), (5, 0, 0), (1005, None, 2), (1005, 1000, 1)],
)
def test_a_listing_is_one_request_for_a_thousand_rows(rows: int, limit: int | None, requests: int):
    metrics = Metrics()
    store = MeasuredStore(MemoryObjectStore(), metrics)
    for number in range(rows):
        store.put(f"{number:04d}", b"")

    listed = list(store.list("", limit=limit))

    assert len(listed) == min(rows, rows if limit is None else limit)
    assert metrics.snapshot().list.requests == requests


def test_a_listing_is_asked_for_as_it_is_consumed():
    metrics = Metrics()
    store = MeasuredStore(MemoryObjectStore(), metrics)
    for number in range(1001):
        store.put(f"{number:04d}", b"")

    rows = store.list("")

    assert metrics.snapshot().list.requests == 0
    assert next(rows).key == "0000"
    assert metrics.snapshot().list.requests == 1
    assert len(list(rows)) == 1000
    assert metrics.snapshot().list.requests == 2


@pytest.mark.parametrize(("keys", "requests"), [(0, 0), (1, 1), (1000, 1), (1001, 2)])
def test_a_deletion_is_one_request_for_a_thousand_keys(keys: int, requests: int):
    metrics = Metrics()
    inner = MemoryObjectStore()
    store = MeasuredStore(inner, metrics)
    for number in range(keys + 1):
        inner.put(f"{number:04d}", b"")

    store.delete([f"{number:04d}" for number in range(keys)])

    assert [row.key for row in inner.list("")] == [f"{keys:04d}"]
    assert metrics.snapshot().delete.requests == requests


def test_the_newest_store_time_is_remembered():
    clock = ManualClock(start=1000)
    store = MeasuredStore(MemoryObjectStore(clock=clock), Metrics())
    assert store.last_date == 0

    etag = store.put("key", b"body").etag
    assert store.last_date == 1000

    clock.advance(5)
    store.get("key")
    assert store.last_date == 1005

    clock.advance(5)
    store.get("key", if_none_match=etag)
    assert store.last_date == 1010

    clock.advance(5)
    store.get("missing")
    assert store.last_date == 1010


def test_an_older_answer_does_not_turn_the_store_time_back():
    clocks = [ManualClock(start=start) for start in (2000, 1000)]
    inner = MemoryObjectStore(clock=clocks[0])
    store = MeasuredStore(inner, Metrics())
    store.put("key", b"body")

    inner._clock = clocks[1]
    store.put("key", b"body")

    assert store.last_date == 2000


def test_a_watcher_sees_each_request_and_the_chain_they_make():
    records: list[RequestRecord] = []
    clock = ManualClock()
    store = MeasuredStore(SlowStore(clock), Metrics(), clock)
    store.put("before", b"")

    store.on_request = records.append
    store.put("key", b"body")
    store.get("key")
    store.on_request = None
    store.get("key")

    assert [(r.operation, r.key, r.bytes_up, r.bytes_down) for r in records] == [
        ("put", "key", 4, 0),
        ("get", "key", 0, 4),
    ]
    assert [(r.started, r.ended) for r in records] == [(1, 2), (2, 3)]
    assert sequential_round_trips(records) == 2


def test_it_is_the_store_that_it_measures():
    inner = MemoryObjectStore()

    assert MeasuredStore(inner, Metrics()).identity == inner.identity


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent():
    store = MeasuredStore(MemoryObjectStore(), Metrics())
    store._last_date_lock.acquire()

    store.forget_locks()
    store.put("key", b"body")

    assert store.last_date > 0

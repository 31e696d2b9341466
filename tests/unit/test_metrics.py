"""Counters add up, and the longest chain of waits is found."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.metrics import (
    Metrics,
    MetricsSnapshot,
    Operation,
    OperationMetrics,
    Outcome,
    RequestRecord,
    sequential_round_trips,
)


def record(
    started: float = 0,
    ended: float = 1,
    operation: Operation = Operation.GET,
    outcome: Outcome = Outcome.DONE,
    bytes_up: int = 0,
    bytes_down: int = 0,
) -> RequestRecord:
    return RequestRecord(operation, "key", started, ended, bytes_up, bytes_down, outcome)


def test_every_request_is_counted_under_its_operation():
    metrics = Metrics()

    metrics.count_request(record(0, 0.5, bytes_down=100))
    metrics.count_request(record(1, 1.25, bytes_down=11), retries=2)
    metrics.count_request(record(0, 2, Operation.PUT, Outcome.REFUSED, bytes_up=7))
    metrics.count_request(record(0, 3, Operation.DELETE, Outcome.FAILED))

    seen = metrics.snapshot()
    assert seen.get == OperationMetrics(requests=2, retries=2, bytes_down=111, seconds=0.75)
    assert seen.put == OperationMetrics(requests=1, refused=1, bytes_up=7, seconds=2)
    assert seen.delete == OperationMetrics(requests=1, failed=1, seconds=3)
    assert seen.list == OperationMetrics()
    assert seen.total == OperationMetrics(
        requests=4, refused=1, failed=1, retries=2, bytes_up=7, bytes_down=111, seconds=5.75
    )


def test_what_happened_between_two_snapshots_is_their_difference():
    metrics = Metrics()
    metrics.count_request(record(bytes_down=5))
    metrics.count_cache(hit=True)
    earlier = metrics.snapshot()

    metrics.count_request(record(bytes_down=6))
    metrics.count_cache(hit=True)
    metrics.count_cache(hit=False)

    between = metrics.snapshot() - earlier
    expected = OperationMetrics(requests=1, bytes_down=6, seconds=1)
    assert between == MetricsSnapshot(get=expected, cache_hits=1, cache_misses=1)


def test_a_snapshot_does_not_change():
    metrics = Metrics()
    earlier = metrics.snapshot()

    metrics.count_request(record())
    metrics.count_cache(hit=False)

    assert earlier == MetricsSnapshot()


def test_a_snapshot_prints_as_a_table():
    metrics = Metrics()
    metrics.count_request(record(0, 1.5, bytes_down=65536), retries=3)
    metrics.count_cache(hit=True)

    metrics.count_advance(fetched=300)
    metrics.count_advance(used=200, unused=50)

    head, *rows, cache, advance = str(metrics.snapshot()).splitlines()

    assert head.split() == ["operation", *OperationMetrics.__dataclass_fields__]
    assert [row.split()[0] for row in rows] == ["get", "put", "list", "delete", "total"]
    assert rows[0].split() == ["get", "1", "0", "0", "3", "0", "65536", "1.500"]
    assert {len(row) for row in rows} == {len(head)}
    assert cache == "cache: 1 hits, 0 misses"
    assert advance == "in advance: 300 bytes, 200 used, 50 unused"


def test_what_was_fetched_in_advance_can_be_subtracted():
    metrics = Metrics()
    metrics.count_advance(fetched=300, used=100)
    earlier = metrics.snapshot()

    metrics.count_advance(fetched=7, unused=5)

    difference = (metrics.snapshot() - earlier).advance
    assert (difference.fetched, difference.used, difference.unused) == (7, 0, 5)


def test_a_snapshot_is_plain_numbers_for_json():
    metrics = Metrics()
    metrics.count_request(record(operation=Operation.PUT, bytes_up=9))

    plain = json.loads(json.dumps(metrics.snapshot().as_dict()))

    assert plain["put"]["bytes_up"] == 9
    assert plain["cache_hits"] == 0


def test_no_count_is_lost_between_threads():
    metrics = Metrics()

    def count(_: int) -> None:
        for _ in range(500):
            metrics.count_request(record(0, 1))
            metrics.count_cache(hit=False)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(8)))

    assert metrics.snapshot().get.requests == 4000
    assert metrics.snapshot().cache_misses == 4000


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent():
    metrics = Metrics()
    metrics._counters_lock.acquire()

    metrics.forget_locks()
    metrics.count_cache(hit=True)

    assert metrics.snapshot().cache_hits == 1


@pytest.mark.parametrize(
    ("intervals", "chain"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 1), (0, 1), (0, 1)], 1),
        ([(0, 10), (1, 2), (3, 4), (5, 6)], 3),
        ([(0, 3), (2, 5), (4, 7)], 2),
        ([(5, 6), (0, 1), (0.5, 5.5)], 2),
    ],
)
def test_overlapping_requests_count_once(intervals: list[tuple[float, float]], chain: int):
    assert sequential_round_trips(record(start, end) for start, end in intervals) == chain


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 6)).map(lambda row: (row[0], sum(row))),
        max_size=8,
    )
)
def test_no_longer_chain_exists(intervals: list[tuple[int, int]]):
    def longest(free_at: int) -> int:
        later = [end for start, end in intervals if start >= free_at]
        return 1 + max(longest(end) for end in later) if later else 0

    assert sequential_round_trips(record(start, end) for start, end in intervals) == longest(0)

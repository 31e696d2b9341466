"""A bar holds or it does not, and who broke it is kept."""

from __future__ import annotations

import pytest

from benchmarks.bars import BARS, judge
from benchmarks.operations import BY_NAME
from benchmarks.summary import Sample
from benchmarks.trace import Request


def get(at: float, condition: str = "if-none-match") -> Request:
    return Request("GetObject", "db/manifest", condition, 304, at, at + 1, 0, 0)


def put(at: float, condition: str = "if-match") -> Request:
    return Request("PutObject", "db/manifest", condition, 200, at, at + 1, 9, 0)


def sample(operation: str, *requests: Request, latency: float = 0.03) -> Sample:
    return Sample(operation, latency, 1.0, requests, ())


GOOD = [
    sample("open_empty", get(0, ""), get(1, "")),
    sample("lookup_seen", get(0)),
    sample("repeated_read", get(0)),
    sample("cold_lookup", get(0, ""), get(1), get(2, "range"), get(2.5, "range")),
    sample("update", get(0), put(1)),
    sample("rollback", get(0)),
    sample("insert", get(0), put(1, "if-none-match"), put(1, "if-none-match"), put(2)),
]


def verdicts_with(*replacements: Sample) -> dict[str, bool]:
    """Whether each bar holds when these samples stand for the good ones of their operations."""
    replaced = {s.operation for s in replacements}
    every = [*(s for s in GOOD if s.operation not in replaced), *replacements]
    return {f"{v.bar.operation}: {v.bar.promise}": v.passed for v in judge(every)}


def test_what_was_promised_passes_every_bar() -> None:
    assert all(verdicts_with().values())


def test_every_bar_speaks_of_an_operation_that_is_measured() -> None:
    assert {bar.operation for bar in BARS} <= set(BY_NAME)


@pytest.mark.parametrize(
    ("broken", "bar"),
    [
        (sample("open_empty", get(0), get(1), get(2)), "open_empty: at most 2 requests"),
        (sample("lookup_seen", get(0), get(1, "range")), "lookup_seen: 1 conditional GET"),
        (sample("lookup_seen", get(0, "")), "lookup_seen: 1 conditional GET"),
        (sample("lookup_seen"), "lookup_seen: 1 conditional GET"),
        (sample("repeated_read", get(0), get(1)), "repeated_read: 1 conditional GET"),
        (sample("cold_lookup", *(get(n) for n in range(4))), "cold_lookup: at most 3 round trips"),
        (sample("update", get(0), put(1), put(2)), "update: 1 conditional GET and 1 PUT"),
        (sample("update", get(0), put(1, "")), "update: 1 conditional GET and 1 PUT"),
        (sample("rollback", get(0), put(1)), "rollback: nothing beyond the begin, 1 conditional GET"),
        (sample("insert", *(get(n) for n in range(4))), "insert: at most 3 round trips"),
        (sample("insert", *(put(0) for _ in range(9))), "insert: at most 8 requests"),
    ],
)
def test_each_bar_can_be_broken(broken: Sample, bar: str) -> None:
    verdicts = verdicts_with(broken)

    assert [name for name, passed in verdicts.items() if not passed] == [bar]


def test_one_bad_sample_among_good_ones_breaks_the_bar_and_is_kept() -> None:
    bad = sample("update", get(0), put(1), put(2), latency=0.0)

    (verdict,) = [v for v in judge([bad, *GOOD]) if v.bar.operation == "update"]

    assert verdict.broken_by is bad
    assert verdict.measured == (
        "2 PutObject if-match + 1 GetObject if-none-match or "
        "1 GetObject if-none-match + 1 PutObject if-match"
    )


def test_round_trips_are_not_judged_where_there_is_no_latency() -> None:
    without = sample("insert", *(get(n) for n in range(6)), latency=0.0)
    with_latency = sample("insert", *(get(0) for _ in range(6)))

    assert all(verdicts_with(without, with_latency).values())


def test_a_bar_whose_operation_was_not_measured_does_not_pass_in_silence() -> None:
    with pytest.raises(ValueError, match="operation=open_empty"):
        judge([])

"""What samples come to: spreads for counts, medians for times, honest extrapolation."""

from __future__ import annotations

from benchmarks.summary import Sample, Spread, read_sample, slowest, summarize
from benchmarks.trace import Request


def serial(count: int) -> tuple[Request, ...]:
    return tuple(Request("GetObject", "k", "", 200, n, n + 0.5, 1, 100) for n in range(count))


def parallel(count: int) -> tuple[Request, ...]:
    return tuple(Request("GetObject", "k", "", 200, 0, 1, 1, 100) for _ in range(count))


def test_requests_that_began_after_the_return_are_background() -> None:
    rows = [
        ["PutObject", "m", "if-match", 200, 1.0, 2.0, 700, 0],
        ["PutObject", "s", "", 200, 2.5, 3.0, 9, 0],
    ]
    event = {
        "operation": "update",
        "latency": 0.0,
        "start": 1.0,
        "end": 2.1,
        "size": 0,
        "requests": rows,
    }

    sample = read_sample(event, target_size=64)

    assert [r.key for r in sample.requests] == ["m"]
    assert [r.key for r in sample.background] == ["s"]
    assert sample.scale == 1


def test_a_smaller_transfer_is_scaled_to_the_size_of_the_table() -> None:
    event = {"operation": "serialize", "latency": 0.0, "start": 0, "end": 2, "size": 16, "requests": []}

    assert read_sample(event, target_size=64).scale == 4


def test_counts_show_their_spread_and_times_their_median() -> None:
    samples = [Sample("scan", 0.0, s, serial(n), ()) for s, n in [(1.0, 3), (9.0, 5), (2.0, 4)]]

    scan = summarize(samples)["scan"]

    assert scan.requests == Spread(3, 5)
    assert str(scan.requests) == "3-5"
    assert scan.milliseconds == {0.0: 2000.0}
    assert scan.received == 400


def test_equal_counts_are_shown_as_one() -> None:
    assert str(Spread(2, 2)) == "2"


def test_round_trips_are_those_of_the_highest_latency() -> None:
    """Without latency, parallel requests may miss each other."""
    samples = [Sample("scan", 0.0, 1, serial(8), ()), Sample("scan", 0.03, 1, parallel(8), ())]

    assert slowest(samples) == samples[1:]
    assert summarize(samples)["scan"].round_trips == Spread(1, 1)
    assert summarize(samples)["scan"].requests == Spread(8, 8)


def test_extrapolated_figures_are_scaled_and_counts_come_from_the_larger_file() -> None:
    samples = [
        Sample("serialize", 0.0, 1.0, serial(16), (), scale=4.0),
        Sample("serialize", 0.03, 0.5, serial(3), (), scale=32.0),
    ]

    measured = summarize(samples)["serialize"]

    assert measured.requests == Spread(64, 64)
    assert measured.round_trips == Spread(96, 96)
    assert measured.milliseconds == {0.0: 4000.0, 0.03: 16000.0}
    assert measured.scaled == {0.0: 4.0, 0.03: 32.0}

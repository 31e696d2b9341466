"""Round trips are the longest chain of requests that do not overlap."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.trace import Request, describe, kinds, longest_chain


def request(start: float, end: float, operation: str = "GetObject", condition: str = "") -> Request:
    return Request(operation, "db/manifest", condition, 200, start, end, 10, 20)


def test_no_request_is_no_round_trip() -> None:
    assert longest_chain([]) == 0


def test_requests_one_after_the_other_are_a_round_trip_each() -> None:
    assert longest_chain([request(0, 1), request(1, 2), request(5, 6)]) == 3


def test_requests_at_the_same_time_are_one_round_trip() -> None:
    assert longest_chain([request(0, 10), request(1, 9), request(2, 11)]) == 1


def test_a_long_request_beside_a_chain_does_not_shorten_it() -> None:
    assert longest_chain([request(0, 100), request(1, 2), request(3, 4), request(5, 6)]) == 3


def test_two_waves_are_two_round_trips_in_whatever_order_they_are_given() -> None:
    first, second = [request(0, 3 + n) for n in range(4)], [request(7 + n, 12) for n in range(4)]

    assert longest_chain(second + first) == 2


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), max_size=8))
def test_no_set_of_requests_that_do_not_overlap_is_larger(spans: list[tuple[int, int]]) -> None:
    """Compare with every subset."""
    requests = [request(start, start + length) for start, length in spans]

    largest = max(
        (
            size
            for size in range(len(requests) + 1)
            for chosen in combinations(requests, size)
            if all(a.end <= b.start or b.end <= a.start for a, b in combinations(chosen, 2))
        ),
    )

    assert longest_chain(requests) == largest


def test_kinds_tell_a_conditional_request_from_a_plain_one() -> None:
    requests = [request(0, 1), request(1, 2, condition="if-none-match"), request(2, 3)]

    assert kinds(requests) == {"GetObject": 2, "GetObject if-none-match": 1}


def test_a_description_starts_at_the_first_request_and_names_its_key() -> None:
    late, early = request(5.5, 5.75, "PutObject", "if-match"), request(5.0, 5.25)

    lines = describe([late, early])

    assert [line.split()[:3] for line in lines] == [["0.0", "to", "250.0"], ["500.0", "to", "750.0"]]
    assert "PutObject if-match" in lines[1]
    assert all("db/manifest  up=10 down=20" in line for line in lines)
    assert describe([]) == []

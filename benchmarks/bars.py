"""What this library is held to, counted in requests and round trips, and whether it holds. Pure.

The probe of the store's conditional writes is not part of any bar: it runs when a database is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.summary import Sample, slowest
from benchmarks.trace import kinds

BEGIN = "GetObject if-none-match"
"""How a transaction begins: is there anything newer?"""
COMMIT = "PutObject if-match"


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise about one operation."""

    operation: str
    promise: str
    holds: Callable[[Sample], bool]
    measured: Callable[[Sample], str]
    slowest_only: bool = False
    """Round trips are judged at the highest latency: at none, parallel requests may miss each other."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a bar fared: what was measured (each distinct outcome), and the first sample that broke it."""

    bar: Bar
    measured: str
    broken_by: Sample | None

    @property
    def passed(self) -> bool:
        return self.broken_by is None


def _exactly(operation: str, promise: str, wanted: dict[str, int]) -> Bar:
    return Bar(operation, promise, lambda sample: kinds(sample.requests) == wanted, _kinds_text)


def _requests_at_most(operation: str, limit: int) -> Bar:
    return Bar(
        operation,
        f"at most {limit} requests",
        lambda sample: len(sample.requests) <= limit,
        lambda sample: f"{len(sample.requests)} requests",
    )


def _round_trips_at_most(operation: str, limit: int) -> Bar:
    return Bar(
        operation,
        f"at most {limit} round trips",
        lambda sample: sample.round_trips <= limit,
        lambda sample: f"{sample.round_trips} round trips",
        slowest_only=True,
    )


def _kinds_text(sample: Sample) -> str:
    return " + ".join(f"{n} {kind}" for kind, n in kinds(sample.requests).items()) or "no request"


BARS = (
    _requests_at_most("open_empty", 2),
    _exactly("lookup_seen", "1 conditional GET", {BEGIN: 1}),
    _exactly("repeated_read", "1 conditional GET", {BEGIN: 1}),
    _round_trips_at_most("cold_lookup", 3),
    _exactly("update", "1 conditional GET and 1 PUT", {BEGIN: 1, COMMIT: 1}),
    _exactly("rollback", "nothing beyond the begin, 1 conditional GET", {BEGIN: 1}),
    _round_trips_at_most("insert", 3),
    _requests_at_most("insert", 8),
)


def judge(samples: Iterable[Sample], bars: Iterable[Bar] = BARS) -> list[Verdict]:
    """Hold each bar against every sample of its operation.

    Raises:
        ValueError: an operation with a bar was not measured, so nothing can be said.
    """
    every = list(samples)
    return [_verdict(bar, [s for s in every if s.operation == bar.operation]) for bar in bars]


def _verdict(bar: Bar, samples: list[Sample]) -> Verdict:
    if not samples:
        raise ValueError(f"no sample to hold a bar against. operation={bar.operation}")
    judged = slowest(samples) if bar.slowest_only else samples
    outcomes = dict.fromkeys(bar.measured(sample) for sample in judged)
    return Verdict(bar, " or ".join(outcomes), next((s for s in judged if not bar.holds(s)), None))

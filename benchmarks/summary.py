"""Samples of the workers, and what they come to. Pure.

Seconds and bytes; latencies are seconds. Where a library was given a smaller file than the one the
table speaks of, ``scale`` says how many times smaller, and everything is multiplied by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.trace import Request, kinds, longest_chain


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one operation. ``background`` began after the call had returned."""

    operation: str
    latency: float
    seconds: float
    requests: tuple[Request, ...]
    background: tuple[Request, ...]
    scale: float = 1.0

    @property
    def round_trips(self) -> int:
        """Sequential round trips while the caller waited."""
        return longest_chain(self.requests)


@dataclass(frozen=True, slots=True)
class Spread:
    """The least and the most that was counted."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}" if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the samples of one operation of one library come to."""

    requests: Spread
    round_trips: Spread
    background: Spread
    sent: float
    received: float
    milliseconds: Mapping[float, float]
    """The median for each latency."""
    scaled: Mapping[float, float]
    """By how much the figures of each latency were multiplied."""
    kinds: Mapping[str, int]
    """The requests of the last sample, unscaled."""
    samples: int


def read_sample(event: Mapping[str, Any], *, target_size: int) -> Sample:
    """A worker's ``sample`` event; ``target_size`` is the size of the transfers that the table shows."""
    requests = [Request(*row) for row in event["requests"]]
    end = event["end"]
    return Sample(
        operation=event["operation"],
        latency=event["latency"],
        seconds=end - event["start"],
        requests=tuple(r for r in requests if r.start <= end),
        background=tuple(r for r in requests if r.start > end),
        scale=target_size / event["size"] if event["size"] else 1.0,
    )


def summarize(samples: Iterable[Sample]) -> dict[str, Measurement]:
    """One measurement for each operation."""
    by_operation: dict[str, list[Sample]] = {}
    for sample in samples:
        by_operation.setdefault(sample.operation, []).append(sample)
    return {operation: _measurement(group) for operation, group in by_operation.items()}


def slowest(samples: Sequence[Sample]) -> list[Sample]:
    """The samples at the highest latency: there, what could overlap does."""
    highest = max(sample.latency for sample in samples)
    return [sample for sample in samples if sample.latency == highest]


def _measurement(samples: Sequence[Sample]) -> Measurement:
    latencies = sorted({sample.latency for sample in samples})
    least_scale = min(sample.scale for sample in samples)
    counted = [sample for sample in samples if sample.scale == least_scale]
    return Measurement(
        requests=_spread(len(s.requests) * s.scale for s in counted),
        round_trips=_spread(s.round_trips * s.scale for s in slowest(samples)),
        background=_spread(len(s.background) * s.scale for s in counted),
        sent=median(sum(r.sent for r in s.requests) * s.scale for s in counted),
        received=median(sum(r.received for r in s.requests) * s.scale for s in counted),
        milliseconds={
            latency: median(s.seconds * s.scale * 1000 for s in samples if s.latency == latency)
            for latency in latencies
        },
        scaled={s.latency: s.scale for s in samples if s.scale != 1.0},
        kinds=kinds(samples[-1].requests),
        samples=len(samples),
    )


def _spread(counts: Iterable[float]) -> Spread:
    whole = [round(count) for count in counts]
    return Spread(min(whole), max(whole))

"""Samples of the workers, and what they come to. Pure.

Seconds and bytes. A network is its latency with the bytes per second that it lets through (0: no limit).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.trace import Request, longest_chain

Network = tuple[float, float]


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """What was measured: a query in a state of the caches, in one way, on one network."""

    query: str
    state: str
    way: str
    network: Network


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement."""

    case: Case
    number: int
    seconds: float
    requests: tuple[Request, ...]
    """Those that were begun before the answer was there."""
    received: int
    memory: int
    """Resident bytes at the peak, beyond those before the database was opened."""
    answer: str

    @property
    def round_trips(self) -> int:
        return longest_chain(self.requests)


@dataclass(frozen=True, slots=True)
class Figures:
    """The samples of a case: medians, and the most memory."""

    requests: float
    round_trips: float
    received: float
    seconds: float
    memory: int
    samples: int


class WrongAnswerError(Exception):
    """Two ways gave different answers to the same question."""


def read_sample(way: str, event: Mapping[str, Any]) -> Sample:
    """A worker's ``sample`` event."""
    requests = [Request(*row) for row in event["requests"]]
    end = event["end"]
    latency, bandwidth = event["network"]
    return Sample(
        case=Case(event["query"], event["state"], way, (latency, bandwidth)),
        number=event["number"],
        seconds=end - event["start"],
        requests=tuple(request for request in requests if request.start <= end),
        received=sum(request.received for request in requests),
        memory=max(0, event["peak"] - event["baseline"]),
        answer=event["answer"],
    )


def check_answers(samples: Iterable[Sample]) -> None:
    """Whoever is asked the same must answer the same.

    Raises:
        WrongAnswerError: somebody did not.
    """
    known: dict[tuple[str, int], Sample] = {}
    for sample in samples:
        first = known.setdefault((sample.case.query, sample.number), sample)
        if first.answer != sample.answer:
            raise WrongAnswerError(f"{first.case} and {sample.case} differ. number={sample.number}")


def summarize(samples: Iterable[Sample]) -> dict[Case, Figures]:
    """One line for each case."""
    by_case: dict[Case, list[Sample]] = {}
    for sample in samples:
        by_case.setdefault(sample.case, []).append(sample)
    return {case: _figures(group) for case, group in by_case.items()}


def _figures(group: Sequence[Sample]) -> Figures:
    return Figures(
        requests=median(len(sample.requests) for sample in group),
        round_trips=median(sample.round_trips for sample in group),
        received=median(sample.received for sample in group),
        seconds=median(sample.seconds for sample in group),
        memory=max(sample.memory for sample in group),
        samples=len(group),
    )

"""What went over the wire: one value per HTTP request, and what can be said about many of them.

Times are seconds of one monotonic clock, sizes are bytes of HTTP bodies. Nothing here does I/O, and
nothing but the standard library is needed: the worker processes of both libraries use it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, retries being requests of their own.

    ``start`` is before the simulated latency, ``end`` when the last byte of the answer was read.
    ``status`` is 0 where no answer came.
    """

    operation: str
    key: str
    condition: str
    status: int
    start: float
    end: float
    sent: int
    received: int

    @property
    def kind(self) -> str:
        """The operation with its condition: ``GetObject if-none-match``."""
        return f"{self.operation} {self.condition}".rstrip()


def longest_chain(requests: Iterable[Request]) -> int:
    """Count the sequential round trips: the most requests of which no two overlap in time.

    The greedy choice by earliest end is optimal for intervals (activity selection).
    """
    count, free_from = 0, float("-inf")
    for request in sorted(requests, key=lambda r: (r.end, r.start)):
        if request.start >= free_from:
            count += 1
            free_from = request.end
    return count


def kinds(requests: Iterable[Request]) -> dict[str, int]:
    """How many requests there are of each kind, the most frequent first."""
    return dict(Counter(request.kind for request in requests).most_common())


def describe(requests: Iterable[Request]) -> list[str]:
    """One line per request in order of their start, times in ms from the first start."""
    ordered = sorted(requests, key=lambda r: r.start)
    if not ordered:
        return []
    origin = ordered[0].start
    return [
        f"{(r.start - origin) * 1000:9.1f} to {(r.end - origin) * 1000:9.1f} ms  {r.status or '---'}  "
        f"{r.kind:28} {r.key}  up={r.sent} down={r.received}"
        for r in ordered
    ]

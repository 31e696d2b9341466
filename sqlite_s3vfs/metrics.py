"""What was asked of the store, counted: requests, bytes, retries and time per kind of operation.

Counters only grow; to measure something, subtract the snapshot before it from the one after it.
Sizes are bytes of object bodies, without headers; times are seconds between asking and the answer,
summed over requests that may have overlapped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any


class Operation(StrEnum):
    """The kinds of requests that an object store knows."""

    GET = "get"
    PUT = "put"
    LIST = "list"
    DELETE = "delete"


class Outcome(StrEnum):
    """How a request ended."""

    DONE = "done"
    """It was carried out; an answer "there is no such object" or "not modified" is one of these."""
    REFUSED = "refused"
    """The condition did not hold, or a conditional request was under way on the key."""
    FAILED = "failed"
    """Anything else: no answer, no right, no such bucket, not possible."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request: ``started`` and ``ended`` are seconds of a monotonic clock.

    ``key`` is the prefix of a listing, and the first key of a deletion.
    """

    operation: Operation
    key: str
    started: float
    ended: float
    bytes_up: int
    bytes_down: int
    outcome: Outcome


OnRequest = Callable[[RequestRecord], None]


@dataclass(frozen=True, slots=True)
class OperationMetrics:
    """The counters of one kind of operation.

    ``refused`` and ``failed`` requests are among ``requests``; ``retries`` are not: they are
    requests that were sent again in silence, as far as the store knows of them.
    """

    requests: int = 0
    refused: int = 0
    failed: int = 0
    retries: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0

    def __add__(self, other: OperationMetrics) -> OperationMetrics:
        return self._combined(other, sign=1)

    def __sub__(self, other: OperationMetrics) -> OperationMetrics:
        return self._combined(other, sign=-1)

    def _combined(self, other: OperationMetrics, *, sign: int) -> OperationMetrics:
        names = (row.name for row in fields(self))
        return OperationMetrics(
            **{name: getattr(self, name) + sign * getattr(other, name) for name in names}
        )


@dataclass(frozen=True, slots=True)
class AdvanceMetrics:
    """Bytes of blocks fetched before SQLite asked for them.

    ``used`` of them were asked for later, and ``unused`` left the cache without; the rest may be either.
    """

    fetched: int = 0
    used: int = 0
    unused: int = 0

    def __sub__(self, other: AdvanceMetrics) -> AdvanceMetrics:
        return AdvanceMetrics(
            self.fetched - other.fetched, self.used - other.used, self.unused - other.unused
        )


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """All counters at one moment, or between two: ``later - earlier``. ``print`` shows a table."""

    get: OperationMetrics = field(default_factory=OperationMetrics)
    put: OperationMetrics = field(default_factory=OperationMetrics)
    list: OperationMetrics = field(default_factory=OperationMetrics)
    delete: OperationMetrics = field(default_factory=OperationMetrics)
    cache_hits: int = 0
    cache_misses: int = 0
    advance: AdvanceMetrics = field(default_factory=AdvanceMetrics)

    @property
    def total(self) -> OperationMetrics:
        """The sum over all kinds of operations."""
        return self.get + self.put + self.list + self.delete

    def __sub__(self, earlier: MetricsSnapshot) -> MetricsSnapshot:
        return MetricsSnapshot(
            get=self.get - earlier.get,
            put=self.put - earlier.put,
            list=self.list - earlier.list,
            delete=self.delete - earlier.delete,
            cache_hits=self.cache_hits - earlier.cache_hits,
            cache_misses=self.cache_misses - earlier.cache_misses,
            advance=self.advance - earlier.advance,
        )

    def as_dict(self) -> dict[str, Any]:
        """The same as plain numbers in dictionaries, for JSON and for monitoring."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [(kind.value, getattr(self, kind)) for kind in Operation] + [("total", self.total)]
        names = [row.name for row in fields(OperationMetrics)]
        lines = ["".join(["operation"] + [f"{name:>12}" for name in names])]
        for label, counted in rows:
            lines.append(f"{label:<9}" + "".join(_cell(getattr(counted, name)) for name in names))
        lines.append(f"cache: {self.cache_hits} hits, {self.cache_misses} misses")
        ahead = self.advance
        lines.append(f"in advance: {ahead.fetched} bytes, {ahead.used} used, {ahead.unused} unused")
        return "\n".join(lines)


class Metrics:
    """The counters of one store and the caches above it; safe to share between threads."""

    def __init__(self) -> None:
        self._counted: dict[Operation, OperationMetrics] = {
            kind: OperationMetrics() for kind in Operation
        }
        self._cache_hits = 0
        self._cache_misses = 0
        self._advance = [0, 0, 0]
        self._counters_lock = threading.Lock()

    def count_request(self, record: RequestRecord, *, retries: int = 0) -> None:
        """Add one request that has ended, and the ``retries`` that it took beside itself."""
        one = OperationMetrics(
            requests=1,
            refused=int(record.outcome is Outcome.REFUSED),
            failed=int(record.outcome is Outcome.FAILED),
            retries=retries,
            bytes_up=record.bytes_up,
            bytes_down=record.bytes_down,
            seconds=record.ended - record.started,
        )
        with self._counters_lock:
            self._counted[record.operation] += one

    def count_cache(self, *, hit: bool) -> None:
        """Add one question to a cache. Called for every page: it costs a lock and an addition."""
        with self._counters_lock:
            if hit:
                self._cache_hits += 1
            else:
                self._cache_misses += 1

    def count_advance(self, *, fetched: int = 0, used: int = 0, unused: int = 0) -> None:
        """Add bytes that were fetched in advance, asked for after all, or given up without."""
        with self._counters_lock:
            counted = self._advance
            counted[0] += fetched
            counted[1] += used
            counted[2] += unused

    def snapshot(self) -> MetricsSnapshot:
        """All counters, as of one moment."""
        with self._counters_lock:
            return MetricsSnapshot(
                get=self._counted[Operation.GET],
                put=self._counted[Operation.PUT],
                list=self._counted[Operation.LIST],
                delete=self._counted[Operation.DELETE],
                cache_hits=self._cache_hits,
                cache_misses=self._cache_misses,
                advance=AdvanceMetrics(*self._advance),
            )

    def forget_locks(self) -> None:
        """In a forked child: a thread of the parent may have held the lock at the fork."""
        self._counters_lock = threading.Lock()


def sequential_round_trips(records: Iterable[RequestRecord]) -> int:
    """The longest chain of requests of which each began when the one before it had ended.

    That is how often somebody had to wait for the network, one time after the other, whatever else
    went on meanwhile. Requests that overlap count once.
    """
    # Taking whatever ends first leaves the most room for the rest of the chain.
    chain = 0
    free_at = float("-inf")
    for record in sorted(records, key=lambda record: record.ended):
        if record.started >= free_at:
            chain += 1
            free_at = record.ended
    return chain


def _cell(value: float) -> str:
    return f"{value:>12.3f}" if isinstance(value, float) else f"{value:>12}"

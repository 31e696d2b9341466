"""Requests that are under way, so that nothing is asked for twice, and what is fetched in advance.

* **Single flight.** Who wants a block either claims it and fetches it, or waits for whoever does. A
  claim ends with its request in any case, an interrupt (Ctrl-C) included; where that failed, each who
  waited asks for itself.
* **Nobody waits for a claim while holding an unfinished one,** so waiting always ends.
* **What SQLite waits for goes first.** Fetching in advance never has more requests under way than
  the pool has threads to spare, and what is queued for it is not in the pool yet: it is
  taken out of the queue by whoever needs it sooner.
* **Nothing fetched in advance pushes out what was.** What is under way in advance and what came and
  was not used yet are bounded together, for all connections; what is beyond waits in the queue. A
  single request may be larger.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.pool import Pool

Key = tuple[Any, ...]
"""What tells a block from all others; its index in the file comes first."""

_log = logging.getLogger(__name__)


class Flight:
    """Blocks that one thread is fetching."""

    __slots__ = ("_signal", "contents", "end", "keys")

    def __init__(self) -> None:
        self.keys: list[Key] = []
        """What it has claimed."""
        self.contents: Mapping[Key, Content] = {}
        """What it has brought; to be set before its end. Nothing where the request failed."""
        # A lock of the interpreter itself: an interrupt inside ``Event`` may leave that locked.
        self._signal = _thread.allocate_lock()
        self._signal.acquire()
        self.end: Callable[[], None] = self._signal.release

    @property
    def has_ended(self) -> bool:
        """Whether nobody has to wait for it any more."""
        return not self._signal.locked()

    def wait(self) -> Mapping[Key, Content]:
        """The contents; empty where the request failed."""
        with self._signal:
            return self.contents


class Flights:
    """What is under way, by key of the block."""

    def __init__(self) -> None:
        self._flights_lock = threading.RLock()
        self._flights: dict[Key, Flight] = {}

    def __contains__(self, key: Key) -> bool:
        flight = self._flights.get(key)
        return flight is not None and not flight.has_ended

    def bring(
        self, keys: Iterable[Key], fetch: Callable[[Sequence[Key]], Mapping[Key, Content]]
    ) -> tuple[Mapping[Key, Content], dict[Key, Flight]]:
        """Have ``fetch`` bring what nobody is bringing: that, and the flights that bring the others.

        ``fetch`` is given what may have come since it was looked for.
        """
        flight = Flight()
        try:
            others = self.claim(flight, keys)
            if flight.keys:
                flight.contents = fetch(flight.keys)
            return flight.contents, others
        finally:
            flight.end()        # first: one call of what Python does not interrupt, so no claim is left
            self.forget(flight)

    def claim(self, own: Flight, keys: Iterable[Key]) -> dict[Key, Flight]:
        """Let ``own`` have what nobody is bringing; the flights that bring the others."""
        others = {}
        with self._flights_lock:
            for key in keys:
                flight = self._flights.get(key)
                if flight is None or flight.has_ended:
                    own.keys.append(key)
                    self._flights[key] = own
                elif flight is not own:
                    others[key] = flight
        return others

    def forget(self, flight: Flight) -> None:
        """A flight has ended."""
        with self._flights_lock:
            for key in flight.keys:
                if self._flights.get(key) is flight:
                    del self._flights[key]

    def after_fork(self) -> None:
        """In a forked child nothing is under way."""
        self._flights_lock = threading.RLock()
        self._flights = {}


class Advance:
    """Fetches in advance: queued, a bounded number at once, and dropped when no longer wanted.

    A request is forgotten first and leaves the queue then: whatever an interrupt cuts off, none that is
    waited for is missing there.
    """

    def __init__(self, pool: Pool, bytes_max: int, unused: Callable[[], int]) -> None:
        """``unused`` tells how many bytes came in advance and wait to be used."""
        self._pool = pool
        self._bytes_max = bytes_max
        self._unused = unused
        self._limit = max(0, pool.size - 2) or min(1, pool.size - 1)
        self.after_fork()

    @property
    def is_possible(self) -> bool:
        """Whether the pool has a thread to spare."""
        return self._limit > 0

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    def start(
        self, owner: object, keys: Sequence[Key], size: int, fetch: Callable[[], None]
    ) -> None:
        """Have ``fetch`` run in the background: one request, for blocks of ``size`` bytes together."""
        job = _Job(owner, tuple(keys), size, fetch)
        with self._queue_lock:
            self._queue.append(job)
            self._waiting.update(dict.fromkeys(keys, job))
        self._run_more()

    def go_on(self) -> None:
        """Some of what came in advance was used: there may be room for more."""
        if self._queue:
            self._run_more()

    def take(self, key: Key) -> Sequence[Key]:
        """Take the request that would bring a block out of the queue: its blocks, if it was there."""
        with self._queue_lock:
            job = self._waiting.get(key)
            if job is None:
                return ()
            self._forget(job)
            self._queue.remove(job)
            return job.keys

    def drop(self, owner: object) -> None:
        """Forget what ``owner`` has queued; what is under way goes on."""
        if not self._queue:
            return
        with self._queue_lock:
            for job in [job for job in self._queue if job.owner is owner]:
                self._forget(job)
                self._queue.remove(job)

    def clear(self) -> None:
        """Forget all that is queued."""
        with self._queue_lock:
            self._waiting.clear()
            self._queue.clear()

    def after_fork(self) -> None:
        """In a forked child nothing is queued or under way."""
        self._queue_lock = threading.RLock()
        self._queue: deque[_Job] = deque()
        self._waiting: dict[Key, _Job] = {}
        self._running = 0
        self._bytes = 0

    def _forget(self, job: _Job) -> None:
        for key in job.keys:
            if self._waiting.get(key) is job:
                del self._waiting[key]

    def _run_more(self) -> None:
        while True:
            with self._queue_lock:
                if not self._queue or self._running >= self._limit:
                    return
                job = self._queue[0]
                before = self._bytes + self._unused()
                if before and before + job.size > self._bytes_max:
                    return
                self._forget(job)
                self._queue.popleft()
                self._running += 1
                self._bytes += job.size
            self._pool.submit(job.fetch).add_done_callback(partial(self._ended, job.size))

    def _ended(self, size: int, future: object) -> None:
        with self._queue_lock:
            self._running -= 1
            self._bytes -= size
        self._run_more()


class _Job:
    """A request that waits for its turn."""

    __slots__ = ("fetch", "keys", "owner", "size")

    def __init__(
        self, owner: object, keys: tuple[Key, ...], size: int, fetch: Callable[[], None]
    ) -> None:
        self.owner = owner
        self.keys = keys
        self.size = size
        self.fetch = fetch


def quietly(fetch: Callable[[], object]) -> None:
    """Run a request that nobody has asked for: who needs the answer asks again, and gets the error."""
    try:
        fetch()
    except S3VFSError:
        _log.warning("what was fetched in advance did not come; it is asked for again when needed",
                     exc_info=True)

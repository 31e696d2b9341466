"""A store that counts what passes through it, and remembers the newest store time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from sqlite_s3vfs.clock import Clock, SystemClock
from sqlite_s3vfs.metrics import Metrics, OnRequest, Operation, Outcome, RequestRecord
from sqlite_s3vfs.store.arguments import KEYS_IN_ONE_REQUEST
from sqlite_s3vfs.store.port import (
    ConflictingRequestError,
    Fetched,
    Listed,
    NotModified,
    ObjectStore,
    PreconditionFailedError,
    Stored,
)

T = TypeVar("T")


class MeasuredStore:
    """``store``, with each request counted in ``metrics`` and shown to ``on_request``.

    ``on_request`` may be set at any time; it is called in the thread that asked, when the request
    has ended, and must not raise. A listing counts one request per 1 000 rows that were consumed
    (and one where its end coincides with the 1 000th row), a deletion one per 1 000 keys. Silent
    retries are counted where the store tells of them (``S3ObjectStore.extra_requests``).
    """

    def __init__(
        self,
        store: ObjectStore,
        metrics: Metrics,
        clock: Clock | None = None,
        *,
        on_request: OnRequest | None = None,
    ) -> None:
        self.on_request = on_request
        self._store = store
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._last_date = 0.0
        self._last_date_lock = threading.Lock()

    @property
    def identity(self) -> str:
        """See ``ObjectStore.identity``."""
        return self._store.identity

    @property
    def last_date(self) -> float:
        """The largest store time in any answer so far; 0 before the first one that has a time.

        Answers about a missing object, a refused condition, a listing or a deletion have none.
        """
        return self._last_date

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        """See ``ObjectStore.get``."""
        answer = self._measure(
            Operation.GET,
            key,
            lambda: self._store.get(
                key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
            ),
        )
        if answer is not None:
            self._saw(answer.date)
        return answer

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        """See ``ObjectStore.put``."""
        answer = self._measure(
            Operation.PUT,
            key,
            lambda: self._store.put(key, body, if_match=if_match, if_absent=if_absent),
            bytes_up=len(body),
        )
        self._saw(answer.date)
        return answer

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """See ``ObjectStore.list``."""
        return self._pages(prefix, self._store.list(prefix, start_after=start_after, limit=limit), limit)

    def delete(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.delete``."""
        for start in range(0, len(keys), KEYS_IN_ONE_REQUEST):
            batch = keys[start : start + KEYS_IN_ONE_REQUEST]
            self._measure(Operation.DELETE, batch[0], partial(self._store.delete, batch))

    def close(self) -> None:
        """See ``ObjectStore.close``."""
        self._store.close()

    def forget_locks(self) -> None:
        """In a forked child: a thread of the parent may have held the lock at the fork."""
        self._last_date_lock = threading.Lock()
        self._metrics.forget_locks()

    def _pages(self, prefix: str, rows: Iterator[Listed], limit: int | None) -> Iterator[Listed]:
        """Take the rows as the store asks for them, so that a page is one measured request."""
        taken = 0
        while limit is None or taken < limit:
            page = self._measure(
                Operation.LIST,
                prefix,
                lambda: list(islice(rows, KEYS_IN_ONE_REQUEST)),
            )
            yield from page
            taken += len(page)
            if len(page) < KEYS_IN_ONE_REQUEST:
                return

    def _measure(self, operation: Operation, key: str, ask: Callable[[], T], *, bytes_up: int = 0) -> T:
        extra_before = getattr(self._store, "extra_requests", 0)
        outcome = Outcome.FAILED
        bytes_down = 0
        started = self._clock.monotonic()
        try:
            answer = ask()
            outcome = Outcome.DONE
            bytes_down = len(answer.body) if isinstance(answer, Fetched) else 0
        except (PreconditionFailedError, ConflictingRequestError):
            outcome = Outcome.REFUSED
            raise
        finally:
            record = RequestRecord(
                operation=operation,
                key=key,
                started=started,
                ended=self._clock.monotonic(),
                bytes_up=bytes_up,
                bytes_down=bytes_down,
                outcome=outcome,
            )
            extra = getattr(self._store, "extra_requests", 0) - extra_before
            self._metrics.count_request(record, retries=extra)
            if self.on_request is not None:
                self.on_request(record)
        return answer

    def _saw(self, date: float) -> None:
        with self._last_date_lock:
            self._last_date = max(self._last_date, date)

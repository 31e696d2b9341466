"""Does a store honour the conditions of conditional writes? Asked before the first write to it.

Some stores that speak S3's protocol accept ``If-Match`` and ``If-None-Match`` and ignore them, or
look first and write later. Commits rest on these conditions, so on such a store two writers would
overwrite each other without an error. The probe does to one object of its own what racing writers
do to a manifest, and looks at what became of it:

1. several create it at once: exactly one may succeed;
2. one more creates it: refused;
3. one replaces it with an ETag that it does not have: refused;
4. several replace it at once with its right ETag: exactly one succeeds.

An answer alone proves nothing, because a put whose answer was lost is sent again and then refused:
the object is read after 1, 3 and 4, and holds the bytes of whoever won. That a store is found safe is
certain for conditions that it ignores; for one that checks and acts without atomicity, a race
may by luck have one winner.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlite_s3vfs.errors import S3VFSError, StoreUnavailableError, UnsafeStoreError
from sqlite_s3vfs.ids import IdSource
from sqlite_s3vfs.store.port import (
    ConflictingRequestError,
    Fetched,
    ObjectStore,
    PreconditionFailedError,
)

RACERS = 4
"""Requests at once in a race: more than two, so that a store without atomicity rarely gets by."""

_LOST_ANSWERS = 3
_CONFLICTS = 100
"""A conflict means that another racer is being served: as many as there are end soon."""

_log = logging.getLogger(__name__)


MakeBody = Callable[[bytes], bytes]


def probe_conditions(store: ObjectStore, key: str, ids: IdSource, make_body: MakeBody = bytes) -> None:
    """Write to ``key``, which nobody else uses, under conditions; remove it; return if all held.

    ``make_body`` makes the bytes of an object from a random id: different ones for different ids.

    Costs ``2 * RACERS + 6`` requests in 8 round trips. Nothing else in the store is touched. A
    process that dies meanwhile leaves one small object under ``key``.

    Raises:
        UnsafeStoreError: some condition was ignored, or a right one refused.
        StoreUnavailableError, AccessDeniedError, NotFoundError: the store did not let itself be asked.
    """
    probe = _Probe(store, key, ids, make_body)
    try:
        created = probe.race(if_absent=True)
        probe.must_refuse("If-None-Match: *", if_absent=True)
        wrong = f'"{ids.new_id().hex()}{ids.new_id().hex()}"'
        probe.must_refuse("If-Match with another ETag", if_match=wrong)
        probe.must_hold(created)
        probe.race(if_match=created.etag)
    finally:
        _remove_or_log(store, key)


class _Probe:
    def __init__(self, store: ObjectStore, key: str, ids: IdSource, make_body: MakeBody) -> None:
        self._store = store
        self._key = key
        self._ids = ids
        self._make_body = make_body

    def race(self, **condition: Any) -> Fetched:
        """Let several put under one condition that can hold only once; return what is there then."""
        bodies = [self._body() for _ in range(RACERS)]
        start = threading.Barrier(RACERS)

        def put(body: bytes) -> bool:
            start.wait()
            return self._put(body, condition)

        with ThreadPoolExecutor(RACERS, "s3vfs-probe") as threads:
            accepted = list(threads.map(put, bodies))
        found = self._read()
        self._judge(f"{RACERS} racing puts with {_text(condition)}", found, bodies, accepted)
        return found

    def must_refuse(self, what: str, **condition: Any) -> None:
        """Put under a condition that does not hold."""
        if self._put(self._body(), condition):
            raise self._unsafe(f"a put with {what} was accepted over an existing object")

    def must_hold(self, there: Fetched) -> None:
        """See that nothing has changed."""
        if self._read().body != there.body:
            raise self._unsafe("a put that was refused was carried out")

    def _judge(
        self, race: str, found: Fetched, bodies: Sequence[bytes], accepted: Sequence[bool]
    ) -> None:
        if sum(accepted) > 1:
            raise self._unsafe(f"{sum(accepted)} of {race} were accepted where one could be")
        if found.body not in bodies:
            raise self._unsafe(f"none of {race} was carried out where one could be")
        # With no accepted put the winner is one whose answer was lost and whose repetition refused.
        if any(accepted) and found.body != bodies[accepted.index(True)]:
            raise self._unsafe(f"of {race} the accepted one was overwritten by a refused one")

    def _put(self, body: bytes, condition: Mapping[str, Any]) -> bool:
        """Whether the put was accepted. Lost answers and conflicts are asked for again."""
        conflicts = lost = 0
        while True:
            try:
                self._store.put(self._key, body, **condition)
            except PreconditionFailedError:
                return False
            except ConflictingRequestError as error:
                conflicts += 1
                if conflicts == _CONFLICTS:
                    raise StoreUnavailableError(
                        f"the store answers only that another request is under way. "
                        f"key={self._key!r} times={conflicts}"
                    ) from error
            except StoreUnavailableError:
                lost += 1
                if lost == _LOST_ANSWERS:
                    raise
            else:
                return True

    def _read(self) -> Fetched:
        found = self._store.get(self._key)
        if not isinstance(found, Fetched):
            raise self._unsafe("an object was not there after it was put")
        return found

    def _body(self) -> bytes:
        return self._make_body(self._ids.new_id())

    def _unsafe(self, seen: str) -> UnsafeStoreError:
        return UnsafeStoreError(
            "the store does not honour conditional writes, so two writers could overwrite each other "
            'in silence: use another store, or locking="none" with one writer at a time, at your own '
            f"risk. store={self._store.identity!r} key={self._key!r} seen={seen!r}"
        )


def _remove_or_log(store: ObjectStore, key: str) -> None:
    """Remove the probe's object. What was found out holds even where it cannot be removed."""
    try:
        store.delete([key])
    except S3VFSError as error:
        _log.warning("the object of a conditions probe may be left over. key=%r error=%s", key, error)


def _text(condition: Mapping[str, Any]) -> str:
    return "If-None-Match: *" if "if_absent" in condition else "If-Match with the right ETag"

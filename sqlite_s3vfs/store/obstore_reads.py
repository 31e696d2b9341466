"""S3 with its ranged reads through obstore, a client in Rust; for all else, boto3.

boto3 takes a millisecond of processor time to ask for a range, and holds the interpreter's lock for
it; obstore takes a fifth. What must hold:

* **boto3 has the last word.** obstore gives a whole range of an existing object, or nothing: whatever
  else comes of a request (an error, a missing object, an empty range, another part than was asked for)
  is thrown away and the request is made again with boto3, with its retries, its errors and its
  patience. So nobody can tell the two apart by an outcome.
* **Only ranged reads without conditions**, of keys that both libraries spell in the same way. Their
  answers carry no store time: they get the last one that boto3 has brought, which is earlier, and an
  earlier time delays a deletion at most.
* **Only in the manner of the user's client** (``signed_requests``), or not at all.
* **Only in the process that started it**: the threads of a Rust runtime do not survive a fork, and a
  read in the child would wait for ever.

It costs milliseconds to start. A process that asks for one row never starts it.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from sqlite_s3vfs.clock import Clock, SystemClock
from sqlite_s3vfs.store.arguments import check_key, check_range
from sqlite_s3vfs.store.port import Fetched, Listed, NotModified, Stored
from sqlite_s3vfs.store.signed_requests import (
    Manner,
    ObservedRequest,
    UnusualRequestError,
    check_plain_connection,
    observing,
)

if TYPE_CHECKING:
    from obstore.store import S3Credential

    from sqlite_s3vfs.store.s3 import S3ObjectStore

_log = logging.getLogger(__name__)

READS_BEFORE = 4
"""Ranged reads that boto3 does first: a lookup is done with so many, a scan has hundreds to come."""

FAILURES_MAX = 3
"""Failures one after the other that end the attempt for good: each costs a request more."""

PATIENCE_SECONDS = 5.0
"""The longest wait for a connection or the next bytes, before boto3 asks again with the patience
that the user gave it. An interrupt is seen only when obstore has returned."""

_CREDENTIALS_SECONDS = 360.0
"""obstore asks for credentials again 300 seconds before they end, so it does each minute. botocore
renews temporary ones ten minutes before they end."""

_SAME_SPELLING = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*")
"""Keys that need no escape in a URL and that obstore does not rewrite."""

_NOT_FROM_OBSTORE = (BaseError, OSError, ValueError)


class ObstoreReads:
    """The objects of ``store``, an ``ObjectStore`` as that one is. Safe to share between threads."""

    def __init__(self, store: S3ObjectStore, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._learning = threading.Lock()
        self._reader: S3Store | None = None
        self._ranged_reads = 0
        self._failures = 0
        self._process = os.getpid()
        self._last_date = 0.0
        self._sent = threading.local()

    @property
    def identity(self) -> str:
        """See ``ObjectStore.identity``."""
        return self._store.identity

    @property
    def parallel_requests(self) -> int:
        """See ``S3ObjectStore.parallel_requests``: obstore gets as many."""
        return self._store.parallel_requests

    @property
    def extra_requests(self) -> int:
        """See ``S3ObjectStore.extra_requests``; what was asked again with boto3 counts, too."""
        return self._store.extra_requests + getattr(self._sent, "again", 0)

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        """See ``ObjectStore.get``. What obstore could not read costs a request more."""
        plain = if_match is None and if_none_match is None and _SAME_SPELLING.fullmatch(key)
        if byte_range is None or not plain or self._given_up:
            answer = self._store.get(
                key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
            )
            return self._dated(answer)
        check_key(key)
        check_range(byte_range)
        if self._reader is None:
            return self._dated(self._ask_and_learn(key, byte_range))
        found = self._read(self._reader, key, byte_range)
        if found is not None:
            return found
        self._sent.again = getattr(self._sent, "again", 0) + 1
        return self._dated(self._store.get(key, byte_range=byte_range))

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        """See ``ObjectStore.put``."""
        stored = self._store.put(key, body, if_match=if_match, if_absent=if_absent)
        self._last_date = max(self._last_date, stored.date)
        return stored

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """See ``ObjectStore.list``."""
        return self._store.list(prefix, start_after=start_after, limit=limit)

    def delete(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.delete``."""
        self._store.delete(keys)

    def close(self) -> None:
        """Drop the connections of both; they open new ones when the store is used again."""
        self._reader = None
        self._store.close()

    @property
    def _given_up(self) -> bool:
        return self._failures >= FAILURES_MAX or self._process != os.getpid()

    def _dated(self, answer: Fetched | NotModified | None) -> Fetched | NotModified | None:
        if answer is not None:
            self._last_date = max(self._last_date, answer.date)
        return answer

    def _ask_and_learn(self, key: str, byte_range: tuple[int, int]) -> Fetched | NotModified | None:
        """A read with boto3; one after the first few shows how to do without it."""
        self._ranged_reads += 1
        if self._ranged_reads <= READS_BEFORE or not self._learning.acquire(blocking=False):
            return self._store.get(key, byte_range=byte_range)
        try:
            with observing(self._store.client) as observed:
                answer = self._store.get(key, byte_range=byte_range)
            if isinstance(answer, Fetched) and self._reader is None:
                self._start(observed, key)
            return answer
        finally:
            self._learning.release()

    def _start(self, observed: ObservedRequest, key: str) -> None:
        """Go on with obstore, if it can do as boto3 did."""
        try:
            check_plain_connection(self._store.client)
            self._reader = self._reader_like(observed.manner(key))
        except (UnusualRequestError, *_NOT_FROM_OBSTORE) as reason:
            self._failures = FAILURES_MAX
            _log.info("all reads go through boto3 and none through obstore: %s.", reason)

    def _reader_like(self, manner: Manner) -> S3Store:
        """No request."""
        config = self._store.client.meta.config
        connect, read = (
            min(float(own or PATIENCE_SECONDS), PATIENCE_SECONDS)
            for own in (config.connect_timeout, config.read_timeout)
        )

        def credentials() -> S3Credential:
            found = manner.credentials()
            return {
                "access_key_id": found.access_key,
                "secret_access_key": found.secret_key,
                "token": found.token,
                "expires_at": datetime.fromtimestamp(self._clock.now() + _CREDENTIALS_SECONDS, UTC),
            }

        return S3Store(
            "named-by-the-endpoint",
            endpoint=manner.place,              # with the bucket, in the host's name or as a path
            virtual_hosted_style_request=True,
            region=manner.region,
            credential_provider=credentials,
            client_options={
                "allow_http": manner.place.startswith("http://"),
                "connect_timeout": timedelta(seconds=connect),
                "read_timeout": timedelta(seconds=read),
                "timeout": timedelta(days=1),       # of the whole body: a slow line is no failure
                "pool_max_idle_per_host": str(self.parallel_requests),
            },
            retry_config={"max_retries": 0},
        )

    def _read(self, reader: S3Store, key: str, byte_range: tuple[int, int]) -> Fetched | None:
        """One request with obstore; None for anything but the range as it was asked for."""
        start, stop = byte_range
        try:
            result = obstore.get(reader, key, options={"range": (start, stop)})
            body = bytes(result.bytes())
        except FileNotFoundError:
            return None
        except _NOT_FROM_OBSTORE as error:
            self._failures += 1
            _log.debug("obstore could not read, boto3 asks again. key=%r", key, exc_info=error)
            return None
        meta = result.meta
        if result.range != (start, min(stop, meta["size"])) or len(body) != len(range(*result.range)):
            self._failures += 1
            return None
        self._failures = 0
        return Fetched(
            body=body,
            etag=meta["e_tag"] or "",
            last_modified=meta["last_modified"].timestamp(),
            date=self._last_date,
        )

"""The reference store: objects in memory, for tests and for throw-away databases.

It passes the same conformance suite as S3 does, so what runs over it runs over S3. Equal bytes have
equal ETags, as on S3 without encryption
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html): whoever needs to tell two
writes apart has to put something random into the bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5

from sqlite_s3vfs.clock import Clock, SystemClock
from sqlite_s3vfs.ids import IdSource, RandomIds
from sqlite_s3vfs.store.arguments import (
    KEYS_IN_ONE_REQUEST,
    check_key,
    check_listing,
    check_put_conditions,
    check_range,
)
from sqlite_s3vfs.store.port import Fetched, Listed, NotModified, PreconditionFailedError, Stored


@dataclass(frozen=True, slots=True)
class _Object:
    body: bytes
    etag: str
    last_modified: float


class MemoryObjectStore:
    """An object store that lives as long as this object does.

    ``clock`` gives the store's own times (``Date``, ``Last-Modified``), not whole seconds as S3's.
    """

    def __init__(self, *, clock: Clock | None = None, ids: IdSource | None = None) -> None:
        self._clock = clock or SystemClock()
        self._identity = f"memory:{(ids or RandomIds()).new_id().hex()}"
        self._objects: dict[str, _Object] = {}
        self._objects_lock = threading.Lock()

    @property
    def identity(self) -> str:
        """Different for every instance: no two hold the same objects."""
        return self._identity

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        """See ``ObjectStore.get``."""
        check_key(key)
        check_range(byte_range)
        with self._objects_lock:
            found = self._objects.get(key)
            date = self._clock.now()
        if found is None:
            return None
        if if_match is not None and found.etag != if_match:
            raise PreconditionFailedError(
                f"the object has another ETag. key={key!r} if_match={if_match} etag={found.etag}"
            )
        if found.etag == if_none_match:
            return NotModified(date=date)
        body = found.body if byte_range is None else found.body[slice(*byte_range)]
        return Fetched(body=body, etag=found.etag, last_modified=found.last_modified, date=date)

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        """See ``ObjectStore.put``."""
        check_key(key)
        check_put_conditions(if_match=if_match, if_absent=if_absent)
        kept = bytes(body)
        etag = etag_of(kept)
        with self._objects_lock:
            old = self._objects.get(key)
            if if_absent and old is not None:
                raise PreconditionFailedError(f"the object exists. key={key!r} etag={old.etag}")
            if if_match is not None and (old is None or old.etag != if_match):
                raise PreconditionFailedError(
                    f"the object is missing or has another ETag. key={key!r} if_match={if_match} "
                    f"etag={old and old.etag}"
                )
            now = self._clock.now()
            self._objects[key] = _Object(body=kept, etag=etag, last_modified=now)
        return Stored(etag=etag, date=now)

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """See ``ObjectStore.list``."""
        check_listing(prefix, start_after, limit)
        return self._rows(prefix, start_after, limit)

    def delete(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.delete``."""
        for key in keys:
            check_key(key)
        with self._objects_lock:
            for key in keys:
                self._objects.pop(key, None)

    def close(self) -> None:
        """See ``ObjectStore.close``; there are no connections here."""

    def _rows(self, prefix: str, start_after: str, limit: int | None) -> Iterator[Listed]:
        """Page by page as S3 does it: rows that appear behind the page at hand are still seen."""
        while limit is None or limit > 0:
            wanted = KEYS_IN_ONE_REQUEST if limit is None else min(limit, KEYS_IN_ONE_REQUEST)
            page = self._page(prefix, start_after, wanted)
            yield from page
            if len(page) < wanted:
                return
            start_after = page[-1].key
            limit = None if limit is None else limit - wanted

    def _page(self, prefix: str, start_after: str, wanted: int) -> Sequence[Listed]:
        # The order of code points is the order of the UTF-8 bytes.
        with self._objects_lock:
            keys = sorted(k for k in self._objects if k.startswith(prefix) and k > start_after)
            return [_listed(key, self._objects[key]) for key in keys[:wanted]]


def etag_of(body: bytes | bytearray) -> str:
    """The ETag that S3 gives to these bytes: their MD5 in hex, in quotes."""
    return f'"{md5(body, usedforsecurity=False).hexdigest()}"'


def _listed(key: str, found: _Object) -> Listed:
    return Listed(key=key, size=len(found.body), etag=found.etag, last_modified=found.last_modified)

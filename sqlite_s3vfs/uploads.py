"""Objects uploaded under names that nobody else can pick, before a manifest refers to them.

Nobody can see them until then. Whoever uploads them either publishes, or removes them again where it
is certain that no manifest refers to them (design: never after "commit unknown").
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, wait
from functools import partial

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import ConflictError, S3VFSError, StoreUnavailableError
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.store.port import ConflictingRequestError, PreconditionFailedError

FLOOR_MARGIN_MS = 60_000
UNDER_WAY_MAX = 16 << 20
"""Bytes that the uploads of one commit or fold have under way at once, and one object more."""
_ATTEMPTS_MAX = 5
_PAUSE_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Uploads:
    """The objects of one commit, import or fold, and whether a manifest may refer to them.

    They are removed only while no manifest that names them was sent, or every one that was is known
    to have been refused.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._keys: list[str] = []
        self._started: deque[tuple[int, Future[None]]] = deque()
        self._churn = engine.uploads_churn
        self._sent = 0
        self.born_ms = int(engine.store.last_date * 1000)
        """Store time of the last answer before the first upload: when these objects count as born."""

    def create(self, key: str, body: bytes | bytearray) -> None:
        """Upload here and now, from a thread of the pool. 1 PUT.

        Raises:
            StoreUnavailableError, AccessDeniedError: the upload failed; it may be there.
        """
        self._keys.append(key)
        self._create(key, body)

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Start an upload; waits while too many bytes are under way. 1 PUT.

        Raises:
            StoreUnavailableError, AccessDeniedError: an earlier upload failed.
        """
        while sum(size for size, _ in self._started) >= UNDER_WAY_MAX:
            self._started.popleft()[1].result()
        self._churn.count(len(body))
        self._keys.append(key)
        task = self._engine.pool.submit(partial(self._create, key, body))
        self._started.append((len(body), task))

    def finish(self) -> None:
        """Wait until every upload has been answered.

        Raises:
            StoreUnavailableError, AccessDeniedError: some upload failed.
        """
        self._wait()
        while self._started:
            self._started.popleft()[1].result()

    def note_sent(self) -> None:
        """A manifest that names these objects is about to be put."""
        self._sent += 1

    def note_refused(self) -> None:
        """That manifest is settled to have been refused."""
        self._sent -= 1

    @property
    def may_be_named(self) -> bool:
        """Whether a manifest that names these objects was put, and not settled to have been refused."""
        return self._sent > 0

    def abandon(self) -> None:
        """Remove what was uploaded, unless a manifest may refer to it.

        What cannot be removed is logged and left to collection.
        """
        if self._sent:
            return
        self._wait()
        self._started.clear()
        keys, self._keys = self._keys, []
        if keys:
            remove_unreferenced(self._engine, keys)

    def _wait(self) -> None:
        wait([task for _, task in self._started])

    def _create(self, key: str, body: bytes | bytearray) -> None:
        for attempt in range(_ATTEMPTS_MAX):
            try:
                self._engine.store.put(key, body, if_absent=True)
            except PreconditionFailedError:
                return                # the name is ours alone: an earlier attempt was carried out
            except ConflictingRequestError as error:
                if attempt + 1 == _ATTEMPTS_MAX:
                    raise StoreUnavailableError(
                        f"an upload was refused again and again. key={key!r}"
                    ) from error
                self._engine.clock.sleep(_PAUSE_SECONDS * 2**attempt)
            else:
                return


def is_outdated(base: Manifest, born_ms: int) -> bool:
    """Whether objects born then may have been collected as garbage, as ``base`` tells (I6)."""
    return base.floor_ms > 0 and born_ms <= base.floor_ms + FLOOR_MARGIN_MS


def check_born(base: Manifest, born_ms: int) -> None:
    """Refuse to refer to objects that a collection may have deleted already (invariant I6).

    Raises:
        ConflictError: the process was stalled for so long that its uploads are not safe any more.
    """
    if is_outdated(base, born_ms):
        raise ConflictError(
            "this writer was stalled while the bucket was cleaned: run the transaction again. "
            f"uploaded_ms={born_ms} floor_ms={base.floor_ms}"
        )


def remove_unreferenced(engine: Engine, keys: list[str]) -> None:
    """Delete garbage of our own making; a failure is logged, and collection finds the rest."""
    try:
        engine.store.delete(keys)
    except S3VFSError:
        _log.warning("unused objects could not be removed. first=%r count=%d", keys[0], len(keys))

"""What a handle of a database may be in the middle of; each state holds what is valid in it only.

    Unlocked ── SHARED ──> Reading ── RESERVED ──> Writing ── published or refused ──> Settled
        ^                   ^  │                      │                                   │
        └────── unlock ─────┼──┘                      │                                   │
        └────── unlock ─────┴─────────────────────────┴───────────────────────────────────┘

``Pinned`` is for ``immutable=1`` and ``Dead`` for handles that a forked child inherited; nothing
leads out of either.

All states can be asked for ``snapshot`` (the version at hand, None outside transactions), ``size``
and ``read``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from sqlite_s3vfs.database import Database, Snapshot, Transaction
from sqlite_s3vfs.errors import InvalidArgumentError, S3VFSError
from sqlite_s3vfs.readahead import ReadAhead
from sqlite_s3vfs.vfs.attached import DeferredCommit

Bytes = bytes | memoryview


@dataclass(slots=True)
class _OnSnapshot:
    snapshot: Snapshot

    @property
    def size(self) -> int:
        return self.snapshot.size

    def read(self, offset: int, size: int, ahead: ReadAhead) -> Bytes:
        return self.snapshot.read(offset, size, ahead=ahead)


@dataclass(slots=True)
class Unlocked:
    """No lock is held. SQLite reads only the 100-byte header now, as it opens the file.

    It wants a first guess at the page size and looks again under its first lock, so where nothing
    is known of the database yet an empty file does, and opening costs no request.
    """

    database: Database

    @property
    def snapshot(self) -> None:
        return None

    @property
    def size(self) -> int:
        known = self.database.known()
        return known.size if known else 0

    def read(self, offset: int, size: int, ahead: ReadAhead) -> Bytes:
        known = self.database.known()
        return known.read(offset, size) if known else b""


@dataclass(slots=True)
class Reading(_OnSnapshot):
    """SHARED is held: every read comes from one version."""


@dataclass(slots=True)
class Writing:
    """RESERVED or more is held: writes gather in ``transaction``, on top of the version read.

    ``exclusive``: SQLite has begun to write pages, or to commit. ``rewritten``: page 1 was put down
    otherwise than SQLite wrote it. ``deferred`` is there once the publish was put off to phase two.
    """

    transaction: Transaction
    exclusive: bool = False
    rewritten: bool = False
    deferred: DeferredCommit | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self.transaction.base

    @property
    def size(self) -> int:
        return self.transaction.size

    def read(self, offset: int, size: int, ahead: ReadAhead) -> Bytes:
        return self.transaction.read(offset, size)


@dataclass(slots=True)
class Settled(_OnSnapshot):
    """The transaction was published or refused, and SQLite has not unlocked yet: nothing is written.

    ``snapshot`` is what the connection sees from here on; ``refusal`` is None where it was published.
    ``ended``: SQLite has carried its own commit to the end. ``lost``: it wrote all the same after that.
    """

    base: Snapshot
    refusal: BaseException | None
    ended: bool = False
    lost: bool = False


@dataclass(slots=True)
class Pinned(_OnSnapshot):
    """Opened with ``immutable=1``: the version at the open, for ever, without locks."""


@dataclass(slots=True)
class Dead:
    """Inherited through a fork. Everything fails but unlocking and closing, which do nothing."""

    name: str

    def error(self) -> S3VFSError:
        return InvalidArgumentError(
            "this connection was opened before a fork and belongs to the parent process: open a new "
            f"one in the child. name={self.name!r}"
        )

    @property
    def snapshot(self) -> NoReturn:
        raise self.error()

    @property
    def size(self) -> NoReturn:
        raise self.error()

    def read(self, offset: int, size: int, ahead: ReadAhead) -> NoReturn:
        raise self.error()


State = Unlocked | Reading | Writing | Settled | Pinned | Dead

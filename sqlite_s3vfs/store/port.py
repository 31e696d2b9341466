"""What this library asks of an object store, and nothing more.

Keys are text without a leading slash. Every method is atomic per object; a put that has returned is
seen by every later get and list (S3 is strongly consistent since 2020:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel).
Times are the *store's*, in seconds since the epoch. A missing object is ``None``, never an exception.
Implementations are safe to share between threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlite_s3vfs.errors import S3VFSError


class PreconditionFailedError(S3VFSError):
    """The condition did not hold when the store looked (HTTP 412, or 404 NoSuchKey on ``If-Match``).

    It proves nothing about an earlier attempt at the same write, which a silent retry may have
    carried out: whoever sees it settles (invariant I1).
    """


class ConflictingRequestError(S3VFSError):
    """Another conditional request on the key was under way (HTTP 409): send the same request again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object, or the part of it that was asked for."""

    body: bytes
    etag: str
    last_modified: float
    date: float


@dataclass(frozen=True, slots=True)
class NotModified:
    """The object still has the ETag that the caller holds (HTTP 304)."""

    date: float


@dataclass(frozen=True, slots=True)
class Stored:
    """A put was carried out."""

    etag: str
    date: float


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of a listing."""

    key: str
    size: int
    etag: str
    last_modified: float


class ObjectStore(Protocol):
    """An object store: S3, a local directory, or memory.

    Every method may raise ``StoreUnavailableError`` (no answer, throttled, 5xx, disk error; a put or
    delete may have been carried out all the same), ``AccessDeniedError`` and ``NotFoundError``
    (the bucket itself is missing).
    """

    @property
    def identity(self) -> str:
        """Endpoint and bucket as text: equal for two stores exactly when they hold the same objects."""

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        """Read an object, or the bytes ``byte_range = (start, stop)`` of it (``stop`` exclusive).

        A range that reaches past the end gives what is there; one that starts at or past the end
        gives an empty body.
        ``if_none_match`` gives ``NotModified`` while the ETag is still that one.

        Raises:
            PreconditionFailedError: ``if_match`` was given and the object has another ETag.
        """

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        """Write an object whole; readers see the old one or the new one.

        With ``if_absent`` only where the key does not exist, with ``if_match`` only over an object
        with that ETag; at most one of the two.

        Raises:
            PreconditionFailedError: the condition did not hold (on ``if_match``, a missing object too).
            ConflictingRequestError: a racing conditional request; nothing is known but to repeat.
        """

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """The objects whose keys begin with ``prefix``, in the byte order of their UTF-8 keys.

        Only keys greater than ``start_after``; at most ``limit`` of them. One request per 1 000 rows,
        made as the iterator is consumed.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; missing ones are no error. One request per 1 000 keys.

        Raises:
            StoreUnavailableError: some key was refused or not answered; the others may be gone.
        """

    def close(self) -> None:
        """Drop connections to the store. The store stays usable and opens new ones (also after fork)."""

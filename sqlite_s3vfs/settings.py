"""The few numbers that a user may turn. Everything else is fixed, with its reason beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from sqlite_s3vfs.errors import InvalidArgumentError

BLOCK_SIZE_MIN = 512
BLOCK_SIZE_MAX = 16 << 20
SEGMENT_SIZE_MAX = 64 << 20
RETENTION_SECONDS_MIN = 60
WRITER_SIZE_MAX = 255

Locking = Literal["optimistic", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a VFS behaves; properties of a *database* (block size, retention) apply to new ones only."""

    block_size: int = 64 << 10
    """Bytes of the database file in one block; any number from 512 to 16 MiB. New databases only."""
    segment_size: int = 4 << 20
    """Bytes that one stored segment aims at, up to 64 MiB: the unit of bulk writes."""
    cache_bytes: int = 64 << 20
    """Memory for blocks read from the store, shared by all connections of the VFS."""
    cache_dir: str = ""
    """A local directory for blocks read from the store, shared by processes; empty: none."""
    cache_dir_bytes: int = 1 << 30
    """Bytes of files that the directory holds, about."""
    transaction_bytes: int = 32 << 20
    """Memory for what one transaction has written; what is more is uploaded before its commit."""
    max_age_seconds: float = 0
    """How old the version may be that a read transaction sees, without asking for a newer one; 0: it is
    the newest one at its start. A connection may say otherwise (``?max_age=``)."""
    pool_size: int = 16
    """Requests under way at once; the boto3 client's ``max_pool_connections`` bounds it too."""
    retention_seconds: int = 3600
    """How long a version stays readable after it was replaced; at least 60. New databases only."""
    locking: Locking = "optimistic"
    """``optimistic``: the store's conditional writes decide between writers. ``none``: no probe of the
    store and, on a store that ignores conditions, one writer at own risk."""
    writer: str = ""
    """Who commits, as shown in the log; empty: host name and process id."""

    def __post_init__(self) -> None:
        _check_range("block_size", self.block_size, BLOCK_SIZE_MIN, BLOCK_SIZE_MAX)
        _check_range("segment_size", self.segment_size, 64 << 10, SEGMENT_SIZE_MAX)
        _check_range("cache_bytes", self.cache_bytes, 0, 1 << 50)
        _check_range("cache_dir_bytes", self.cache_dir_bytes, 1 << 20, 1 << 60)
        _check_range("transaction_bytes", self.transaction_bytes, 4 << 10, 1 << 50)
        check_max_age(self.max_age_seconds)
        _check_range("pool_size", self.pool_size, 1, 1024)
        _check_range("retention_seconds", self.retention_seconds, RETENTION_SECONDS_MIN, 1 << 40)
        if len(self.writer.encode(errors="replace")) > WRITER_SIZE_MAX or not self.writer.isprintable():
            raise InvalidArgumentError(
                f"writer must be printable text of at most {WRITER_SIZE_MAX} bytes. "
                f"writer={self.writer!r:.80}"
            )
        if self.locking not in ("optimistic", "none"):
            raise InvalidArgumentError(
                f"unknown locking; use 'optimistic' or 'none'. locking={self.locking!r}"
            )


def chosen_settings(
    settings: Settings | None,
    *,
    block_size: int | None = None,
    locking: Locking | None = None,
    max_age: float | None = None,
) -> Settings:
    """``settings``, or the defaults, with what is given beside them.

    Raises:
        InvalidArgumentError: one of these cannot be right.
    """
    chosen = settings or Settings()
    if block_size is not None:
        chosen = replace(chosen, block_size=block_size)
    if locking is not None:
        chosen = replace(chosen, locking=locking)
    if max_age is not None:
        chosen = replace(chosen, max_age_seconds=max_age)
    return chosen


def check_max_age(seconds: float) -> None:
    """Refuse what is no age.

    Raises:
        InvalidArgumentError: negative, not finite, or no number.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds < math.inf:
        raise InvalidArgumentError(
            f"max_age must be a number of seconds, 0 or more. max_age={seconds!r}"
        )


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgumentError(
            f"{name} must be a whole number from {low} to {high}. {name}={value!r}"
        )

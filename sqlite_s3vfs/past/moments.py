"""Which version of the past is meant: by number, by time, or by a checkpoint's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlite_s3vfs.errors import InvalidArgumentError

_RELATIVE = re.compile(r"-(\d{1,12}(?:\.\d{1,3})?)(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EXAMPLES = "write 2026-11-20T10:00:00Z, or -5m, -2h, -3d back from now"


@dataclass(frozen=True, slots=True)
class Moment:
    """A version, the newest at a time, or that of a checkpoint; without any of them the newest.

    ``at`` is a time with its offset (``2026-11-20T10:00:00Z``), or back from now by the store's clock
    (``-90s``, ``-5m``, ``-2h``, ``-3d``, ``-1w``).

    Raises:
        InvalidArgumentError: more than one is given, or one that cannot be right.
    """

    version: int | None = None
    at: str | None = None
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.version, self.at, self.checkpoint) if value is not None]
        if len(given) > 1:
            raise InvalidArgumentError(
                "give one of version, at and checkpoint: each of them names a version. "
                f"version={self.version} at={self.at!r} checkpoint={self.checkpoint!r}"
            )
        if self.version is not None and self.version < 1:
            raise InvalidArgumentError(f"versions count from 1. version={self.version}")
        if self.at is not None:
            time_of(self.at, now_ms=0)

    def __str__(self) -> str:
        if self.version is not None:
            return f"version={self.version}"
        if self.at is not None:
            return f"at={self.at!r}"
        return "newest" if self.checkpoint is None else f"checkpoint={self.checkpoint!r}"


NEWEST = Moment()


def time_of(text: str, *, now_ms: int) -> int:
    """Milliseconds since 1970; ``now_ms`` is the store's time.

    Raises:
        InvalidArgumentError: no such time.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative:
        return now_ms - round(float(relative[1]) * 1000 * _SECONDS[relative[2]])
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            raise InvalidArgumentError(
                f"the time does not say its offset: end it with Z for UTC, or with +02:00. at={text!r}"
            )
        return round(time.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(f"not a time: {_EXAMPLES}. at={text!r}") from error


def version_of(text: str) -> int:
    """A version as text, as in a URI.

    Raises:
        InvalidArgumentError: not a whole number.
    """
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidArgumentError(f"a version is a whole number. version={text!r}")
    return int(text)

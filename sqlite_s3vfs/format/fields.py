"""Typed reading of msgpack payloads: every surprise is a ``CorruptError`` that names the field.

Unknown fields of a map are ignored (a later minor release may add some); what an older reader must
not ignore is announced in ``features`` of the manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgpack

from sqlite_s3vfs.errors import CorruptError

UINT_MAX = (1 << 63) - 1


def pack(value: object) -> bytes:
    """Encode a payload."""
    return cast(bytes, msgpack.packb(value, use_bin_type=True))


def unpack_map(payload: bytes, what: str) -> dict[str, Any]:
    """Decode a payload whose top is a map with text keys."""
    try:
        value = msgpack.unpackb(payload, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise CorruptError(f"{what} cannot be decoded.") from error
    if not isinstance(value, dict):
        raise CorruptError(f"{what} is not a map.")
    return value


class Record:
    """A decoded row, read field by field in order."""

    __slots__ = ("_position", "_row", "_what")

    def __init__(self, row: object, size: int, what: str, *, start: int = 0) -> None:
        if not isinstance(row, list) or len(row) < size:
            raise CorruptError(f"{what} is not a row of {size} fields.")
        self._row: list[object] = row
        self._what = what
        self._position = start

    def uint(self, maximum: int = UINT_MAX) -> int:
        """A whole number from 0 to ``maximum``."""
        return uint(self._next(), self._what, maximum)

    def binary(self, size: int | None = None) -> bytes:
        """Bytes, of exactly ``size`` where given."""
        return binary(self._next(), self._what, size)

    def text(self) -> str:
        """Text."""
        return text(self._next(), self._what)

    def etag(self) -> str:
        """An ETag: text, or the 16 bytes of one that is an MD5 digest in quotes."""
        value = self._next()
        return f'"{value.hex()}"' if isinstance(value, bytes) else text(value, self._what)

    def row(self) -> object:
        """A row within the row, to be read by a record of its own."""
        return self._next()

    def rows(self) -> Sequence[object]:
        """A list."""
        return rows(self._next(), self._what)

    def _next(self) -> object:
        value = self._row[self._position]
        self._position += 1
        return value


def uint(value: object, what: str, maximum: int = UINT_MAX) -> int:
    """``value`` as a whole number from 0 to ``maximum``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
        raise CorruptError(f"{what} is not a number in range. value={value!r:.40}")
    return value


def binary(value: object, what: str, size: int | None = None) -> bytes:
    """``value`` as bytes, of exactly ``size`` where given."""
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise CorruptError(f"{what} is not bytes of the right size. size={size}")
    return value


def text(value: object, what: str) -> str:
    """``value`` as text."""
    if not isinstance(value, str):
        raise CorruptError(f"{what} is not text.")
    return value


def rows(value: object, what: str) -> Sequence[object]:
    """``value`` as a list."""
    if not isinstance(value, list):
        raise CorruptError(f"{what} is not a list.")
    return value

"""Copies of interior B-tree pages, as a manifest or a map piece carries them; see docs/format.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlite_s3vfs.format.fields import Record, rows


class InteriorPage(NamedTuple):
    """A compressed copy of an interior page as the blocks (not the tail) hold it."""

    page: int
    page_type: int
    content: bytes


def encode_copies(copies: Iterable[InteriorPage]) -> list[list[object]]:
    """Copies as payload rows."""
    return [[copy.page, copy.page_type, copy.content] for copy in copies]


def decode_copies(value: object) -> Iterable[InteriorPage]:
    """The inverse of ``encode_copies``."""
    for row in rows(value, "interior pages"):
        record = Record(row, 3, "interior page")
        yield InteriorPage(record.uint(), record.uint(), record.binary())

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


def decode_copies(value: object) -> Iterable[InteriorPage]:
    """The copies of payload rows: packed as they are, each is a row of its fields in their order."""
    for row in rows(value, "interior pages"):
        record = Record(row, 3, "interior page")
        yield InteriorPage(record.uint(), record.uint(), record.binary())

"""The tail of one version carried over into another manifest, whose rows have a version of their own.

A row names the version that wrote it, and the next manifest knows its own only. Most rows are good as
they are under another number; a page of several rows, the last of them a patch, is encoded anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.tail import TailEntry, encode_page


def rows_to_carry(kept: Manifest) -> dict[int, TailEntry]:
    """By page the one row that gives it without another one: its only row, or no patch."""
    rows = rows_by_page(kept)
    return {
        page: own[-1]
        for page, own in rows.items()
        if len(own) == 1 or not own[-1].encoding.needs_previous
    }


def rows_by_page(kept: Manifest) -> dict[int, list[TailEntry]]:
    """The rows of each page, oldest first."""
    rows: dict[int, list[TailEntry]] = {}
    for entry in kept.tail:
        rows.setdefault(entry.page, []).append(entry)
    return rows


def blocks_to_read(kept: Manifest) -> list[int]:
    """The blocks without which some page of several rows cannot be decoded."""
    simple = rows_to_carry(kept)
    copies = {copy.page for copy in kept.interior}
    touched = {
        block
        for page, rows in rows_by_page(kept).items()
        if page not in simple and page not in copies and rows[0].encoding.needs_previous
        for block in overlapping(page - 1, kept.page_size, kept.block_size)
    }
    return sorted(touched)


def carried_rows(kept: Manifest, version: int, contents: Mapping[int, bytes]) -> tuple[TailEntry, ...]:
    """The tail of ``kept`` as rows of ``version``; ``contents`` are pages to be encoded anew."""
    simple = rows_to_carry(kept)
    pages: Iterable[int] = sorted(simple.keys() | contents.keys())
    return tuple(
        encode_page(page, version, contents[page], None)
        if page in contents
        else simple[page]._replace(version=version)
        for page in pages
    )

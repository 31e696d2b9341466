"""Uploads that a collection may have deleted already are not referred to (invariant I6)."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.manifest import Commit, Manifest
from sqlite_s3vfs.uploads import check_born, is_outdated

MINUTE_MS = 60_000
FLOOR_MS = 1_700_000_000_000


def manifest(floor_ms: int) -> Manifest:
    return Manifest(
        database_id=bytes(16),
        page_size=0,
        size=0,
        block_size=65536,
        retention_seconds=3600,
        version=1,
        commits=(Commit(1, bytes(8), 0, "", 0, 0),),
        floor_ms=floor_ms,
    )


@pytest.mark.parametrize(
    ("after_floor_ms", "outdated"),
    [(-1, True), (0, True), (MINUTE_MS, True), (MINUTE_MS + 1, False)],
)
def test_what_was_born_by_a_minute_after_the_floor_is_outdated(after_floor_ms: int, outdated: bool):
    assert is_outdated(manifest(FLOOR_MS), FLOOR_MS + after_floor_ms) is outdated


def test_a_stalled_writer_is_refused_and_told_what_to_do():
    with pytest.raises(ConflictError, match=f"run the transaction again.*floor_ms={FLOOR_MS}"):
        check_born(manifest(FLOOR_MS), FLOOR_MS + MINUTE_MS)

    check_born(manifest(FLOOR_MS), FLOOR_MS + MINUTE_MS + 1)


def test_without_a_collection_nothing_is_outdated():
    assert not is_outdated(manifest(0), 0)
    check_born(manifest(0), 0)

"""The store time of a commit is stamped by the next one, and never decreases (invariant I8)."""

from __future__ import annotations

from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.planning.successor import Prepared, successor


def first() -> Manifest:
    nothing = Manifest(
        database_id=bytes(16),
        page_size=0,
        size=0,
        block_size=65536,
        retention_seconds=3600,
        version=0,
        commits=(),
    )
    return after(nothing, 0)


def after(base: Manifest, base_time_ms: int) -> Manifest:
    prepared = Prepared(commit_id=bytes([base.version] * 8), writer="w", page_size=0, size=0)
    return successor(base, prepared, base_time_ms)


def test_the_next_commit_stamps_the_store_time_of_the_one_before():
    second = after(first(), 5000)

    assert [commit.time_ms for commit in second.commits] == [5000, 0]
    assert [commit.time_ms for commit in after(second, 6000).commits] == [5000, 6000, 0]


def test_times_never_decrease():
    third = after(after(first(), 5000), 4000)

    assert [commit.time_ms for commit in third.commits] == [5000, 5000, 0]

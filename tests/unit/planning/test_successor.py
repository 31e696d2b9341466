"""What a commit does to the fields that no content shows: times, rows, names, the condemned batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.blockmap import BlockMap, Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import (
    HISTORY_NAMES,
    RECENT_COMMITS,
    Commit,
    Condemned,
    Died,
    HistoryName,
    Manifest,
    Owner,
    Pin,
    Restore,
    check_successor,
)
from sqlite_s3vfs.format.tail import Encoding, TailEntry
from sqlite_s3vfs.planning.successor import Prepared, successor
from sqlite_s3vfs.uploads import FLOOR_MARGIN_MS, check_born

SIZE = 4096
SEGMENT = SegmentSource(ObjectName(4, b"segment!"), 4, 2, 0)


def commit(version: int, time_ms: int = 0) -> Commit:
    return Commit(version, version.to_bytes(8, "big"), time_ms, "", SIZE, 1)


BASE = Manifest(
    database_id=b"0123456789abcdef",
    page_size=4096,
    size=SIZE,
    block_size=65536,
    retention_seconds=3600,
    version=5,
    commits=(commit(3, 1000), commit(4, 2000), commit(5)),
    blocks=BlockMap({0: Locator(SEGMENT, 64, 100, SIZE)}),
)
SMALL = Prepared(
    commit_id=b"commit 6",
    writer="me",
    page_size=4096,
    size=SIZE,
    entries=(TailEntry(1, 6, Encoding.STORED, bytes(4096)),),
    pages_written=1,
)
LARGE = replace(SMALL, entries=(), history=ObjectName(5, b"history!"))


def test_the_new_commit_has_no_time_and_the_one_before_gets_its_own():
    after = successor(BASE, SMALL, 2500)

    assert [row.time_ms for row in after.commits] == [1000, 2000, 2500, 0]
    assert after.commits[-1] == Commit(6, b"commit 6", 0, "me", SIZE, 1)
    check_successor(BASE, after)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_times_never_decrease_whatever_the_store_says(times: list[int]):
    manifest = BASE
    for time_ms in times:
        base, manifest = manifest, successor(manifest, SMALL, time_ms)
        check_successor(base, replace(manifest, tail=()))
        manifest = replace(manifest, tail=())

    stamped = [row.time_ms for row in manifest.commits[:-1]]
    assert stamped == sorted(stamped)


def test_a_time_that_maintenance_has_entered_stays():
    stamped = replace(BASE, commits=(*BASE.commits[:-1], commit(5, 2200)))

    assert successor(stamped, SMALL, 9000).commits[-2].time_ms == 2200


def many(count: int, **other: object) -> Manifest:
    commits = tuple(commit(version, 1000) for version in range(1, count + 1))
    return replace(BASE, version=count, commits=commits, **other)


def test_old_rows_go_once_history_tells_of_them():
    name = HistoryName(ObjectName(70, b"history!"), 0)
    base = many(80, history=(name,), oldest_readable=1)

    after = successor(base, replace(SMALL, entries=()), 0)

    assert after.commits[0].version == 81 - RECENT_COMMITS + 1


@pytest.mark.parametrize(
    ("other", "oldest"),
    [
        ({"history": (HistoryName(ObjectName(20, b"history!"), 0),)}, 20),
        ({"tail": (TailEntry(1, 30, Encoding.STORED, bytes(4096)),), "oldest_readable": 79}, 30),
        ({"oldest_readable": 9}, 9),
        ({"oldest_readable": 1}, 1),
    ],
    ids=["newest history", "tail", "oldest readable", "all readable"],
)
def test_rows_stay_while_nothing_else_tells(other: dict[str, object], oldest: int):
    after = successor(many(80, **other), replace(SMALL, entries=()), 0)

    assert after.commits[0].version == oldest


def test_a_history_object_is_named_and_gets_the_time_of_the_commit_after_it():
    after = successor(BASE, LARGE, 2500)
    later = successor(after, replace(SMALL, entries=()), 2600)

    assert after.history == (HistoryName(ObjectName(5, b"history!"), 0),)
    assert later.history == (HistoryName(ObjectName(5, b"history!"), 2600),)


def test_so_many_names_are_kept_and_the_oldest_go():
    names = tuple(HistoryName(ObjectName(n, b"history!"), n) for n in range(1, HISTORY_NAMES + 1))
    base = many(100, history=names)

    after = successor(base, replace(LARGE, history=ObjectName(100, b"newest..")), 0)

    versions = [row.name.version for row in after.history]
    assert versions == [*range(2, HISTORY_NAMES + 1), 100]


DIED = tuple(Died(ObjectRef.named(Role.SEGMENT, ObjectName(1, b"dead....")), 1, died) for died in (3, 5))


def test_what_died_is_listed_until_a_history_object_lists_it():
    base = replace(BASE, died=DIED)

    assert successor(base, SMALL, 0).died == DIED
    assert successor(base, LARGE, 0).died == ()


def test_a_block_that_is_replaced_counts_and_the_last_one_kills_its_segment():
    found = Locator(SegmentSource(ObjectName(6, b"newer..."), 6, 1, 0), 64, 100, SIZE)
    written = replace(LARGE, written={0: found}, replaced={0: BASE.blocks.recent[0]})

    once = successor(BASE, written, 0)
    base = replace(BASE, dead=once.dead)
    twice = successor(base, written, 0)

    assert [count.dead for count in once.dead.values()] == [1]
    assert once.died == ()
    assert dict(twice.dead) == {}
    assert twice.died == (Died(ObjectRef.named(Role.SEGMENT, SEGMENT.name), 4, 6),)


def test_a_parents_block_is_neither_counted_nor_listed():
    borrowed = Locator(SEGMENT._replace(owner=1, blocks=1), 64, 100, SIZE)
    written = replace(LARGE, written={0: BASE.blocks.recent[0]}, replaced={0: borrowed})

    after = successor(BASE, written, 0)

    assert (dict(after.dead), after.died) == ({}, ())


BATCH = Condemned(b"batch 1.", (ObjectRef(Role.OLD_BLOCK, 0),))
OTHER_BATCH = Condemned(b"batch 2.", (ObjectRef(Role.OLD_BLOCK, 1),))


@pytest.mark.parametrize(
    ("base", "cleared", "own", "after"),
    [
        (BATCH, b"", None, BATCH),
        (BATCH, b"batch 2.", None, BATCH),
        (BATCH, b"batch 1.", None, None),
        (BATCH, b"batch 1.", OTHER_BATCH, OTHER_BATCH),
        (None, b"", BATCH, BATCH),
        (None, b"batch 1.", None, None),
    ],
)
def test_a_condemned_batch_stays_until_a_process_has_seen_it_deleted(base, cleared, own, after):
    prepared = replace(SMALL, cleared=cleared, condemned=own)

    assert successor(replace(BASE, condemned=base), prepared, 0).condemned == after


def test_a_second_batch_waits_for_the_first():
    with pytest.raises(AssertionError, match="one batch"):
        successor(replace(BASE, condemned=BATCH), replace(SMALL, condemned=OTHER_BATCH), 0)


def test_what_others_keep_there_is_carried_on():
    """Pins, owners, restores, the floor and the lists of features."""
    base = replace(
        BASE,
        pins=(Pin(b"pin no 1", BASE.database_id, 3, "before", ""),),
        owners=(Owner("parent", BASE.database_id[::-1], b"pin no 7", 40),),
        restores=(Restore(1, 4),),
        floor_ms=77,
        oldest_readable=2,
        predecessor=BASE.database_id[::-1],
        fork_id=b"pin no 7",
        features=("a",),
        write_features=("b",),
    )

    for prepared in (SMALL, LARGE, replace(LARGE, anew=True)):
        after = successor(base, prepared, 0)
        kept = replace(
            base,
            **{
                name: getattr(after, name)
                for name in ("version", "commits", "blocks", "tail", "died", "history", "dead")
            },
        )
        assert after == kept


@pytest.mark.parametrize(
    ("floor_ms", "born_ms", "refused"),
    [
        (0, 0, False),
        (1_000_000, 1_000_000 + FLOOR_MARGIN_MS, True),
        (1_000_000, 999_999, True),
        (1_000_000, 1_000_001 + FLOOR_MARGIN_MS, False),
    ],
)
def test_what_was_born_before_the_floor_is_not_referred_to(floor_ms, born_ms, refused):
    base = replace(BASE, floor_ms=floor_ms)

    if refused:
        with pytest.raises(ConflictError, match="stalled"):
            check_born(base, born_ms)
    else:
        check_born(base, born_ms)

"""Time and chance under a test's control."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.clock import Clock
from sqlite_s3vfs.ids import ID_SIZE, IdSource
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.testing.ids import SeededIds


def test_time_stands_still_until_it_is_moved():
    clock: Clock = ManualClock(start=1000.0)

    assert (clock.now(), clock.now(), clock.monotonic()) == (1000.0, 1000.0, 0.0)


def test_sleep_returns_at_once_and_moves_both_times():
    clock = ManualClock(start=1000.0)

    clock.sleep(3600)
    clock.advance(0.5)

    assert (clock.now(), clock.monotonic()) == (4600.5, 3600.5)


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        ManualClock().advance(-1)


def test_the_same_seed_gives_the_same_ids_and_jitter():
    first: IdSource = SeededIds(7)
    second = SeededIds(7)

    drawn = [(source.new_id(), source.jitter(), source.new_id()) for source in (first, second)]

    assert drawn[0] == drawn[1]


def test_ids_are_of_the_right_size_and_differ():
    ids = SeededIds("writer")

    drawn = {ids.new_id() for _ in range(1000)}

    assert len(drawn) == 1000
    assert {len(found) for found in drawn} == {ID_SIZE}
    assert SeededIds("another").new_id() not in drawn


def test_jitter_is_from_zero_to_below_one():
    ids = SeededIds(0)

    assert all(0 <= ids.jitter() < 1 for _ in range(1000))

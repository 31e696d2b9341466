"""Every order of the store calls of several processes on one database, over the in-memory store.

What each process has seen must be strictly serializable, nothing that was reported may be otherwise,
and every version must be readable afterwards (invariants I1 to I4 and I10). How many schedules that
makes is asserted from below, so that a scenario cannot lose its point in silence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import pytest

from faults.actors import (
    PAGES,
    HoldersPerThread,
    Objects,
    Process,
    check_all,
    objects_of,
    store_with,
)
from faults.trials import NAME, engine_on
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.planning import commit as commit_planning
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import (
    HistoryRecorder,
    Scenario,
    World,
    explore,
)
from sqlite_s3vfs.transaction import locks

pytestmark = pytest.mark.slow

Act = Callable[[Process], None]
MANY = range(4, PAGES + 3)
"""More pages than fit a tail: the commit writes blocks."""


@pytest.fixture(autouse=True)
def _processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_holders", HoldersPerThread())
    monkeypatch.setattr(commit_planning, "TAIL_COMMIT_MAX", 250)


@functools.cache
def prepared(settings: Settings) -> Objects:
    """A database with blocks, and lists in its tail over them."""
    store = store_with({})
    process = Process("first", store, HistoryRecorder(), settings, 1)
    process.append(range(2, PAGES + 1))
    process.append((3, 4))
    process.append((4, 9))
    return objects_of(store)


def first_snapshot(objects: Objects) -> object:
    return Database(engine_on(store_with(objects), Settings(), "start"), NAME).snapshot()


def scenario_of(
    acts: Mapping[str, Act], settings: Settings, objects: Objects, *, real_time: bool = True
) -> Callable[[World], Scenario]:
    """Processes that act each on its own; what they have seen is judged together.

    Without ``real_time`` schedules are left out that differ only in which operation ended before
    which began; what they did, and to which version, is the same.
    """
    first = first_snapshot(objects)

    def build(world: World) -> Scenario:
        store = store_with(objects)
        recorder = HistoryRecorder(listener=world.hear if real_time else None)

        def actor(name: str, act: Act, token: int) -> Callable[[ObjectStore], None]:
            return lambda mine: act(Process(name, mine, recorder, settings, token))

        actors = {
            name: actor(name, act, token) for token, (name, act) in enumerate(acts.items(), start=2)
        }
        return Scenario(store, actors, lambda: check_all(store, recorder, first))

    return build


def writes_tail(process: Process) -> None:
    process.append((3, 5))


def writes_blocks(process: Process) -> None:
    process.append(MANY)


def folds(process: Process) -> None:
    """Fold, and adopt the result with the next commit."""
    process.database.fold()
    process.append((4,))
    process.database.close()


def reads_twice(process: Process) -> None:
    process.read()
    process.read()


def reads(process: Process) -> None:
    process.read()


def shrinks(process: Process) -> None:
    process.append((2,), size=9)


SETTINGS = [Settings(block_size=2048), Settings(block_size=700)]
each_block_size = pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda settings: f"{settings.block_size} bytes"
)
PAIRS = {
    "tail and tail": (writes_tail, writes_tail),
    "tail and blocks": (writes_tail, writes_blocks),
    "blocks and blocks": (writes_blocks, writes_blocks),
    "tail and shrink": (writes_tail, shrinks),
    "blocks and shrink": (writes_blocks, shrinks),
}


@each_block_size
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_writers_and_a_reader(pair, settings):
    acts = {"one": pair[0], "two": pair[1], "reader": reads_twice}

    explored = explore(scenario_of(acts, settings, prepared(settings)))

    assert explored.schedules >= 200


@each_block_size
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_writers_a_fold_and_a_reader(pair, settings):
    acts = {"one": pair[0], "two": pair[1], "fold": folds, "reader": reads}

    explored = explore(scenario_of(acts, settings, prepared(settings), real_time=False))

    assert explored.schedules >= 500

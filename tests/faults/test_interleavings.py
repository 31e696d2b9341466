"""Every order of the store calls of several processes on one database, over the in-memory store.

What each process has seen must be strictly serializable, nothing that was reported may be otherwise,
and every version must be readable afterwards (invariants I1 to I4 and I10). How many schedules that
makes is asserted from below, so that a scenario cannot lose its point in silence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from faults.actors import (
    PAGES,
    HoldersPerThread,
    Objects,
    Process,
    Wire,
    check_all,
    objects_of,
    store_with,
)
from faults.faultlist import UNTIL_GIVEN_UP, manifest_puts
from faults.trials import NAME, content_of, engine_on, lay_out_as_ancestor
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.manifests import Head, ManifestStore
from sqlite_s3vfs.planning import commit as commit_planning
from sqlite_s3vfs.planning.fold import Fold
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import (
    AnswerConflict,
    At,
    CarryOutTwice,
    Fail,
    HistoryRecorder,
    HoldBack,
    LoseAnswer,
    Scenario,
    ScheduleFailedError,
    World,
    explore,
)
from sqlite_s3vfs.transaction import commit, folding, locks

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


@dataclass(frozen=True)
class Struck:
    """An act on a line where something goes wrong."""

    act: Act
    strikes: tuple[At, ...]


def scenario_of(
    acts: Mapping[str, Act | Struck],
    settings: Settings,
    objects: Objects,
    *,
    real_time: bool = True,
    network: bool = False,
) -> Callable[[World], Scenario]:
    """Processes that act each on its own; what they have seen is judged together.

    Without ``real_time`` schedules are left out that differ only in which operation ended before
    which began; what they did, and to which version, is the same. With ``network`` an actor more
    brings the requests that were held back.
    """
    first = Database(engine_on(store_with(objects), Settings(), "start"), NAME).snapshot()

    def build(world: World) -> Scenario:
        store = store_with(objects)
        recorder = HistoryRecorder(listener=world.hear if real_time else None)
        wire = Wire(world)

        def actor(name: str, act: Act | Struck, token: int) -> Callable[[ObjectStore], None]:
            def body(mine: ObjectStore) -> None:
                if isinstance(act, Struck):
                    line = wire.client(mine, *act.strikes)
                    act.act(Process(name, line, recorder, settings, token))
                    world.touch("wire")
                else:
                    act(Process(name, mine, recorder, settings, token))

            return body

        actors = {
            name: actor(name, act, token) for token, (name, act) in enumerate(acts.items(), start=2)
        }
        if network:
            actors["network"] = wire.network
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
    "settings",
    [
        pytest.param(SETTINGS[0], id="2048 bytes"),
        pytest.param(SETTINGS[1], id="700 bytes", marks=pytest.mark.long),
    ],
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

    assert explored.schedules >= 300


@each_block_size
def test_two_who_create_the_same_database(settings):
    """Invariant I7: a key is created once; whoever comes second starts again on top of the first."""

    def creates(process: Process) -> None:
        process.append(range(2, 5))

    acts = {"one": creates, "two": creates, "reader": reads_twice}

    explored = explore(scenario_of(acts, settings, {}))

    assert explored.schedules >= 200


def as_ancestor_left_it() -> Objects:
    """The lists of ``prepared`` in the layout of sqlite-s3vfs 0.0.x."""
    store = store_with(prepared(SETTINGS[0]))
    image = content_of(Database(engine_on(store, Settings(), "reader"), NAME))
    fresh = store_with({})
    lay_out_as_ancestor(fresh, image)
    return objects_of(fresh)


ADOPTERS = pytest.mark.parametrize("pair", [(writes_tail, writes_tail), (writes_tail, writes_blocks)])


@ADOPTERS
def test_two_who_adopt_a_database_of_the_ancestor(pair):
    """Invariant I10: one of them adopts it, the other is refused or goes on from there."""
    explored = explore(
        scenario_of(
            {"one": pair[0], "two": pair[1]}, SETTINGS[0], as_ancestor_left_it(), real_time=False
        ),
        preemptions=2,
    )

    assert explored.schedules >= 50


@pytest.mark.long
@pytest.mark.timeout(3600)
@each_block_size
@ADOPTERS
def test_two_who_adopt_a_database_of_the_ancestor_and_a_reader(pair, settings):
    """Likewise; and at every moment it can be read."""
    acts = {"one": pair[0], "two": pair[1], "reader": reads}

    explored = explore(
        scenario_of(acts, settings, as_ancestor_left_it(), real_time=False), preemptions=3
    )

    assert explored.schedules >= 100


LOST = {
    "answer lost": LoseAnswer(),
    "carried out twice": CarryOutTwice(),
    "409 after it was carried out": AnswerConflict(carried_out=True),
    "request lost": Fail(),
    "given up": LoseAnswer(silence=UNTIL_GIVEN_UP),
    "lost and given up": Fail(silence=UNTIL_GIVEN_UP),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_fault_of_one_writer_among_two_and_a_reader(pair, fault):
    """Invariant I1: what each is told is so, whatever the other did in between."""
    struck = Struck(pair[0], (At(0, fault, manifest_puts),))
    acts = {"struck": struck, "other": pair[1], "reader": reads}

    explored = explore(scenario_of(acts, SETTINGS[0], prepared(SETTINGS[0])))

    assert explored.schedules >= 30


@pytest.mark.parametrize("silence", [0, 3, UNTIL_GIVEN_UP])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_a_put_that_is_under_way_for_any_time(pair, silence):
    """Invariant I1: it may arrive before, between and after all that others and its sender do."""

    def goes_on(process: Process) -> None:
        pair[0](process)
        writes_tail(process)

    held = Struck(goes_on, (At(0, HoldBack(silence=silence), manifest_puts),))
    acts = {"late": held, "other": pair[1]}

    explored = explore(
        scenario_of(acts, SETTINGS[0], prepared(SETTINGS[0]), network=True, real_time=False)
    )

    assert explored.schedules >= 20


def test_adopting_a_fold_without_comparing_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Invariant I2, broken on purpose: whatever was folded is taken to be as it was."""

    def adopt_all(base: Manifest, base_locators: object, fold: Fold) -> frozenset[int]:
        return frozenset(block for block in fold.blocks if block < base.block_count)

    monkeypatch.setattr(commit, "adoptable", adopt_all)
    acts = {"one": writes_blocks, "fold": folds}

    with pytest.raises(ScheduleFailedError):
        explore(scenario_of(acts, SETTINGS[0], prepared(SETTINGS[0]), real_time=False))


def test_a_fold_that_forgets_history_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Invariant I4, broken on purpose: the manifest that a fold was cut from is not kept."""
    monkeypatch.setattr(folding, "encode_history", lambda base, name: b"")
    acts = {"one": writes_tail, "fold": folds}

    with pytest.raises(ScheduleFailedError):
        explore(scenario_of(acts, SETTINGS[0], prepared(SETTINGS[0]), real_time=False))


def test_believing_a_refusal_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """Invariant I1, broken on purpose: a 412 is taken for somebody else's commit."""

    def believe(self: ManifestStore, base: Head | None, ours: Manifest) -> None:
        raise ConflictError("another writer committed first.")

    monkeypatch.setattr(ManifestStore, "_settle", believe)
    struck = Struck(writes_tail, (At(0, CarryOutTwice(), manifest_puts),))

    with pytest.raises(ScheduleFailedError):
        explore(scenario_of({"one": struck, "two": reads}, SETTINGS[0], prepared(SETTINGS[0])))

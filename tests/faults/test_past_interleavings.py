"""Every order of the store calls of those who keep, forget, fork, remove and collect.

Collections here take everything for old: their floor lies in the future, so every writer and fork that
is under way counts as stalled (invariants I5 to I7). Whatever the order, each database that lives is
whole, to the last byte of every version that can be read, and nobody is told of damage.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from faults.actors import PAGES, HoldersPerThread, Objects, Process, objects_of, store_with
from faults.trials import NAME, content_of, engine_on
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, NotFoundError
from sqlite_s3vfs.past import (
    Moment,
    collect,
    collecting,
    fork,
    forking,
    open_at,
    remove,
    restore,
    verify,
)
from sqlite_s3vfs.past.maintenance import maintain
from sqlite_s3vfs.planning import commit as commit_planning
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import (
    Exploration,
    HistoryRecorder,
    Scenario,
    ScheduleFailedError,
    World,
    explore,
)
from sqlite_s3vfs.transaction import commit, locks

pytestmark = pytest.mark.slow

SETTINGS = Settings(block_size=2048)
CHILD = "child"
MANY = range(4, PAGES + 3)
REFUSED = (ConflictError, NotFoundError, CommitUnknownError)
"""What may be told of a fork or a restore that others come before; never that something is damaged."""
Act = Callable[[ObjectStore], None]


@pytest.fixture(autouse=True)
def _everything_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_holders", HoldersPerThread())
    monkeypatch.setattr(commit_planning, "TAIL_COMMIT_MAX", 250)
    monkeypatch.setattr(collecting, "GRACE_SECONDS_MIN", -1)


def database_on(store: ObjectStore, name: str = NAME, *, seed: str = "somebody") -> Database:
    engine = engine_on(store, SETTINGS, seed)
    engine.conditions_proven = True
    return Database(engine, name)


def writes(store: ObjectStore, *, tries: int = 2) -> None:
    """A commit of blocks, and once more where it is refused."""
    Process("writer", store, HistoryRecorder(), SETTINGS, 7).append(MANY, tries=tries)


def collects(store: ObjectStore, name: str = NAME) -> None:
    collect(database_on(store, name, seed="collector"), grace_seconds=-1)


def forks(store: ObjectStore) -> None:
    database = database_on(store, seed="fork")
    with suppress(*REFUSED):
        fork(database, Database(database.engine, CHILD))


def forgets(store: ObjectStore, name: str = NAME) -> None:
    """Give up the past, as whoever condemns does it."""

    def change(base):
        kept = tuple(row for row in base.history if row.name.version >= base.version)
        return replace(base, oldest_readable=base.version, history=kept)

    maintain(database_on(store, name, seed="forgets"), change)


def forgets_and_collects(store: ObjectStore) -> None:
    writes(store)
    forgets(store)
    collects(store)


def removes(store: ObjectStore) -> None:
    remove(database_on(store, seed="remover"))


def prepared() -> Objects:
    store = store_with({})
    process = Process("first", store, HistoryRecorder(), SETTINGS, 1)
    process.append(range(2, PAGES + 1))
    process.append((3, 4))
    return objects_of(store)


def forked(objects: Objects) -> Objects:
    """A child that has rewritten everything, and whose first version is readable still."""
    store = store_with(objects)
    database = database_on(store, seed="prepare")
    fork(database, Database(database.engine, CHILD))
    child = database_on(store, CHILD, seed="prepare child")
    transaction = child.begin(child.snapshot())
    for offset in range(0, transaction.size, 512):
        transaction.write(offset, transaction.read(offset, 512)[:-1] + b"!")
    transaction.commit(transaction.size)
    transaction.close()
    return objects_of(store)


def check_whole(store: ObjectStore, *names: str) -> None:
    """Every database that is there, with its whole readable past."""
    for name in names:
        database = database_on(store, name, seed="judge")
        try:
            if not database.snapshot().manifest.commits:
                continue
        except NotFoundError:
            continue                                # a fork that nobody finishes any more
        assert verify(database).findings == ()
        manifest = database.snapshot().manifest
        for version in range(manifest.oldest_readable, manifest.version + 1):
            snapshot = open_at(database, Moment(version=version))
            assert len(snapshot.read(0, snapshot.size)) == snapshot.size


def explored(acts: dict[str, Act], objects: Objects, *, preemptions: int | None = None) -> Exploration:
    def build(world: World) -> Scenario:
        store = store_with(objects)
        return Scenario(store, acts, lambda: check_whole(store, NAME, CHILD))

    return explore(build, preemptions=preemptions)


# A stalled writer and a collection (I6)


def test_a_stalled_writer_and_a_collection():
    assert explored({"writer": writes, "collector": collects}, prepared()).schedules >= 20


def test_a_writer_that_minds_no_floor_is_noticed(monkeypatch):
    monkeypatch.setattr(commit, "check_born", lambda base, born_ms: None)

    with pytest.raises(ScheduleFailedError):
        explored({"writer": writes, "collector": collects}, prepared())


def test_references_that_were_read_before_the_floor_are_noticed(monkeypatch):
    """Rule 3 left out: what a commit refers to that came in between is taken for garbage."""
    find, before = collecting.find_garbage, {}

    def listed_before(database):
        rows = collecting_list(database)
        before[database.engine] = database.manifests.latest().manifest
        return rows

    def with_old_references(database, newest, **arguments):
        return find(database, before[database.engine], **arguments)

    collecting_list = collecting.list_objects
    monkeypatch.setattr(collecting, "list_objects", listed_before)
    monkeypatch.setattr(collecting, "find_garbage", with_old_references)
    listing_first = {"writer": writes, "collector": collects}

    def uploads_before_listing(store: ObjectStore) -> None:
        writes(store, tries=1)

    with pytest.raises(ScheduleFailedError):
        explored({**listing_first, "writer": uploads_before_listing}, prepared())


# Forks, and those who forget what they start from (I7)


def test_a_fork_and_a_parent_that_forgets():
    acts = {"fork": forks, "parent": forgets_and_collects}

    assert explored(acts, prepared(), preemptions=2).schedules >= 100


def test_a_fork_without_a_pin_is_noticed(monkeypatch):
    monkeypatch.setattr(forking, "maintain", lambda database, change, head=None: head.manifest)

    with pytest.raises(ScheduleFailedError):
        explored({"fork": forks, "parent": forgets_and_collects}, prepared(), preemptions=2)


def test_a_fork_that_is_pinned_without_a_look_is_noticed(monkeypatch):
    """A version that is gone by then is pinned all the same."""
    monkeypatch.setattr(forking, "check_pinnable", lambda database, base, version: None)

    with pytest.raises(ScheduleFailedError):
        explored({"fork": forks, "parent": forgets_and_collects}, prepared(), preemptions=2)


def test_a_fork_and_the_removal_of_its_parent():
    assert explored({"fork": forks, "remover": removes}, prepared(), preemptions=2).schedules >= 50


def test_pins_that_a_removal_drops_are_noticed(monkeypatch):
    from sqlite_s3vfs.past import removing

    bury = removing._tombstone

    def without_pins(database, head, uploads):
        return replace(bury(database, head, uploads), pins=())

    monkeypatch.setattr(removing, "_tombstone", without_pins)

    with pytest.raises(ScheduleFailedError):
        explored({"fork": forks, "remover": removes}, prepared(), preemptions=2)


def child_lets_go(store: ObjectStore) -> None:
    collects(store, CHILD)


def child_goes_back(store: ObjectStore) -> None:
    """The child restores its first version, which borrows."""
    child = database_on(store, CHILD, seed="restorer")
    first = child.snapshot().manifest.oldest_readable
    with suppress(*REFUSED):
        restore(child, Moment(version=first))


def child_forgets(store: ObjectStore) -> None:
    forgets(store, CHILD)


UNPINNING = {
    "child lets go": child_lets_go,
    "child goes back": child_goes_back,
    "remover": removes,
}


def test_a_child_that_lets_go_and_a_parent_that_is_removed():
    assert explored(UNPINNING, forked(prepared()), preemptions=1).schedules >= 30


def test_a_child_that_looks_at_its_newest_version_only_is_noticed(monkeypatch):
    from sqlite_s3vfs.past import garbage

    kept = garbage.kept_manifests

    def newest_only(database, newest, names):
        found = kept(database, newest, names)
        return found[-1:] if newest.fork_id else found

    monkeypatch.setattr(garbage, "kept_manifests", newest_only)

    with pytest.raises(ScheduleFailedError):
        explored(UNPINNING, forked(prepared()), preemptions=1)


def test_a_child_that_forgets_lets_go_and_goes_back():
    acts = {"child forgets": child_forgets, "child lets go": child_lets_go,
            "child goes back": child_goes_back, "parent": collects}

    assert explored(acts, forked(prepared()), preemptions=0).schedules >= 10


def test_the_objects_at_the_start_are_whole():
    store = store_with(forked(prepared()))

    check_whole(store, NAME, CHILD)
    assert len(content_of(database_on(store, CHILD))) == PAGES * 512

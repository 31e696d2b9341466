"""Forks: the bytes that they start with, lives of their own, and who needs whose objects."""

from __future__ import annotations

from dataclasses import replace

import apsw
import pytest

from past.conftest import content_of
from past.test_opening import bytes_of
from past.workload import SETTING, scripts
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import ConflictError, InvalidArgumentError, NotFoundError, S3VFSError
from sqlite_s3vfs.format.manifest import State
from sqlite_s3vfs.past import Moment, collect, fork, forks, open_at, remove, verify

DAY = 86_400
CHILD, GRANDCHILD = "some/child", "some/database/grandchild"


@pytest.fixture
def recorded(record):
    recorded = record(block_size=4095, retention_seconds=DAY)
    recorded.connection.execute(SETTING).fetchall()
    recorded.record()
    for number, script in enumerate(scripts(14)):
        if number % 5 == 4:
            recorded.database.fold()
        recorded.commit(script)
    return recorded


def keys(store, prefix: str = "") -> set[str]:
    return {row.key for row in store.list(prefix)}


def collected(database, clock, times: int = 2) -> None:
    """Collections with so much time between them that nothing is too young."""
    for _ in range(times):
        clock.advance(4000)
        collect(database)


def test_every_version_can_be_forked(recorded, fresh):
    for version, content in recorded.versions.items():
        child = f"child/{version}"

        snapshot = fork(fresh(), fresh(child), Moment(version=version))

        assert bytes_of(snapshot) == content_of(fresh(child)) == content
    assert {(fork.child_prefix, fork.version) for fork in forks(fresh())} == {
        (f"child/{version}", version) for version in recorded.versions
    }


def test_both_go_their_own_ways(recorded, fresh, record):
    before = content_of(fresh())
    fork(fresh(), fresh(CHILD))
    child = record(name=CHILD)

    for script in scripts(12)[1:]:
        child.commit(script)
        assert content_of(fresh()) == before
    with_child = content_of(fresh(CHILD))
    for script in scripts(12)[1:]:
        recorded.commit(script)

    assert content_of(fresh(CHILD)) == with_child
    for database in (child, recorded):
        assert database.connection.execute("pragma integrity_check").get == "ok"
        for version, content in database.versions.items():
            assert bytes_of(open_at(fresh(database.name), Moment(version=version))) == content


def test_a_child_has_no_past_of_its_parent(recorded, fresh):
    first = fork(fresh(), fresh(CHILD)).version

    with pytest.raises(NotFoundError):
        open_at(fresh(CHILD), Moment(version=first - 1))
    with pytest.raises(NotFoundError):
        open_at(fresh(CHILD), Moment(at="-3d"))


def test_names_that_are_taken(recorded, fresh, record):
    with pytest.raises(InvalidArgumentError, match="a name of its own"):
        fork(fresh(), fresh())
    record(name=CHILD).commit("create table t(a)")
    before = content_of(fresh(CHILD))
    with pytest.raises(InvalidArgumentError, match="there is a database"):
        fork(fresh(), fresh(CHILD))
    assert content_of(fresh(CHILD)) == before
    assert forks(fresh()) == ()


def test_the_cost_of_a_fork(recorded, fresh, memory):
    """In a process that has written nothing so far: the parent's manifest tells that writing is safe."""
    database = fresh()
    assert not database.engine.conditions_proven
    requests = []
    database.engine.store.on_request = requests.append

    fork(database, Database(database.engine, CHILD))

    assert len(requests) <= 10
    assert keys(memory, f"{CHILD}/") == {f"{CHILD}/manifest"}


def test_a_fork_in_the_making_is_no_database(recorded, fresh, monkeypatch, record):
    monkeypatch.setattr("sqlite_s3vfs.past.forking._activate", die)
    monkeypatch.setattr("sqlite_s3vfs.past.forking._tidy_up", lambda *arguments: None)
    with pytest.raises(Died):
        fork(fresh(), fresh(CHILD))

    with pytest.raises(NotFoundError, match="a fork is being made"):
        fresh(CHILD).snapshot()
    with pytest.raises(NotFoundError):
        collect(fresh(CHILD))
    with pytest.raises(apsw.IOError, match="a fork is being made"):
        record(name=CHILD).connection.execute("create table t(a)")

    remove(fresh(CHILD))

    assert forks(fresh()) == ()
    record(name=CHILD).connection.execute("create table t(a)")


def test_a_fork_that_fails_leaves_nothing(recorded, fresh, monkeypatch):
    monkeypatch.setattr("sqlite_s3vfs.past.forking._activate", die)

    with pytest.raises(Died):
        fork(fresh(), fresh(CHILD))

    assert forks(fresh()) == ()
    assert not fresh(CHILD).snapshot().manifest.commits
    monkeypatch.undo()
    assert bytes_of(fork(fresh(), fresh(CHILD))) == content_of(fresh())


def test_a_fork_that_was_cut_off_is_given_up(recorded, fresh, monkeypatch, clock):
    monkeypatch.setattr("sqlite_s3vfs.past.forking._activate", die)
    monkeypatch.setattr("sqlite_s3vfs.past.forking._tidy_up", lambda *arguments: None)
    with pytest.raises(Died):
        fork(fresh(), fresh(CHILD))
    collect(fresh())
    assert len(forks(fresh())) == 1                     # it may still be at work

    clock.advance(4000)

    assert collect(fresh()).unpinned == (CHILD,)
    assert forks(fresh()) == ()
    assert fresh(CHILD).manifests.latest().manifest.state is State.ABORTED


def test_one_that_was_given_up_does_not_go_live(recorded, fresh, monkeypatch, clock):
    """A stalled maker of a fork: its parent's collection came first (invariant I7)."""
    from sqlite_s3vfs.past import forking

    activate = forking._activate

    def stalled(database, kept, child, place):
        clock.advance(4000)
        collect(fresh())
        return activate(database, kept, child, place)

    monkeypatch.setattr(forking, "_activate", stalled)

    with pytest.raises(S3VFSError):
        fork(fresh(), fresh(CHILD))
    assert not fresh(CHILD).snapshot().manifest.commits


@pytest.mark.parametrize("order", ["parent first", "child first", "grandchild first"])
def test_removal_in_any_order(recorded, fresh, record, clock, memory, order):
    """What is left reads as before; in the end nothing is left but the tombstones."""
    versions = sorted(recorded.versions)
    fork(fresh(), fresh(CHILD), Moment(version=versions[-3]))
    child = record(name=CHILD, retention_seconds=DAY)
    child.commit("insert into t(body) values(randomblob(5000))")
    fork(fresh(CHILD), fresh(GRANDCHILD))
    names = {"parent": "some/database", "child": CHILD, "grandchild": GRANDCHILD}
    first = order.split()[0]
    left = dict.fromkeys([first, *names])
    expected = {name: content_of(fresh(name)) for name in names.values()}

    for name in left:
        remove(fresh(names[name]))
        del expected[names[name]]
        for _ in range(2):
            for each in names.values():
                collected(fresh(each), clock, times=1)
            for other, content in expected.items():
                assert content_of(fresh(other)) == content
    for _ in range(3):
        for each in names.values():
            collected(fresh(each), clock, times=1)

    assert keys(memory) == {f"{name}/manifest" for name in names.values()}


def test_a_child_lets_its_parent_go(recorded, fresh, record, clock):
    """As soon as nothing that is kept of it refers to the parent's objects."""
    fork(fresh(), fresh(CHILD))
    child = record(name=CHILD)
    collected(fresh(CHILD), clock)
    assert len(forks(fresh())) == 1

    child.connection.execute("delete from t; delete from other; vacuum").fetchall()
    child.database.fold()
    child.commit("insert into t(body) values('on blocks of its own')")
    head = child.database.version().origin.head
    later = replace(head.manifest, oldest_readable=head.manifest.version, history=(), died=())
    child.database.manifests.maintain(head, later, lambda found: False)
    collected(fresh(CHILD), clock)

    assert forks(fresh()) == ()


def test_removing_the_parent_while_it_is_forked(recorded, fresh, monkeypatch):
    from sqlite_s3vfs.past import forking

    pinned = forking._pinned

    def removed_before(database, base, pin):
        monkeypatch.undo()
        remove(fresh())
        return pinned(database, base, pin)

    monkeypatch.setattr(forking, "_pinned", removed_before)

    with pytest.raises((ConflictError, NotFoundError)):
        fork(fresh(), fresh(CHILD))
    assert not fresh(CHILD).snapshot().manifest.commits


class Died(BaseException):
    """The process was killed here."""


def die(*arguments: object) -> None:
    raise Died


def test_a_grandchild_in_the_place_of_its_grandparent(recorded, fresh, clock):
    """Objects of a database that was removed from here are borrowed, and verified as such."""
    fork(fresh(), fresh(CHILD))
    expected = content_of(fresh())
    remove(fresh())

    fork(fresh(CHILD), fresh())

    for _ in range(2):
        for name in ("some/database", CHILD):
            assert content_of(fresh(name)) == expected
            assert verify(fresh(name)).findings == ()
            collected(fresh(name), clock, times=1)

"""How old what is read may be: the newest version, a bounded age, or one version for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apsw
import pytest

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Open = Callable[..., apsw.Connection]
FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The time of every VFS made from here on."""
    clock = ManualClock()
    monkeypatch.setattr("sqlite_s3vfs.engine.SystemClock", lambda: clock)
    return clock


@pytest.fixture
def open_through() -> Iterator[Open]:
    opened: list[apsw.Connection] = []

    def open_connection(vfs: S3VFS, **parameters: str) -> apsw.Connection:
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        opened.append(apsw.Connection(f"file:db?{query}", flags=FLAGS, vfs=vfs.name))
        return opened[-1]

    yield open_connection
    for connection in opened:
        connection.close(force=True)


@pytest.fixture
def writer(clock: ManualClock, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
           open_through: Open) -> apsw.Connection:
    connection = open_through(make_vfs(store))
    connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    return connection


def value(connection: apsw.Connection) -> int:
    return connection.execute("SELECT max(a) FROM t").get


def requests(vfs: S3VFS) -> int:
    return vfs.metrics().total.requests


def test_by_default_every_transaction_sees_the_newest_version(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open,
):
    reader = open_through(make_vfs(store))
    assert value(reader) == 1

    writer.execute("INSERT INTO t VALUES (2)")

    assert value(reader) == 2


def test_within_its_age_a_version_costs_no_request(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open, clock: ManualClock,
):
    vfs = make_vfs(store, max_age_seconds=10)
    reader = open_through(vfs)
    assert value(reader) == 1
    before = requests(vfs)

    writer.execute("INSERT INTO t VALUES (2)")
    clock.advance(9.9)

    assert value(reader) == 1
    assert requests(vfs) == before
    clock.advance(0.2)
    assert value(reader) == 2
    assert requests(vfs) == before + 1


def test_a_connection_may_say_how_old_it_takes(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open, clock: ManualClock,
):
    vfs = make_vfs(store, max_age_seconds=1000)
    patient, strict = open_through(vfs), open_through(vfs, max_age="0")
    assert value(patient) == value(strict) == 1

    writer.execute("INSERT INTO t VALUES (2)")
    clock.advance(500)

    assert value(patient) == 1
    assert value(strict) == 2
    assert value(patient) == 2, "what one connection has learned all others know"


def test_own_commits_are_seen_at_once(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open,
):
    vfs = make_vfs(store, max_age_seconds=1000)
    one, other = open_through(vfs), open_through(vfs)
    assert value(one) == value(other) == 1

    one.execute("INSERT INTO t VALUES (7)")

    assert value(one) == value(other) == 7


def test_a_refused_commit_makes_the_next_transaction_look(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open,
):
    connection = open_through(make_vfs(store, max_age_seconds=1000))
    assert value(connection) == 1
    writer.execute("INSERT INTO t VALUES (2)")

    with pytest.raises(apsw.BusyError):
        connection.execute("INSERT INTO t VALUES (3)")

    assert value(connection) == 2
    connection.execute("INSERT INTO t VALUES (3)")
    assert value(writer) == 3


def test_an_immutable_connection_stays_with_its_version_for_no_request(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open, clock: ManualClock,
):
    vfs = make_vfs(store)
    pinned = open_through(vfs, immutable="1")
    assert value(pinned) == 1
    before = requests(vfs)

    writer.execute("INSERT INTO t VALUES (2)")
    clock.advance(10_000)

    assert value(pinned) == 1
    assert requests(vfs) == before


@pytest.mark.parametrize("age", ["-1", "soon", "nan", "inf", ""])
def test_what_is_no_age_is_refused(
    writer: apsw.Connection, store: MemoryObjectStore, make_vfs: Callable[..., S3VFS],
    open_through: Open, age: str,
):
    with pytest.raises(apsw.Error, match="max_age"):
        open_through(make_vfs(store), max_age=age)


@pytest.mark.parametrize("age", [-1, float("nan"), float("inf"), True, "1"])
def test_a_setting_that_is_no_age_is_refused(age: object):
    with pytest.raises(InvalidArgumentError, match="max_age"):
        Settings(max_age_seconds=age)  # type: ignore[arg-type]

"""Waiting for the write lock: busy_timeout among threads, and transactions that are run again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import apsw
import pytest

from sqlite_s3vfs.clock import SystemClock
from sqlite_s3vfs.errors import (
    CommitUnknownError,
    InvalidArgumentError,
    StoreUnavailableError,
)
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.testing.faults import FOREVER, At, Fail, FaultyStore, puts_of
from sqlite_s3vfs.vfs.retry import run_transaction
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect


@pytest.fixture
def holder(connect: Connect) -> apsw.Connection:
    """A connection that is in the middle of a write transaction."""
    connection = connect("db")
    connection.execute("CREATE TABLE t (n); INSERT INTO t VALUES (0)")
    connection.execute("BEGIN IMMEDIATE; UPDATE t SET n = n + 1")
    return connection


def increment(connection: apsw.Connection) -> int:
    number = int(connection.execute("SELECT n FROM t").get)
    connection.execute("UPDATE t SET n = ?", (number + 1,))
    return number + 1


def test_without_a_timeout_busy_is_told_at_once(holder: apsw.Connection, connect: Connect) -> None:
    waiter = connect("db")

    with pytest.raises(apsw.BusyError) as caught:
        waiter.execute("BEGIN IMMEDIATE")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY
    assert not waiter.in_transaction
    assert waiter.execute("SELECT n FROM t").get == 0  # readers do not wait
    holder.execute("COMMIT")
    waiter.execute("BEGIN IMMEDIATE; UPDATE t SET n = n + 1; COMMIT")
    assert holder.execute("SELECT n FROM t").get == 2


def test_the_timeout_is_kept_and_waiting_asks_the_store_nothing(
    holder: apsw.Connection, connect: Connect, vfs: S3VFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite tries about 10 times in 300 ms; only the first one costs a conditional GET."""
    waiter, clock = connect("db"), ManualClock()
    waiter.set_busy_timeout(300)
    monkeypatch.setattr(vfs._engine, "clock", clock)
    before, started = vfs.metrics(), clock.monotonic()

    with pytest.raises(apsw.BusyError):
        waiter.execute("BEGIN IMMEDIATE")

    assert 0.25 < clock.monotonic() - started < 0.31
    assert (vfs.metrics() - before).total.requests == 1
    assert waiter.execute("SELECT n FROM t").get == 0


def test_a_waiting_thread_begins_on_what_the_other_has_committed(
    holder: apsw.Connection, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder commits as soon as the waiter sleeps for the third time."""
    waiter = connect("db")
    waiter.set_busy_timeout(60_000)
    sleeps = threading.Semaphore(0)
    sleep = S3VFS.xSleep

    def note_and_sleep(vfs: S3VFS, microseconds: int) -> int:
        sleeps.release()
        return sleep(vfs, microseconds)

    monkeypatch.setattr(S3VFS, "xSleep", note_and_sleep)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            lambda: (
                waiter.execute("BEGIN IMMEDIATE; UPDATE t SET n = n + 1; COMMIT; SELECT n FROM t").get
            )
        )
        for _ in range(3):
            assert sleeps.acquire(timeout=30)
        holder.execute("COMMIT")

        assert waiting.result(timeout=30) == 2


def test_who_gave_up_waiting_may_read(holder: apsw.Connection, connect: Connect) -> None:
    """The refusal from memory is for SQLite's next try only, not for the statements after it."""
    waiter = connect("db")
    waiter.set_busy_timeout(20)
    for _ in range(3):
        with pytest.raises(apsw.BusyError):
            waiter.execute("INSERT INTO t VALUES (1)")
        assert waiter.execute("SELECT n FROM t").get == 0


class SharingClock(SystemClock):
    """Sleeps on until another thread has had its turn, and counts the sleeps."""

    def __init__(self) -> None:
        self.turns = self.shared = 0

    def sleep(self, seconds: float) -> None:
        before = self.turns
        while self.turns == before:
            super().sleep(seconds)
        self.shared += 1


@pytest.mark.timeout(120)
def test_a_sleeping_busy_handler_lets_other_threads_run(
    holder: apsw.Connection, connect: Connect, vfs: S3VFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inherited xSleep would keep the global interpreter lock."""
    waiter, clock = connect("db"), SharingClock()
    waiter.set_busy_timeout(100)
    monkeypatch.setattr(vfs._engine, "clock", clock)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.execute, "BEGIN IMMEDIATE")
        while not waiting.done():
            clock.turns += 1
            time.sleep(0)               # gives the lock away

    assert isinstance(waiting.exception(), apsw.BusyError)
    assert clock.shared > 3


def test_a_busy_handler_of_ones_own_works(holder: apsw.Connection, connect: Connect) -> None:
    waiter = connect("db")

    def commit_then_go_on(tries: int) -> bool:
        if tries == 2:
            holder.execute("COMMIT")
        return tries < 5

    waiter.set_busy_handler(commit_then_go_on)
    waiter.execute("BEGIN IMMEDIATE; UPDATE t SET n = n + 1; COMMIT")

    assert waiter.execute("SELECT n FROM t").get == 2


@pytest.mark.slow
@pytest.mark.parametrize("busy_timeout", [0, 10_000])
@pytest.mark.parametrize("processes", [1, 8])
def test_eight_threads_lose_no_increment(
    connect: Connect, make_vfs: Callable[..., S3VFS], processes: int, busy_timeout: int
) -> None:
    """In one process they queue at the write lock; in eight they meet at the put."""
    each = 15
    connect("db").execute("CREATE TABLE t (n); INSERT INTO t VALUES (0)")
    shared = [make_vfs() for _ in range(processes)]
    connections = [connect("db", through=shared[n % processes]) for n in range(8)]

    def work(connection: apsw.Connection) -> None:
        connection.set_busy_timeout(busy_timeout)
        for _ in range(each):
            run_transaction(connection, increment, attempts=1000)

    with ThreadPoolExecutor(8) as pool:
        for finished in [pool.submit(work, connection) for connection in connections]:
            finished.result(timeout=120)

    assert connect("db").execute("SELECT n FROM t").get == 8 * each


@pytest.mark.slow
def test_threads_with_a_timeout_alone_lose_no_increment(connect: Connect) -> None:
    """Ordinary code without run_transaction, as on a file."""
    connect("db").execute("CREATE TABLE t (n); INSERT INTO t VALUES (0)")

    def work(connection: apsw.Connection) -> None:
        connection.set_busy_timeout(60_000)
        for _ in range(10):
            connection.execute("BEGIN IMMEDIATE")
            increment(connection)
            connection.execute("COMMIT")

    with ThreadPoolExecutor(4) as pool:
        for finished in [pool.submit(work, connect("db")) for _ in range(4)]:
            finished.result(timeout=120)

    assert connect("db").execute("SELECT n FROM t").get == 40


class TestRunTransaction:
    """What is run again, and what is not."""

    @pytest.fixture
    def connection(self, connect: Connect) -> apsw.Connection:
        connection = connect("db")
        connection.execute("CREATE TABLE t (n); INSERT INTO t VALUES (0)")
        return connection

    def test_it_returns_what_the_function_returned(self, connection: apsw.Connection) -> None:
        assert run_transaction(connection, increment) == 1
        assert not connection.in_transaction

    def test_a_conflict_is_run_again_on_the_newest_version(
        self, connection: apsw.Connection, connect: Connect, make_vfs: Callable[..., S3VFS]
    ) -> None:
        other = connect("db", through=make_vfs())
        clock, runs = ManualClock(), 0

        def meet(connection: apsw.Connection) -> int:
            nonlocal runs
            runs += 1
            if runs < 4:
                other.execute("UPDATE t SET n = n + 100")
            return increment(connection)

        assert run_transaction(connection, meet, clock=clock) == 301
        assert runs == 4
        assert 0 < clock.monotonic() < 0.005 + 0.010 + 0.020

    def test_attempts_are_bounded(
        self, connection: apsw.Connection, connect: Connect, make_vfs: Callable[..., S3VFS]
    ) -> None:
        other = connect("db", through=make_vfs())
        clock, runs = ManualClock(), 0

        def meet(connection: apsw.Connection) -> None:
            nonlocal runs
            runs += 1
            other.execute("UPDATE t SET n = n + 100")
            increment(connection)

        with pytest.raises(apsw.BusyError, match="run the transaction again"):
            run_transaction(connection, meet, attempts=12, clock=clock)

        assert runs == 12
        assert clock.monotonic() < 12  # no pause is longer than a second
        assert not connection.in_transaction

    def test_an_error_of_the_function_rolls_back_and_is_raised(
        self, connection: apsw.Connection
    ) -> None:
        def fail(connection: apsw.Connection) -> None:
            increment(connection)
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            run_transaction(connection, fail)

        assert not connection.in_transaction
        assert connection.execute("SELECT n FROM t").get == 0

    @pytest.mark.usefixtures("_no_waiting")
    def test_an_unknown_commit_is_never_run_again(
        self,
        connect: Connect,
        connection: apsw.Connection,
        make_vfs: Callable[..., S3VFS],
        store: ObjectStore,
    ) -> None:
        faulty, runs = FaultyStore(store), 0
        through_faulty = connect("db", through=make_vfs(faulty))

        def count_and_increment(connection: apsw.Connection) -> None:
            nonlocal runs
            runs += 1
            faulty.plan(At(0, Fail(silence=FOREVER), puts_of("db/manifest")))
            increment(connection)

        with pytest.raises(apsw.IOError) as caught:
            run_transaction(through_faulty, count_and_increment)

        assert isinstance(caught.value.__cause__, CommitUnknownError)
        assert runs == 1

    def test_an_outage_before_the_commit_is_tried_again(
        self,
        connect: Connect,
        connection: apsw.Connection,
        make_vfs: Callable[..., S3VFS],
        store: ObjectStore,
    ) -> None:
        faulty, runs = FaultyStore(store), 0
        through_faulty = connect("db", through=make_vfs(faulty))
        through_faulty.execute("INSERT INTO t VALUES ('the store is proven now')")

        def grow(connection: apsw.Connection) -> None:
            nonlocal runs
            runs += 1
            connection.execute("INSERT INTO t VALUES (randomblob(500000))")
            if runs == 1:
                faulty.plan(At(0, Fail(), puts_of("")))

        run_transaction(through_faulty, grow, clock=ManualClock())

        assert runs == 2
        assert connection.execute("SELECT count(*) FROM t").get == 3

    def test_it_does_not_nest(self, connection: apsw.Connection) -> None:
        connection.execute("BEGIN")

        with pytest.raises(InvalidArgumentError, match="already"):
            run_transaction(connection, increment)

        assert connection.in_transaction
        connection.execute("ROLLBACK")
        with pytest.raises(InvalidArgumentError, match="attempts=0"):
            run_transaction(connection, increment, attempts=0)

    def test_a_store_that_is_down_at_the_begin_is_not_busy(
        self,
        connect: Connect,
        connection: apsw.Connection,
        make_vfs: Callable[..., S3VFS],
        store: ObjectStore,
    ) -> None:
        faulty = FaultyStore(store)
        through_faulty = connect("db", through=make_vfs(faulty))
        faulty.plan(At(0, Fail(silence=FOREVER)))

        with pytest.raises(apsw.IOError) as caught:
            run_transaction(through_faulty, increment)

        assert isinstance(caught.value.__cause__, StoreUnavailableError)

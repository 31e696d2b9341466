"""The store fails, at every call in turn: what SQLite says is true, and the same connection goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import apsw
import pytest

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    CommitUnknownError,
    CorruptError,
    S3VFSError,
    StoreUnavailableError,
)
from sqlite_s3vfs.store.port import Fetched, ObjectStore
from sqlite_s3vfs.testing.faults import (
    FOREVER,
    At,
    Attempt,
    CarryOutTwice,
    Fail,
    Fault,
    FaultyStore,
    Line,
    LoseAnswer,
    StoreCall,
    T,
    puts_of,
)
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect

LARGE = (
    "INSERT INTO t SELECT hex(randomblob(1000)) FROM "
    "(WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n)"
)
"""More than the tail of a manifest takes."""

uploads = puts_of("")
"""Every put: the first of a large commit is an upload."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The call is answered with an error, and not carried out."""

    error: S3VFSError

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        raise self.error


pytestmark = pytest.mark.usefixtures("_no_waiting")


@pytest.fixture
def faulty(store: ObjectStore) -> FaultyStore:
    return FaultyStore(store)


@pytest.fixture
def connection(connect: Connect, make_vfs: Callable[..., S3VFS], faulty: FaultyStore) -> apsw.Connection:
    """A connection over ``faulty``, whose table has one row."""
    connection = connect("db", through=make_vfs(faulty))
    connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES ('old')")
    return connection


def count(connection: apsw.Connection) -> int:
    assert connection.pragma("integrity_check") == "ok"
    return int(connection.execute("SELECT count(*) FROM t").get)


def test_an_outage_during_the_upload_leaves_the_transaction_open(
    connection: apsw.Connection, faulty: FaultyStore, connect: Connect
) -> None:
    """Nothing was committed, so COMMIT may be repeated, or the transaction rolled back."""
    for end, expected in (("COMMIT", 201), ("ROLLBACK", 201)):
        connection.execute("BEGIN").execute(LARGE)
        faulty.plan(At(0, Fail(silence=FOREVER), uploads))

        with pytest.raises(apsw.BusyError) as caught:
            connection.execute("COMMIT")

        assert isinstance(caught.value.__cause__, StoreUnavailableError)
        assert connection.in_transaction
        faulty.heal()
        connection.execute(end)
        assert count(connection) == count(connect("db")) == expected


def test_an_outage_during_a_statement_on_its_own_rolls_it_back(
    connection: apsw.Connection, faulty: FaultyStore, connect: Connect
) -> None:
    faulty.plan(At(0, Fail(silence=FOREVER), uploads))

    with pytest.raises(apsw.BusyError):
        connection.execute(LARGE)
    faulty.heal()

    assert count(connection) == count(connect("db")) == 1
    connection.execute(LARGE)
    assert count(connection) == count(connect("db")) == 201


@pytest.mark.parametrize("happened", [False, True])
@pytest.mark.parametrize("journal_mode", ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"])
def test_a_commit_without_an_answer_is_unknown_and_the_next_read_tells(
    connection: apsw.Connection,
    faulty: FaultyStore,
    connect: Connect,
    journal_mode: str,
    *,
    happened: bool,
) -> None:
    connection.pragma("journal_mode", journal_mode)
    fault: Fault = LoseAnswer(silence=FOREVER) if happened else Fail(silence=FOREVER)
    faulty.plan(At(0, fault, puts_of("db/manifest")))

    with pytest.raises(apsw.IOError) as caught:
        connection.execute("INSERT INTO t VALUES ('unknown')")

    assert isinstance(caught.value.__cause__, CommitUnknownError)
    assert not connection.in_transaction
    faulty.heal()
    expected = 1 + happened
    assert count(connection) == count(connect("db")) == expected
    connection.execute("INSERT INTO t VALUES ('after')")
    assert count(connection) == count(connect("db")) == expected + 1


def test_a_refused_put_rolls_back(
    connection: apsw.Connection, faulty: FaultyStore, connect: Connect
) -> None:
    faulty.plan(At(0, Refuse(AccessDeniedError("no right to put. key='db/manifest'")), uploads))

    with pytest.raises(apsw.PermissionsError, match="no right to put") as caught:
        connection.execute("INSERT INTO t VALUES ('denied')")

    assert isinstance(caught.value.__cause__, AccessDeniedError)
    assert not connection.in_transaction
    assert count(connection) == count(connect("db")) == 1
    connection.execute("INSERT INTO t VALUES ('after')")
    assert count(connect("db")) == 2


def test_reading_while_the_store_is_down_fails_and_works_afterwards(
    connection: apsw.Connection, faulty: FaultyStore
) -> None:
    faulty.plan(At(0, Fail(silence=FOREVER)))
    for sql in ("SELECT * FROM t", "INSERT INTO t VALUES (1)", "BEGIN IMMEDIATE", "PRAGMA user_version"):
        with pytest.raises(apsw.IOError) as caught:
            connection.execute(sql).fetchall()
        assert isinstance(caught.value.__cause__, StoreUnavailableError)
        assert not connection.in_transaction

    faulty.heal()

    assert count(connection) == 1
    connection.execute("INSERT INTO t VALUES (1)")
    assert count(connection) == 2


def test_a_page_that_cannot_be_read_fails_its_statement_only(
    connection: apsw.Connection, connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore
) -> None:
    connection.execute(LARGE)
    faulty = FaultyStore(store)
    reader = connect("db", through=make_vfs(faulty))
    reader.execute("BEGIN; SELECT count(*) FROM sqlite_schema")
    faulty.plan(At(0, Fail(silence=FOREVER)))

    with pytest.raises(apsw.IOError) as caught:
        count(reader)
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    faulty.heal()

    if reader.in_transaction:
        reader.execute("ROLLBACK")
    assert count(reader) == 201


def test_damaged_bytes_are_corruption_and_not_for_ever(
    connection: apsw.Connection, connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore
) -> None:
    connection.execute(LARGE)
    key = next(row.key for row in store.list("db/segments/") if row.size > 1000)
    found = store.get(key)
    assert isinstance(found, Fetched)
    damaged = bytearray(found.body)
    damaged[-50:] = bytes(50)
    store.put(key, bytes(damaged).replace(damaged[300:400], bytes(100)))
    reader = connect("db", through=make_vfs())

    with pytest.raises(apsw.CorruptError) as caught:
        reader.execute("SELECT sum(length(v)) FROM t").fetchall()
    assert isinstance(caught.value.__cause__, CorruptError)
    assert key in str(caught.value)
    store.put(key, found.body)

    assert count(reader) == 201


def test_a_store_that_fails_at_open_says_why(
    make_vfs: Callable[..., S3VFS], connect: Connect, faulty: FaultyStore, connection: apsw.Connection
) -> None:
    faulty.plan(At(0, Refuse(AccessDeniedError("no right to get. key='db/manifest'"))))
    vfs = make_vfs(faulty)

    with pytest.raises(apsw.PermissionsError, match="no right to get"):
        connect("db", through=vfs, mode="rw")

    assert count(connect("db", through=vfs, mode="rw")) == 1


FAULTS: list[Fault] = [
    Fail(),
    Fail(silence=3),
    LoseAnswer(),
    LoseAnswer(silence=3),
    CarryOutTwice(),
    Refuse(AccessDeniedError("denied.")),
]


@pytest.mark.slow
@pytest.mark.parametrize("journal_mode", ["DELETE", "MEMORY"])
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_after_any_failure_the_same_connection_goes_on(
    connect: Connect, make_vfs: Callable[..., S3VFS], store: ObjectStore, fault: Fault, journal_mode: str
) -> None:
    """Strike each call of some work in turn. Each transaction adds a row of its own: in the end those
    are there that were reported done, and none that was reported undone."""
    witness_vfs = make_vfs()
    for number in itertools.count():
        faulty, name = FaultyStore(store), f"db{number}"
        faulty.plan(At(number, fault))

        done, unknown = _work(connect(name, through=make_vfs(faulty)), faulty, journal_mode)

        there = _labels(connect(name, through=witness_vfs))
        assert done <= there <= done | unknown
        assert len(done | unknown) >= 5
        if not faulty.struck:
            assert not unknown
            return


def _work(
    connection: apsw.Connection, faulty: FaultyStore, journal_mode: str
) -> tuple[set[str], set[str]]:
    """Some small and large transactions; which were reported done, and of which nothing is known."""
    done: set[str] = set()
    unknown: set[str] = set()
    _insist(faulty, lambda: connection.pragma("journal_mode", journal_mode))
    for label in ("small", "large", "again", "explicit", "other", "last"):
        try:
            _transaction(connection, label)
        except apsw.Error as error:
            if isinstance(error.__cause__, CommitUnknownError):
                unknown.add(label)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        else:
            done.add(label)
        faulty.heal()
        assert _insist(faulty, lambda: connection.pragma("integrity_check")) == "ok"
        there = _insist(faulty, lambda: _labels(connection)) if done else set()
        assert done <= there <= done | unknown
    return done, unknown


def _labels(connection: apsw.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT v FROM t")}


def _insist(faulty: FaultyStore, ask: Callable[[], T]) -> T:
    """What is only asked may be asked again."""
    try:
        return ask()
    except apsw.Error:
        faulty.heal()
        return ask()


def _transaction(connection: apsw.Connection, label: str) -> None:
    connection.execute("BEGIN" if label == "explicit" else "BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS t (v, w)")
    connection.execute("INSERT INTO t VALUES (?, NULL)", (label,))
    if label == "large":
        connection.execute("UPDATE t SET w = randomblob(200000)")
    connection.execute("COMMIT")

"""One Database for all handles of a name, kept for a while after the last one."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import apsw
import pytest

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.databases import IDLE_MAX, OpenDatabases
from sqlite_s3vfs.vfs.session import Session
from vfs.conftest import Connect


@pytest.fixture
def databases() -> OpenDatabases:
    return OpenDatabases(Engine(MemoryObjectStore()))


def open_session(databases: OpenDatabases, prefix: str) -> Session:
    return databases.open(prefix, create=True, read_only=False, immutable=False)


def test_handles_of_one_name_share_a_database(databases: OpenDatabases) -> None:
    one, two, other = (open_session(databases, name) for name in ("a", "a", "b"))

    assert one.database is two.database is databases.database("a")
    assert other.database is not one.database
    databases.closed(one)
    assert databases.is_open("a")
    databases.closed(two)
    assert not databases.is_open("a")


def test_an_idle_database_is_kept_until_many_others_were_used(databases: OpenDatabases) -> None:
    first = databases.database("first")
    used = open_session(databases, "used")
    assert databases.database("first") is first

    for number in range(2 * IDLE_MAX):
        databases.database(f"other{number}")

    assert databases.database("first") is not first
    assert databases.database("used") is used.database


def test_after_closing_nothing_is_opened(databases: OpenDatabases) -> None:
    session = open_session(databases, "a")
    databases.close()

    with pytest.raises(InvalidArgumentError, match="closed"):
        open_session(databases, "a")
    with pytest.raises(InvalidArgumentError, match="closed"):
        databases.database("b")
    databases.closed(session)


@pytest.mark.slow
def test_threads_that_open_and_close_do_not_get_in_each_others_way(connect: Connect) -> None:
    """With garbage collection closing connections in the middle of it."""
    vfs = connect("db").open_vfs

    def work(number: int) -> None:
        for round_ in range(30):
            connection = apsw.Connection(f"db{(number + round_) % 40}", vfs=vfs)
            connection.set_busy_timeout(30_000)
            connection.execute("CREATE TABLE IF NOT EXISTS t (v)")
            connection.execute("INSERT INTO t VALUES (1)")
            cycle: list[object] = [connection]
            cycle.append(cycle)

    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(6) as pool:
            for finished in [pool.submit(work, 7 * number) for number in range(6)]:
                finished.result(timeout=120)
    finally:
        gc.set_threshold(*threshold)
        gc.collect()
    total = sum(connect(f"db{n}").execute("SELECT count(*) FROM t").get for n in range(40))
    assert total == 6 * 30

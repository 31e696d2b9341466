"""What reading costs, in requests: lookups, scans, rows in index order, two threads at one block."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from reads.conftest import Connect
from sqlite_s3vfs.fetching import Flight, Flights
from sqlite_s3vfs.metrics import RequestRecord
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Imported = Callable[..., MemoryObjectStore]
MakeVFS = Callable[..., S3VFS]
FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


def watch(vfs: S3VFS) -> list[RequestRecord]:
    """The requests of a VFS from now on."""
    records: list[RequestRecord] = []
    vfs._engine.store.on_request = records.append
    return records


class AtOnce(InlinePool):
    """What is to be fetched in advance comes before SQLite goes on, whatever threads would do."""

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        return self._size


@pytest.fixture
def in_time(imported: Imported, make_vfs: MakeVFS) -> S3VFS:
    """A VFS over the imported database in which nothing that is fetched in advance comes too late."""
    vfs = make_vfs(imported(block_size=1024))
    vfs._engine.advance._pool = AtOnce(vfs._engine.pool.size)
    return vfs


def kinds(records: list[RequestRecord]) -> list[str]:
    """Which objects were read, in order."""
    return [record.key.split("/")[1] for record in sorted(records, key=lambda record: record.started)]


@pytest.mark.usefixtures("_small_manifests")
def test_a_cold_lookup_is_the_manifest_the_map_and_one_block(
    imported: Imported, make_vfs: MakeVFS, connect: Connect
):
    vfs = make_vfs(imported(block_size=4096))
    records = watch(vfs)

    connect(vfs).execute("SELECT body FROM post WHERE id = 700").fetchall()

    assert sorted(kinds(records)) == ["manifest", "manifest", "maps", "segments"]


@pytest.mark.usefixtures("_small_manifests")
def test_a_further_lookup_is_one_block(imported: Imported, make_vfs: MakeVFS, connect: Connect):
    vfs = make_vfs(imported(block_size=4096))
    connection = connect(vfs)
    connection.execute("SELECT body FROM post WHERE id = 700").fetchall()
    records = watch(vfs)

    connection.execute("SELECT body FROM post WHERE id = 200").fetchall()

    assert kinds(records) == ["manifest", "segments"]


@pytest.mark.parametrize(("page_size", "block_size"), [(65536, 4096), (8192, 1024), (4096, 5000)])
def test_a_page_that_lies_in_several_blocks_is_one_request(
    make_vfs: MakeVFS, connect: Connect, tmp_path: Path, page_size: int, block_size: int
):
    plain = sqlite3.connect(tmp_path / "plain.db")
    plain.executescript(f"PRAGMA page_size={page_size}; CREATE TABLE a (b)")
    rows = [(n.to_bytes(2, "big") * 500,) for n in range(1500)]
    plain.executemany("INSERT INTO a VALUES (?)", rows)
    plain.commit()
    plain.close()
    store = MemoryObjectStore()
    make_vfs(store, block_size=block_size).deserialize_iter("db", [(tmp_path / "plain.db").read_bytes()])
    vfs = make_vfs(store, pool_size=1)          # nothing is fetched in advance
    connection = connect(vfs)
    connection.execute("SELECT b FROM a WHERE rowid = 1").fetchall()
    records = watch(vfs)

    assert connection.execute("SELECT b FROM a WHERE rowid = 800").fetchall() == rows[799:800]

    assert kinds(records) == ["manifest", "segments"]


def test_opening_a_small_database_is_one_request(make_vfs: MakeVFS, connect: Connect):
    store = MemoryObjectStore()
    connect(make_vfs(store)).execute("CREATE TABLE a (b); CREATE TABLE c (d)")
    vfs = make_vfs(store)
    records = watch(vfs)

    connection = connect(vfs)
    assert connection.table_exists("main", "sqlite_schema"), "reads the schema"
    assert kinds(records) == ["manifest"]

    connection.execute("BEGIN; SELECT * FROM a; SELECT * FROM c").fetchall()
    assert kinds(records) == ["manifest", "manifest"]


def test_reading_an_imported_database_of_three_pages_asks_for_manifests_only(
    make_vfs: MakeVFS, connect: Connect, tmp_path: Path
):
    plain = sqlite3.connect(tmp_path / "plain.db")
    plain.executescript("CREATE TABLE a (b); CREATE TABLE c (d); INSERT INTO a VALUES ('small')")
    plain.close()
    store = MemoryObjectStore()
    make_vfs(store).deserialize_iter("db", [(tmp_path / "plain.db").read_bytes()])
    vfs = make_vfs(store)
    records = watch(vfs)

    assert connect(vfs).execute("SELECT b FROM a, (SELECT count(*) FROM c)").get == "small"

    assert kinds(records) == ["manifest", "manifest"]
    connect(vfs).execute("INSERT INTO a VALUES ('more')")
    assert connect(make_vfs(store)).execute("SELECT count(*) FROM a").get == 2


def test_a_scan_asks_for_many_blocks_at_once_and_for_each_once(in_time: S3VFS, connect: Connect):
    records = watch(in_time)

    connect(in_time).execute("SELECT sum(length(body)) FROM post").fetchall()

    ahead = in_time.metrics().advance
    assert len(records) < 40
    assert 500_000 < ahead.used <= ahead.fetched <= ahead.used + 4096


def test_lookups_here_and_there_fetch_nothing_else(in_time: S3VFS, connect: Connect):
    connection = connect(in_time)

    for row in range(150, 1500, 200):
        connection.execute("SELECT body FROM post WHERE id = ?", (row,)).fetchall()

    assert in_time.metrics().advance.fetched == 0


def test_the_rows_of_an_index_are_fetched_side_by_side(in_time: S3VFS, connect: Connect):
    rows = connect(in_time).execute("SELECT * FROM post WHERE user = 7").fetchall()

    ahead = in_time.metrics().advance
    assert ahead.fetched > 1024 * (len(rows) - 4)
    assert ahead.used >= ahead.fetched - 3 * 1024


class GatedStore(MemoryObjectStore):
    """Reading segments waits until ``gate`` is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.was_asked = threading.Event()

    def get(self, key: str, **how: Any) -> Any:
        if "/segments/" in key:
            self.asked.append(f"{key} {how.get('byte_range')}")
            self.was_asked.set()
            assert self.gate.wait(120)
        return super().get(key, **how)


def two_readers_of_one_block(make_vfs: MakeVFS, plain_file: Any) -> list[str]:
    """What is asked for while two threads want the same block."""
    store = GatedStore()
    make_vfs(store).deserialize_iter("db", [plain_file.read_bytes()])
    vfs = make_vfs(store)
    database = vfs._databases.database("db")
    snapshots = [database.snapshot(), database.snapshot()]
    snapshots[0].locators([5])
    store.asked.clear()
    store.was_asked.clear()
    store.gate.clear()
    found: list[bytes] = []

    def read(snapshot: Any, started: threading.Event) -> None:
        started.set()
        found.append(bytes(snapshot.read(5 * 65536, 1024)))

    starts = [threading.Event(), threading.Event()]
    threads = [
        threading.Thread(target=read, args=pair) for pair in zip(snapshots, starts, strict=True)
    ]
    threads[0].start()
    assert store.was_asked.wait(120)
    threads[1].start()
    assert starts[1].wait(120)
    vfs._engine.pool.submit(store.gate.set).result()
    for thread in threads:
        thread.join(120)
    assert found[0] == found[1] == plain_file.read_bytes()[5 * 65536 : 5 * 65536 + 1024]
    return store.asked


def test_two_readers_of_one_missing_block_make_one_request(make_vfs: MakeVFS, plain_file: Any):
    assert len(two_readers_of_one_block(make_vfs, plain_file)) == 1


def test_a_block_that_came_between_the_look_and_the_claim_is_not_asked_for_again(
    imported: Imported, make_vfs: MakeVFS, plain_file: Path
):
    vfs = make_vfs(imported(block_size=4096))
    snapshot, other = (vfs._databases.database("db").snapshot() for _ in range(2))
    for each in (snapshot, other):
        each.locators([5])
    flights, records = vfs._engine.flights, watch(vfs)
    claim = flights.claim

    def late(*claimed: Any) -> Any:
        flights.claim = claim  # type: ignore[method-assign]
        other.fetch([5])
        return claim(*claimed)

    flights.claim = late  # type: ignore[method-assign]

    assert bytes(snapshot.fetch([5])[5]) == plain_file.read_bytes()[5 * 4096 : 6 * 4096]
    assert kinds(records) == ["segments"]


def test_the_pieces_of_a_small_map_come_together(make_vfs: MakeVFS, connect: Connect, tmp_path: Path):
    plain = sqlite3.connect(tmp_path / "plain.db")
    plain.execute("CREATE TABLE a (b)")
    plain.executemany("INSERT INTO a VALUES (?)", [(bytes(3000),)] * 1200)
    plain.commit()
    plain.close()
    store = MemoryObjectStore()
    make_vfs(store, block_size=512).deserialize_iter("db", [(tmp_path / "plain.db").read_bytes()])
    pieces = len(list(store.list("db/maps/")))
    vfs = make_vfs(store, pool_size=1)
    connection = connect(vfs)
    records = watch(vfs)

    connection.execute("SELECT b FROM a WHERE rowid = 1").fetchall()

    vfs._engine.pool.submit(lambda: None).result()      # its only thread is done with what was before
    assert kinds(records).count("maps") == pieces > 1
    records.clear()
    connection.execute("SELECT b FROM a WHERE rowid = 1100").fetchall()
    assert "maps" not in kinds(records)


def test_a_failed_request_is_not_the_failure_of_those_who_waited_for_it():
    flights, first, second = Flights(), Flight(), Flight()
    flights.claim(first, [(1, "a")])
    others = flights.claim(second, [(1, "a")])
    assert second.keys == []

    first.end()

    assert others[(1, "a")].wait() == {}
    assert flights.claim(second, [(1, "a")]) == {}
    assert second.keys == [(1, "a")], "now whoever wants it asks for itself"


@pytest.mark.parametrize("pool_size", [1, 2, 8])
def test_what_waits_in_the_queue_is_dropped_with_its_transaction(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, pool_size: int
):
    vfs = make_vfs(imported(block_size=1024), pool_size=pool_size)
    cursor = connect(vfs).execute("SELECT * FROM post")
    cursor.fetchone()

    cursor.close()

    assert not vfs._engine.advance._queue


@pytest.fixture
def warm(imported: Imported, make_vfs: MakeVFS, connect: Connect) -> S3VFS:
    """A VFS that has every block of the database in memory."""
    vfs = make_vfs(imported(block_size=4096))
    connect(vfs).execute("PRAGMA integrity_check").fetchall()
    return vfs


def everything(connection: apsw.Connection) -> None:
    """Read every page, whatever SQLite has of them."""
    connection.execute("PRAGMA shrink_memory; PRAGMA integrity_check").fetchall()


def test_of_a_small_foreign_commit_a_reader_asks_for_the_manifest_only(
    warm: S3VFS, store: MemoryObjectStore, make_vfs: MakeVFS, connect: Connect
):
    connection = connect(warm)
    everything(connection)
    connect(make_vfs(store)).execute("UPDATE post SET user = 61 WHERE id = 700")
    records = watch(warm)

    everything(connection)

    assert connection.execute("SELECT user FROM post WHERE id = 700").get == 61
    assert set(kinds(records)) == {"manifest"}


def test_of_a_large_foreign_commit_a_reader_asks_for_what_it_changed(
    warm: S3VFS, store: MemoryObjectStore, make_vfs: MakeVFS, connect: Connect
):
    connection = connect(warm)
    everything(connection)
    before = {row.key for row in store.list("db/segments/")}
    sql = "UPDATE post SET body = hex(randomblob(length(body) / 2)) WHERE id BETWEEN 400 AND 1100"
    connect(make_vfs(store)).execute(sql)
    records = watch(warm)

    everything(connection)

    asked = {record.key for record in records if "/segments/" in record.key}
    assert asked, "more than a manifest holds"
    assert asked <= {row.key for row in store.list("db/segments/")} - before
    records.clear()
    everything(connection)
    assert kinds(records) == ["manifest"] * len(records), "and for that once"


@pytest.mark.parametrize(
    ("parameters", "expected"), [("", 2), ("max_age=5", 1), ("immutable=1", 1), ("version=1", 2)]
)
def test_opening_and_one_question_to_a_small_database(
    make_vfs: MakeVFS, parameters: str, expected: int
):
    """As the document on reading says."""
    store = MemoryObjectStore()
    apsw.Connection("db", vfs=make_vfs(store).name).execute("CREATE TABLE a AS SELECT 1 AS b")
    vfs = make_vfs(store)

    connection = apsw.Connection(f"file:db?{parameters}", flags=FLAGS, vfs=vfs.name)

    assert connection.execute("SELECT b FROM a").get == 1
    assert vfs.metrics().total.requests == expected
    connection.execute("SELECT count(*) FROM a").fetchall()
    assert vfs.metrics().total.requests == expected + (not parameters)
    connection.close()

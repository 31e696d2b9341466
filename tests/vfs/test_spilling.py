"""Transactions larger than their memory: uploaded in part before they end, and as good as small ones."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from sqlite_s3vfs import S3VFS, Settings
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.format.segment import decode_directory
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, ObjectStore
from sqlite_s3vfs.testing import FOREVER, At, Fail, FaultyStore
from vfs.conftest import Connect

ROOT = Path(__file__).parents[2]

NAME = "large/transaction.sqlite"
SEGMENTS = f"{NAME}/segments/"
LITTLE = Settings(
    block_size=8192, segment_size=64 << 10, transaction_bytes=128 << 10, cache_bytes=256 << 10
)
INSERT = (
    "with recursive n(i) as (select ? union all select i + 1 from n where i < ?) "
    "insert into t select i, randomblob(500), printf('%06d', i * 7919 % 100003) from n"
)
MakeVFS = Callable[..., S3VFS]


@pytest.fixture
def vfs(make_vfs: MakeVFS) -> S3VFS:
    """With little memory for a transaction."""
    return make_vfs(settings=LITTLE)


@pytest.fixture
def connection(connect: Connect) -> apsw.Connection:
    """A database with a table, an index, and some rows, behind a small page cache."""
    opened = connect(NAME)
    opened.execute("create table t(id integer primary key, body, tag); create index by_tag on t(tag)")
    opened.execute("pragma cache_size = 20")
    opened.execute(INSERT, (1, 200))
    return opened


def keys(store: ObjectStore, prefix: str = NAME) -> set[str]:
    return {row.key for row in store.list(prefix)}


def body(store: ObjectStore, key: str) -> bytes:
    found = store.get(key)
    assert isinstance(found, Fetched)
    return found.body


def manifest_in(store: ObjectStore) -> Manifest:
    return decode_manifest(body(store, f"{NAME}/manifest"))


def rows(connection: apsw.Connection) -> tuple[int, int]:
    assert connection.execute("pragma integrity_check").get == "ok"
    return connection.execute("select count(*), sum(id) from t").get


def test_segments_go_up_before_the_commit_and_nobody_sees_them(
    store: ObjectStore, connection: apsw.Connection, vfs: S3VFS, make_vfs: MakeVFS, connect: Connect
):
    before = keys(store, SEGMENTS)
    other = connect(NAME, through=make_vfs())

    with connection:
        connection.execute(INSERT, (1001, 3000))
        vfs._engine.pool.close()        # waits for what is under way
        early = keys(store, SEGMENTS) - before
        seen_by_other = rows(other)
        seen_by_own = rows(connection)

    assert len(early) > 10
    assert seen_by_other[0] == 200
    assert seen_by_own[0] == 2200
    assert rows(other) == seen_by_own


def test_what_is_written_over_is_read_back_right_without_a_cache(make_vfs: MakeVFS, connect: Connect):
    """Each page comes from the newest place of its block, or from memory."""
    vfs = make_vfs(settings=Settings(block_size=8192, transaction_bytes=64 << 10, cache_bytes=0))
    connection = connect(NAME, through=vfs)
    connection.execute("create table t(id integer primary key, body, tag)")
    connection.execute("pragma cache_size = 5")

    with connection:
        connection.execute(INSERT, (1, 400))
        for turn in range(3):
            connection.execute("update t set tag = ? where id % 4 = ?", (turn, turn))
        inside = connection.execute("select id, tag from t where tag in (0, 1, 2)").fetchall()

    assert [tag for _, tag in inside] == [id % 4 for id, _ in inside]
    assert len(inside) == 300
    assert connection.execute("select id, tag from t where tag in (0, 1, 2)").fetchall() == inside


def test_memory_is_given_back_where_blocks_are_completed(
    make_vfs: MakeVFS, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    """A spilled block of which one page changes is read past the cache, and its memory given back."""
    given_back: list[None] = []
    monkeypatch.setattr("sqlite_s3vfs.transaction.spilling.give_back", lambda: given_back.append(None))
    vfs = make_vfs(settings=LITTLE)
    connection = connect(NAME, through=vfs)
    connection.execute("create table t(id integer primary key, body, tag)")
    connection.execute("pragma cache_size = 5")
    with connection:
        connection.execute(INSERT, (1, 4000))
        vfs._engine.pool.close()        # what is still on its way would be read back from memory
        before = vfs.metrics().get.requests
        connection.execute("update t set tag = 'x' where id % 97 = 0")
        read_back = vfs.metrics().get.requests - before

    assert read_back
    assert given_back
    assert connection.execute("select count(*), sum(tag = 'x') from t").get == (4000, 41)
    assert connection.execute("pragma integrity_check").get == "ok"


@pytest.mark.parametrize("how", ["rollback", "error", "close"])
def test_a_transaction_that_is_given_up_leaves_nothing(
    store: ObjectStore, connection: apsw.Connection, vfs: S3VFS, how: str
):
    before, old = keys(store), rows(connection)

    connection.execute("begin")
    connection.execute(INSERT, (1001, 3000))
    connection.execute("update t set body = randomblob(400)")
    vfs._engine.pool.close()            # waits for what is under way
    assert len(keys(store)) > len(before) + 10
    if how == "rollback":
        connection.execute("rollback")
    elif how == "error":
        with pytest.raises(apsw.ConstraintError):
            connection.execute("insert or rollback into t(id) values (5)")
    else:
        connection.close()

    assert keys(store) == before
    if how != "close":
        assert rows(connection) == old


def test_savepoints_and_failed_statements_undo_what_was_spilled(
    store: ObjectStore, connection: apsw.Connection
):
    with connection:
        connection.execute(INSERT, (1001, 2000))
        connection.execute("savepoint inner")
        connection.execute("update t set body = zeroblob(900)")
        connection.execute(INSERT, (2001, 4000))
        connection.execute("rollback to inner")
        with pytest.raises(apsw.ConstraintError):
            connection.execute("update t set id = case id when 2000 then 100001 else id + 100000 end")
        inside = rows(connection)

    assert inside == (1200, sum(range(1, 201)) + sum(range(1001, 2001)))
    assert rows(connection) == inside
    assert connection.execute("select count(*) from t where length(body) != 500").get == 0


def test_what_dies_before_it_is_born_is_counted(
    store: ObjectStore, connection: apsw.Connection, vfs: S3VFS
):
    """Blocks that were spilled and written over: dead in a segment that lives, else removed with it."""
    with connection:
        connection.execute(INSERT, (1001, 3000))
        connection.execute("update t set body = randomblob(300) where id % 50 = 0")
        connection.execute(INSERT, (3001, 4000))
        connection.execute("update t set tag = 'x' where id > 3500")
    connection.close()
    vfs.close()                     # waits for what it deletes in the background

    manifest = manifest_in(store)
    live = Counter(locator.source.name for locator in manifest.blocks.recent.values())
    assert manifest.dead
    for key in keys(store, SEGMENTS):
        _, name, directory = decode_directory(body(store, key))
        counted = manifest.dead[name].dead if name in manifest.dead else 0
        died = any(row.ref.name == name for row in manifest.died if row.ref.random)
        assert died or len(directory) == live[name] + counted, key


def test_a_shrink_hides_what_was_spilled_behind_it(store: ObjectStore, connection: apsw.Connection):
    connection.execute("pragma auto_vacuum = full")
    connection.execute("vacuum")
    with connection:
        connection.execute(INSERT, (1001, 3000))
        connection.execute("delete from t where id > 1500")
        connection.execute(INSERT, (5001, 5100))

    assert rows(connection)[0] == 200 + 500 + 100
    size = connection.execute("pragma page_count").get * 4096
    assert manifest_in(store).size == size


def test_a_vacuum_with_another_page_size_goes_through(connection: apsw.Connection):
    with connection:
        connection.execute(INSERT, (1001, 3000))
    old = rows(connection)

    connection.execute("pragma page_size = 1024")
    connection.execute("vacuum")

    assert connection.execute("pragma page_size").get == 1024
    assert rows(connection) == old


def test_a_conflict_removes_what_was_uploaded(
    store: ObjectStore, connection: apsw.Connection, make_vfs: MakeVFS, connect: Connect
):
    other = connect(NAME, through=make_vfs(settings=LITTLE))
    connection.execute("begin immediate")
    connection.execute(INSERT, (1001, 3000))
    other.execute("insert into t(id) values (999)")
    before = keys(store) - {key for key in keys(store, SEGMENTS) if "/segments/" in key}

    with pytest.raises(apsw.BusyError) as caught:
        connection.execute("commit")

    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    named = {locator.source.name for locator in manifest_in(store).blocks.recent.values()}
    left = {decode_directory(body(store, key))[1] for key in keys(store, SEGMENTS)}
    assert left <= named | {row.ref.name for row in manifest_in(store).died}
    assert {key for key in keys(store) if "/segments/" not in key} == before
    assert rows(connection)[0] == 201


@pytest.mark.usefixtures("_no_waiting")
def test_an_outage_at_the_commit_can_be_waited_out(make_vfs: MakeVFS, connect: Connect):
    """COMMIT is refused as busy, and works when it is repeated: nothing that was uploaded is lost."""
    faulty = FaultyStore(MemoryObjectStore())
    connection = connect(NAME, through=make_vfs(faulty, settings=LITTLE))
    connection.execute("create table t(id integer primary key, body, tag)")
    connection.execute("begin immediate")
    connection.execute(INSERT, (1, 800))
    faulty.plan(At(0, Fail(silence=FOREVER)))

    with pytest.raises(apsw.BusyError):
        connection.execute("commit")
    faulty.heal()
    connection.execute("insert into t(id) values (1000)")
    connection.execute("commit")

    assert rows(connection) == (801, sum(range(1, 801)) + 1000)


@pytest.mark.usefixtures("_no_waiting")
def test_an_outage_on_the_way_ends_the_transaction(
    make_vfs: MakeVFS, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    """The write fails, SQLite rolls back, and the connection works again when the store does."""
    monkeypatch.setattr("sqlite_s3vfs.transaction.ahead.UNDER_WAY_MAX", 1)
    faulty = FaultyStore(MemoryObjectStore())
    connection = connect(NAME, through=make_vfs(faulty, settings=LITTLE))
    connection.execute("create table t(id integer primary key, body, tag)")
    connection.execute("pragma cache_size = 20")
    connection.execute(INSERT, (1, 100))
    connection.execute("begin immediate")
    faulty.plan(At(0, Fail(silence=FOREVER)))

    with pytest.raises(apsw.IOError, match="no answer"):
        connection.execute(INSERT, (1001, 3000))
    faulty.heal()

    assert not connection.in_transaction
    assert rows(connection)[0] == 100
    connection.execute(INSERT, (1001, 3000))
    assert rows(connection)[0] == 2100


_BUILD = """
import sys
import apsw
from benchmarks.memory import peak
from sqlite_s3vfs import DirectoryObjectStore, S3VFS
size, content = int(sys.argv[2]), sys.argv[3]
vfs = S3VFS(DirectoryObjectStore(sys.argv[1]))
connection = apsw.Connection("built.sqlite", vfs=vfs.name)
connection.execute("create table t(id integer primary key, body, tag)")
if content == "indexed":
    connection.execute("create index by_tag on t(tag)")
with connection:
    connection.executemany(
        "insert into t(body, tag) values (randomblob(900), hex(randomblob(8)))",
        (() for _ in range(size // 1000)),
    )
highest = peak()
print(connection.execute("pragma page_count").get * 4096)
print(connection.execute("select count(*) from t").get)
print(highest)
"""
RSS_MAX = 256 << 20


def built(folder: Path, size: int, content: str) -> tuple[int, int, int]:
    """Bytes and rows of a database made by one transaction, and its peak memory up to there."""
    script = [sys.executable, "-c", _BUILD, str(folder), str(size), content]
    out = subprocess.run(script, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    return int(out[0]), int(out[1]), int(out[2])


@pytest.mark.slow
def test_memory_is_bounded_in_a_large_transaction(tmp_path: Path):
    """400 MiB of incompressible rows in one transaction, five times what it may keep in memory."""
    size, count, peak = built(tmp_path / "store", 400 << 20, "plain")

    assert size > 380 << 20
    assert count == (400 << 20) // 1000
    assert peak < RSS_MAX


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("size", "content"), [(4 << 30, "plain"), (1 << 30, "indexed")])
def test_memory_is_bounded_in_a_very_large_transaction(tmp_path: Path, size: int, content: str):
    """4 GiB, and 1 GiB with a random index, whose pages are written over and over."""
    written, count, peak = built(tmp_path / "store", size, content)

    assert written > size * 9 // 10
    assert count == size // 1000
    assert peak < RSS_MAX

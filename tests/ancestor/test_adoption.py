"""Databases of sqlite-s3vfs 0.0.36 open as they are; their first commit upgrades them (P6, I10)."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from sqlite_s3vfs import S3VFS, ConflictError, CorruptError
from sqlite_s3vfs.format.blockmap import AncestorSource, Locator, SegmentSource
from sqlite_s3vfs.format.history import decode_history
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.format.segment import decode_frame
from tests.ancestor.conftest import StartAncestor
from tests.ancestor.environment import Ancestor, AncestorDiedError, AncestorError
from tests.ancestor.stored import create, die_in, listed, serialized, stored

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

pytestmark = pytest.mark.slow

BLOCK_SIZES = [4095, 4096, 65536]
MakeVFS = Callable[..., S3VFS]
Connect = Callable[..., apsw.Connection]


@pytest.fixture
def make_vfs(minio_bucket: Bucket) -> Iterator[MakeVFS]:
    """A VFS on the bucket, with nothing cached; ``close`` waits for what it does in the background."""
    made: list[S3VFS] = []

    def make(**arguments: object) -> S3VFS:
        made.append(S3VFS(minio_bucket, **arguments))
        return made[-1]

    yield make
    for vfs in made:
        vfs.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connections that are closed before the VFS objects are."""
    opened: list[apsw.Connection] = []

    def open_connection(vfs: S3VFS, key: str) -> apsw.Connection:
        opened.append(apsw.Connection(key, vfs=vfs.name))
        return opened[-1]

    yield open_connection
    for connection in opened:
        connection.close(force=True)


@pytest.fixture(scope="module")
def five_megabytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 000 rows with an index, a plain SQLite file."""
    path = tmp_path_factory.mktemp("plain") / "five_megabytes.sqlite"
    chance = random.Random(1)
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE t(n INTEGER PRIMARY KEY, text); BEGIN")
    rows = ((n, chance.randbytes(100).hex()) for n in range(20000))
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.execute("COMMIT; CREATE INDEX by_text ON t(substr(text, 1, 20))")
    connection.close()
    assert 4_500_000 < path.stat().st_size < 5_500_000
    return path


def rows_of(connection: apsw.Connection, sql: str) -> list[tuple[object, ...]]:
    return list(connection.execute(sql))


def manifest_of(bucket: Bucket, key: str) -> Manifest:
    body = bucket.Object(DatabaseKeys(key).manifest).get()["Body"].read()
    return decode_manifest(body)


def locator_bytes(bucket: Bucket, key: str, block: int, locator: Locator) -> bytes:
    """The content of a block, from wherever the locator says."""
    keys = DatabaseKeys(key)
    if isinstance(locator.source, AncestorSource):
        found = bucket.Object(keys.ancestor_block(block)).get(IfMatch=locator.source.etag)
        return found["Body"].read()[locator.offset : locator.offset + locator.length]
    segment = bucket.Object(keys.segment(locator.source.name)).get()["Body"].read()
    frame = segment[locator.offset : locator.offset + locator.length]
    return decode_frame(frame, locator.source.name.random, block)


def prove_conditions(vfs: S3VFS, prefix: str) -> None:
    """Have the probe of the store behind us: it is not part of a commit's cost."""
    connection = apsw.Connection(f"{prefix}another.sqlite", vfs=vfs.name)
    connection.execute("CREATE TABLE t(a)")
    connection.close()


@pytest.mark.parametrize("block_size", [4095, pytest.param(4096, marks=pytest.mark.long), 65536])
def test_reading_writes_nothing_and_the_first_commit_upgrades_in_place_at_small_cost(
    ancestor: Ancestor,
    minio_bucket: Bucket,
    make_vfs: MakeVFS,
    connect: Connect,
    five_megabytes: Path,
    prefix: str,
    tmp_path: Path,
    block_size: int,
) -> None:
    """At most 6 PUTs and 600 kB up for a one-row update of 5 MB; the old blocks stay, block 0 goes."""
    key = f"{prefix}my.sqlite"
    ancestor.ask("deserialize", key=key, block_size=block_size, path=str(five_megabytes))
    ancestor.ask("open", key=key, block_size=block_size)
    ancestor.run(key, "UPDATE t SET text = 'hers' WHERE n = 77")
    before = listed(minio_bucket, key)
    vfs = make_vfs()
    connection = connect(vfs, key)

    assert rows_of(connection, "SELECT count(*), max(n) FROM t") == [(20000, 19999)]
    assert rows_of(connection, "SELECT text FROM t WHERE n = 77") == [("hers",)]
    content = b"".join(vfs.serialize_iter(key))
    assert content == serialized(ancestor, key, block_size, tmp_path)
    assert (vfs.metrics().put.requests, vfs.metrics().delete.requests) == (0, 0)
    assert listed(minio_bucket, key) == before

    ancestor.ask("close", key=key)
    cold = make_vfs()
    prove_conditions(cold, prefix)
    connection = connect(cold, key)
    start = cold.metrics()
    connection.execute("UPDATE t SET text = 'ours' WHERE n = 4711")
    connection.close()
    cold.close()
    cost = cold.metrics() - start

    assert cost.put.requests <= 6
    assert cost.put.bytes_up <= 600_000
    after = listed(minio_bucket, key)
    assert [row for row in after if row in before] == before[1:]
    assert f"{key}/0000000000" not in {row[0] for row in after}
    fresh = connect(make_vfs(), key)
    changed = rows_of(fresh, "SELECT n, text FROM t WHERE n IN (77, 4711)")
    assert changed == [(77, "hers"), (4711, "ours")]
    assert rows_of(fresh, "SELECT count(*) FROM t WHERE length(text) = 200") == [(19998,)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_the_state_before_is_version_1_in_history(
    ancestor: Ancestor,
    minio_bucket: Bucket,
    make_vfs: MakeVFS,
    connect: Connect,
    prefix: str,
    block_size: int,
) -> None:
    """It can be put together from its history object, block 0's old bytes out of a segment."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=block_size, page_size=4096, rows=800)
    ancestor.ask("close", key=key)
    before = stored(minio_bucket, key)
    connect(make_vfs(), key).execute("UPDATE t SET text = 'ours' WHERE n = 47")

    newest = manifest_of(minio_bucket, key)
    (name,) = [entry.name for entry in newest.history if entry.name.version == 1]
    body = minio_bucket.Object(DatabaseKeys(key).history(name)).get()["Body"].read()
    first = decode_history(body, newest.database_id, name)

    assert (newest.version, first.version) == (2, 1)
    assert first.oldest_readable == newest.oldest_readable == 1
    assert isinstance(first.blocks.recent[0].source, SegmentSource)
    content = bytearray(first.size)
    for block, locator in first.blocks.recent.items():
        start = block * first.block_size
        content[start : start + locator.valid] = locator_bytes(minio_bucket, key, block, locator)
    assert bytes(content) == before.content


@pytest.mark.parametrize("connected_before", [False, True])
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
def test_an_ancestor_that_comes_back_fails_cleanly_and_writes_nothing(
    ancestor: Ancestor,
    minio_bucket: Bucket,
    make_vfs: MakeVFS,
    connect: Connect,
    prefix: str,
    block_size: int,
    *,
    connected_before: bool,
) -> None:
    """One that opens the database anew, or whose connection was open and idle all the time."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=block_size, page_size=4096, rows=800)
    vfs = make_vfs()
    connection = connect(vfs, key)
    connection.execute("UPDATE t SET text = 'ours' WHERE n = 47")
    connection.close()
    vfs.close()
    every_object = {found.key: found.e_tag for found in minio_bucket.objects.filter(Prefix=prefix)}

    if not connected_before:
        ancestor.ask("open", key=key, block_size=block_size)
    for statement in (
        "SELECT count(*) FROM t",
        "INSERT INTO t VALUES (99999, 'hers')",
        "CREATE TABLE hers(a)",
        "VACUUM",
    ):
        with pytest.raises(AncestorError, match=r"malformed|not a database"):
            ancestor.run(key, statement)

    now = {found.key: found.e_tag for found in minio_bucket.objects.filter(Prefix=prefix)}
    assert now == every_object


@pytest.mark.parametrize(
    ("journal_mode", "synchronous", "block_size"),
    [("DELETE", "FULL", 4096), ("PERSIST", "NORMAL", 65536), ("TRUNCATE", "OFF", 4095)],
)
def test_a_transaction_that_was_cut_off_is_rolled_back(
    start_ancestor: StartAncestor,
    minio_bucket: Bucket,
    make_vfs: MakeVFS,
    connect: Connect,
    prefix: str,
    journal_mode: str,
    synchronous: str,
    block_size: int,
) -> None:
    """Readers see the state before it, without a write; the first commit removes the journal."""
    key = f"{prefix}my.sqlite"
    dying = start_ancestor()
    create(dying, key, block_size=block_size, page_size=4096, rows=60)
    before = stored(minio_bucket, key).content
    dying.run(
        key,
        f"PRAGMA journal_mode={journal_mode}",
        f"PRAGMA synchronous={synchronous}",
        "PRAGMA cache_size=5",
    )
    die_in(dying, key, "BEGIN", "UPDATE t SET text = hex(randomblob(100))")
    left_behind = listed(minio_bucket, key)
    vfs = make_vfs()

    assert b"".join(vfs.serialize_iter(key)) == before
    connection = connect(vfs, key)
    assert rows_of(connection, "PRAGMA integrity_check") == [("ok",)]
    assert vfs.metrics().put.requests == vfs.metrics().delete.requests == 0
    assert listed(minio_bucket, key) == left_behind

    connection.execute("INSERT INTO t VALUES (1000, 'ours')")
    connection.close()
    vfs.close()

    assert not list(minio_bucket.objects.filter(Prefix=f"{key}-journal/"))
    fresh = connect(make_vfs(), key)
    assert rows_of(fresh, "SELECT count(*) FROM t WHERE length(text) = 100") == [(60,)]
    assert rows_of(fresh, "SELECT text FROM t WHERE n = 1000") == [("ours",)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


def test_of_two_attached_databases_both_or_none_are_rolled_back(
    start_ancestor: StartAncestor, minio_bucket: Bucket, make_vfs: MakeVFS, prefix: str
) -> None:
    """The ancestor dies at different requests of a commit over two files: the super-journal decides."""
    seen = set()
    for number in range(30, 74, 8):
        one, two = f"{prefix}{number}/one.sqlite", f"{prefix}{number}/two.sqlite"
        dying = start_ancestor()
        for key, table in ((two, "b"), (one, "a")):
            dying.ask("open", key=key, block_size=4096)
            dying.run(key, "PRAGMA journal_mode=MEMORY", "BEGIN", f"CREATE TABLE {table}(x)")
            dying.run(key, f"INSERT INTO {table} VALUES ('old')", "COMMIT")
        dying.ask("close", key=two)
        dying.run(one, "PRAGMA journal_mode=DELETE", f"ATTACH '{two}' AS two")
        dying.run(one, "BEGIN", "UPDATE a SET x = 'new'", "UPDATE b SET x = 'new'")
        dying.ask("die_before_request", number=number)
        with contextlib.suppress(AncestorDiedError):
            dying.run(one, "COMMIT")

        vfs = make_vfs()
        states = []
        for key, table in ((one, "a"), (two, "b")):
            connection = apsw.Connection(key, vfs=vfs.name)
            connection.execute("CREATE TABLE ours(y)")
            states += rows_of(connection, f"SELECT x FROM {table}")
            assert rows_of(connection, "PRAGMA integrity_check") == [("ok",)]
            connection.close()
        assert states in ([("old",), ("old",)], [("new",), ("new",)])
        seen.add(states[0])
    assert seen == {("old",), ("new",)}


def test_a_listing_that_changed_before_the_first_commit_is_a_conflict(
    ancestor: Ancestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """The ancestor commits between our read and our commit; nothing of ours gets written."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=50)
    connection = connect(make_vfs(), key)
    connection.execute("BEGIN; UPDATE t SET text = 'ours' WHERE n = 1")
    ancestor.run(key, "UPDATE t SET text = 'hers' WHERE n = 2")
    before = listed(minio_bucket, key)

    with pytest.raises(apsw.BusyError) as raised:
        connection.execute("COMMIT")

    assert raised.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
    assert isinstance(raised.value.__cause__, ConflictError)
    assert [row for row in listed(minio_bucket, key) if "manifest" in row[0]] == []
    assert [row for row in listed(minio_bucket, key) if row in before] == before
    ancestor.ask("close", key=key)
    connection.execute("UPDATE t SET text = 'ours' WHERE n = 1")
    assert rows_of(connection, "SELECT text FROM t WHERE n < 3") == [("ours",), ("hers",)]


def test_a_journal_that_appeared_before_the_first_commit_is_a_conflict(
    start_ancestor: StartAncestor, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    key = f"{prefix}my.sqlite"
    dying = start_ancestor()
    create(dying, key, block_size=4096, page_size=4096, rows=200)
    dying.run(key, "PRAGMA cache_size=5")
    connection = connect(make_vfs(), key)
    connection.execute("BEGIN; UPDATE t SET text = 'ours' WHERE n = 1")
    die_in(dying, key, "BEGIN", "UPDATE t SET text = 'hers'")

    with pytest.raises(apsw.BusyError):
        connection.execute("COMMIT")

    connection.execute("UPDATE t SET text = 'ours' WHERE n = 1")
    assert rows_of(connection, "SELECT count(*) FROM t WHERE text = 'hers'") == [(0,)]
    assert rows_of(connection, "SELECT text FROM t WHERE n = 1") == [("ours",)]


def test_of_two_first_commits_one_wins(
    ancestor: Ancestor, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """Two processes adopt at the same time (two VFS objects with no connection in common)."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=50)
    ancestor.ask("close", key=key)
    one, two = connect(make_vfs(), key), connect(make_vfs(), key)
    assert rows_of(one, "SELECT count(*) FROM t") == rows_of(two, "SELECT count(*) FROM t")
    reading = two.execute("SELECT n FROM t ORDER BY n")
    assert next(reading) == (1,)
    one.execute("UPDATE t SET text = 'one' WHERE n = 1")

    with pytest.raises(apsw.BusyError):
        two.execute("UPDATE t SET text = 'two' WHERE n = 2")

    assert [n for (n,) in reading] == list(range(2, 51))
    two.execute("UPDATE t SET text = 'two' WHERE n = 2")
    assert rows_of(one, "SELECT text FROM t WHERE n < 3") == [("one",), ("two",)]


def test_a_reader_goes_on_while_the_database_is_adopted_under_it(
    ancestor: Ancestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """Block 0 is deleted meanwhile; the reader has it in memory, and the others stay."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=800)
    ancestor.ask("close", key=key)
    reader = connect(make_vfs(), key)
    reader.execute("BEGIN")
    assert rows_of(reader, "SELECT count(*) FROM sqlite_schema") == [(2,)]
    writing = make_vfs()
    writer = connect(writing, key)
    writer.execute("UPDATE t SET text = 'ours'")
    writer.close()
    writing.close()
    assert f"{key}/0000000000" not in {row[0] for row in listed(minio_bucket, key)}

    assert rows_of(reader, "SELECT count(*) FROM t WHERE text = 'ours'") == [(0,)]
    assert rows_of(reader, "PRAGMA integrity_check") == [("ok",)]
    reader.execute("COMMIT")
    assert rows_of(reader, "SELECT count(*) FROM t WHERE text = 'ours'") == [(800,)]


def test_an_old_block_written_over_after_adoption_is_corruption_not_wrong_rows(
    ancestor: Ancestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """A process of the ancestor in mid-transaction can do that; the ETag in the map tells."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=800)
    ancestor.ask("close", key=key)
    connect(make_vfs(), key).execute("UPDATE t SET text = 'ours' WHERE n = 4")
    victim = minio_bucket.Object(f"{key}/{20:010d}")
    victim.put(Body=victim.get()["Body"].read()[::-1])
    connection = connect(make_vfs(), key)

    with pytest.raises(apsw.Error) as raised:
        rows_of(connection, "SELECT sum(length(text)) FROM t")

    assert isinstance(raised.value.__cause__, CorruptError)
    assert rows_of(connection, "SELECT text FROM t WHERE n = 4") == [("ours",)]


@pytest.mark.parametrize("adopted_first", [False, True])
def test_another_database_whose_name_is_that_of_the_journal_stays_whole(
    ancestor: Ancestor, make_vfs: MakeVFS, connect: Connect, prefix: str, *, adopted_first: bool
) -> None:
    """``my.sqlite-journal`` may be a database of its own: old, or adopted and without block 0.

    It is made second: the ancestor takes it for a journal, and deletes it, when it makes the first.
    """
    key, other = f"{prefix}my.sqlite", f"{prefix}my.sqlite-journal"
    for name in (key, other):
        ancestor.ask("open", key=name, block_size=4096)
        ancestor.run(
            name,
            "PRAGMA journal_mode=MEMORY",
            "CREATE TABLE t(n, text)",
            "INSERT INTO t VALUES (1, zeroblob(20000))",
        )
        ancestor.ask("close", key=name)
        if adopted_first and name == other:
            vfs = make_vfs()
            connect(vfs, other).execute("CREATE TABLE ours(a)")
            vfs.close()
    vfs = make_vfs()
    connection = connect(vfs, key)

    connection.execute("INSERT INTO t VALUES (2, 'ours')")
    connection.close()
    vfs.close()

    fresh = connect(make_vfs(), other)
    assert rows_of(fresh, "SELECT n, length(text) FROM t") == [(1, 20000)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


def test_one_object_takes_the_block_size_of_the_settings(
    ancestor: Ancestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """Nothing tells the old block size: the new one serves a database that is yet to grow."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=65536, page_size=4096, rows=5)
    ancestor.ask("close", key=key)
    connection = connect(make_vfs(block_size=50000), key)
    connection.execute("INSERT INTO t SELECT 10 + column1, hex(randomblob(500)) FROM (VALUES (1), (2))")
    connection.execute("INSERT INTO t VALUES (100, zeroblob(300000))")

    fresh = connect(make_vfs(), key)
    assert manifest_of(minio_bucket, key).block_size == 50000
    assert rows_of(fresh, "SELECT count(*), max(length(text)) FROM t") == [(8, 300000)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


def test_pages_that_were_never_written_are_zeros_before_and_after_the_first_commit(
    ancestor: Ancestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """The ancestor calls this file malformed; nothing in it is lost."""
    key = f"{prefix}my.sqlite"
    ancestor.ask("open", key=key, block_size=4096)
    many = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 300) "
    ancestor.run(
        key,
        "BEGIN",
        "CREATE TABLE t(n, text)",
        f"{many} INSERT INTO t SELECT a, hex(randomblob(100)) FROM n",
        "CREATE TABLE last(a)",
        "DELETE FROM t",
        "INSERT INTO last VALUES (42)",
        "COMMIT",
    )
    ancestor.ask("close", key=key)
    expected = stored(minio_bucket, key).content
    vfs = make_vfs()

    assert b"".join(vfs.serialize_iter(key)) == expected
    connection = connect(vfs, key)
    assert rows_of(connection, "PRAGMA integrity_check") == [("ok",)]
    connection.execute(f"{many} INSERT INTO t SELECT a, hex(randomblob(100)) FROM n")
    fresh = connect(make_vfs(), key)
    assert rows_of(fresh, "SELECT (SELECT count(*) FROM t), a FROM last") == [(300, 42)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


def test_a_first_transaction_that_was_cut_off_leaves_an_empty_database(
    start_ancestor: StartAncestor, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    key = f"{prefix}my.sqlite"
    dying = start_ancestor()
    dying.ask("open", key=key, block_size=4096)
    dying.run(key, "PRAGMA cache_size=5", "BEGIN", "CREATE TABLE t(n, text)")
    die_in(dying, key, "INSERT INTO t VALUES (1, zeroblob(90000))", "UPDATE t SET n = 2")
    connection = connect(make_vfs(), key)

    assert rows_of(connection, "SELECT * FROM sqlite_schema") == []
    connection.execute("CREATE TABLE ours(a); INSERT INTO ours VALUES (zeroblob(200000))")

    fresh = connect(make_vfs(), key)
    assert rows_of(fresh, "SELECT length(a) FROM ours") == [(200000,)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


def test_a_large_transaction_that_was_cut_off_leaves_a_small_manifest(
    start_ancestor: StartAncestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    """Its journal holds 2 MB of original pages, which do not compress; they become blocks."""
    key = f"{prefix}my.sqlite"
    dying = start_ancestor()
    dying.ask("open", key=key, block_size=65536)
    dying.run(
        key,
        "PRAGMA page_size=65536",
        "CREATE TABLE t(n, text)",
        "INSERT INTO t VALUES (1, randomblob(1000000)), (2, randomblob(1000000))",
        "PRAGMA cache_size=2",
    )
    before = stored(minio_bucket, key).content
    die_in(dying, key, "BEGIN", "UPDATE t SET text = randomblob(1000000)")
    vfs = make_vfs()

    assert b"".join(vfs.serialize_iter(key)) == before
    connect(vfs, key).execute("INSERT INTO t VALUES (3, 'ours')")

    assert minio_bucket.Object(DatabaseKeys(key).manifest).content_length < 300_000
    fresh = connect(make_vfs(), key)
    assert rows_of(fresh, "SELECT n, length(text) FROM t") == [(1, 1000000), (2, 1000000), (3, 4)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]


def test_a_wal_database_that_the_ancestor_was_given_opens(
    ancestor: Ancestor, make_vfs: MakeVFS, connect: Connect, prefix: str, tmp_path: Path
) -> None:
    """The ancestor itself cannot open it."""
    key = f"{prefix}my.sqlite"
    plain = apsw.Connection(str(tmp_path / "plain.sqlite"))
    list(plain.execute("PRAGMA journal_mode=WAL; CREATE TABLE t(n); INSERT INTO t VALUES (1)"))
    plain.close()
    ancestor.ask("deserialize", key=key, block_size=4096, path=str(tmp_path / "plain.sqlite"))
    connection = connect(make_vfs(), key)

    assert rows_of(connection, "SELECT n FROM t") == [(1,)]
    connection.execute("INSERT INTO t VALUES (2)")
    assert rows_of(connect(make_vfs(), key), "SELECT n FROM t") == [(1,), (2,)]


@pytest.mark.parametrize("how", ["VACUUM", "deserialize", "page size"])
def test_the_first_commit_may_replace_everything(
    ancestor: Ancestor,
    minio_bucket: Bucket,
    make_vfs: MakeVFS,
    connect: Connect,
    prefix: str,
    tmp_path: Path,
    how: str,
) -> None:
    """And a connection that has read the old state sees the new one."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4095, page_size=4096, rows=400)
    ancestor.run(key, "DELETE FROM t WHERE n > 100")
    ancestor.ask("close", key=key)
    reader = connect(make_vfs(), key)
    assert rows_of(reader, "SELECT count(*) FROM t") == [(100,)]
    vfs = make_vfs()
    if how == "deserialize":
        plain = apsw.Connection(str(tmp_path / "plain.sqlite"))
        plain.execute("CREATE TABLE t(n, text); INSERT INTO t VALUES (1, 'plain')")
        plain.close()
        vfs.deserialize_iter(key, [(tmp_path / "plain.sqlite").read_bytes()])
        expected = 1
    else:
        pragma = "PRAGMA page_size=1024;" if how == "page size" else ""
        connect(vfs, key).execute(f"{pragma} VACUUM")
        expected = 100

    assert rows_of(reader, "SELECT count(*) FROM t") == [(expected,)]
    fresh = connect(make_vfs(), key)
    assert rows_of(fresh, "SELECT count(*) FROM t") == [(expected,)]
    assert rows_of(fresh, "PRAGMA integrity_check") == [("ok",)]
    assert manifest_of(minio_bucket, key).version == 2


def test_a_damaged_database_of_the_ancestor_is_an_error_and_gets_nothing_written(
    ancestor: Ancestor, minio_bucket: Bucket, make_vfs: MakeVFS, connect: Connect, prefix: str
) -> None:
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=200)
    ancestor.ask("close", key=key)
    minio_bucket.Object(f"{key}/0000000000").delete()
    before = listed(minio_bucket, key)
    connection = connect(make_vfs(), key)

    for statement in ("SELECT count(*) FROM t", "CREATE TABLE ours(a)"):
        with pytest.raises(apsw.Error) as raised:
            connection.execute(statement)
        assert isinstance(raised.value.__cause__, CorruptError)

    assert listed(minio_bucket, key) == before

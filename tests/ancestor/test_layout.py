"""What a listing says of databases that sqlite-s3vfs 0.0.36 itself has written."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.ancestor import read_layout
from tests.ancestor.conftest import StartAncestor
from tests.ancestor.environment import Ancestor, AncestorDiedError, AncestorError
from tests.ancestor.stored import create, die_in, listed, serialized, stored

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

pytestmark = pytest.mark.slow

THREE_HUNDRED_ROWS = (
    "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 300) "
    "INSERT INTO t SELECT 1000 + a, hex(randomblob(100)) FROM n"
)


@pytest.mark.parametrize(
    ("page_size", "block_size"),
    [(512, 64), *itertools.product([512, 4096, 65536], [4095, 4096, 4097, 65536, 1 << 20])],
)
def test_a_database_is_read_whole_whatever_its_block_size(
    ancestor: Ancestor,
    minio_bucket: Bucket,
    prefix: str,
    tmp_path: Path,
    page_size: int,
    block_size: int,
) -> None:
    key = f"{prefix}my.sqlite"
    rows = page_size // 20 if page_size < 4096 else 600
    create(ancestor, key, block_size=block_size, page_size=page_size, rows=rows)

    found = stored(minio_bucket, key)

    assert found.content == serialized(ancestor, key, block_size, tmp_path)
    assert found.file.page_size == page_size
    assert found.query("SELECT count(*) FROM t") == [(rows,)]
    if found.file.size > block_size:
        assert found.file.block_size_for(65536) == block_size
    else:
        assert found.file.block_size_for(block_size) == block_size


def test_one_object_leaves_the_block_size_to_us(
    ancestor: Ancestor, minio_bucket: Bucket, prefix: str
) -> None:
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=1 << 20, page_size=4096, rows=10)

    found = stored(minio_bucket, key)

    assert len(found.layout.blocks) == 1
    assert found.file.block_size_for(65536) == 65536
    assert found.file.block_size_for(512) == found.file.size


@pytest.mark.parametrize("auto_vacuum", ["NONE", "FULL", "INCREMENTAL"])
@pytest.mark.parametrize("block_size", [4095, 16384])
def test_a_database_that_shrank_and_grew_is_read_whole(
    ancestor: Ancestor,
    minio_bucket: Bucket,
    prefix: str,
    tmp_path: Path,
    block_size: int,
    auto_vacuum: str,
) -> None:
    key = f"{prefix}my.sqlite"
    ancestor.ask("open", key=key, block_size=block_size)
    ancestor.run(key, f"PRAGMA auto_vacuum={auto_vacuum}", "CREATE TABLE t(n, text)")
    ancestor.run(key, THREE_HUNDRED_ROWS)
    whole = stored(minio_bucket, key)
    ancestor.run(key, "DELETE FROM t WHERE n % 7", "PRAGMA incremental_vacuum(5)")
    if auto_vacuum == "NONE":
        ancestor.run(key, "VACUUM")
    shrunk = stored(minio_bucket, key)
    assert shrunk.content == serialized(ancestor, key, block_size, tmp_path)
    ancestor.run(key, THREE_HUNDRED_ROWS)
    grown = stored(minio_bucket, key)

    assert shrunk.file.size < whole.file.size
    assert grown.content == serialized(ancestor, key, block_size, tmp_path)
    assert grown.query("PRAGMA integrity_check") == [("ok",)]
    assert grown.file.block_size == block_size


@pytest.mark.parametrize("block_size", [4095, 4096, 16384, 65536])
def test_pages_never_written_are_holes_though_the_ancestor_calls_its_file_malformed(
    ancestor: Ancestor, minio_bucket: Bucket, prefix: str, block_size: int
) -> None:
    """Pages filled and freed in one transaction are part of the file and are not written."""
    key = f"{prefix}my.sqlite"
    ancestor.ask("open", key=key, block_size=block_size)
    ancestor.run(
        key,
        "CREATE TABLE kept(a)",
        "INSERT INTO kept VALUES (zeroblob(100000))",
        "BEGIN",
        "CREATE TABLE t(n, text)",
        THREE_HUNDRED_ROWS,
        "CREATE TABLE last(a)",
        "DELETE FROM t",
        "INSERT INTO last VALUES (42)",
        "COMMIT",
    )

    found = stored(minio_bucket, key)

    assert sum(block.size for block in found.file.blocks) < found.file.size - 4096
    assert found.file.block_size == block_size
    assert found.query("SELECT * FROM last") == [(42,)]
    assert found.query("PRAGMA integrity_check") == [("ok",)]
    with pytest.raises(AncestorError, match="malformed"):
        ancestor.run(key, "SELECT * FROM last")


def test_leftovers_of_a_longer_database_do_not_count(
    ancestor: Ancestor, minio_bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    """``deserialize_iter`` over a longer database, even of other block size, leaves its end behind."""
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=8192, page_size=4096, rows=3000)
    plain = apsw.Connection(str(tmp_path / "plain.sqlite"))
    plain.execute("CREATE TABLE t(n); INSERT INTO t VALUES (1); CREATE INDEX i ON t(n)")
    plain.close()
    expected = (tmp_path / "plain.sqlite").read_bytes()
    ancestor.ask("deserialize", key=key, block_size=4096, path=str(tmp_path / "plain.sqlite"))

    found = stored(minio_bucket, key)

    assert len(found.layout.blocks) > 10
    assert found.file.block_size == 4096
    assert found.content == expected


def test_other_keys_under_the_prefix_do_not_count(
    ancestor: Ancestor, minio_bucket: Bucket, prefix: str
) -> None:
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=10)
    before = read_layout(key, listed(minio_bucket, key))
    for name in ("README", "00000000001", "000000001", "0000000001.bak", "a/0000000002", "٠٠٠٠٠٠٠٠٠٩"):
        minio_bucket.put_object(Key=f"{key}/{name}", Body=b"not a block")

    assert read_layout(key, listed(minio_bucket, key)) == before


def test_the_identity_follows_every_change_of_database_and_journal(
    ancestor: Ancestor, minio_bucket: Bucket, prefix: str
) -> None:
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=10)

    def identity() -> bytes:
        layout = read_layout(key, reversed(listed(minio_bucket, key)))
        assert layout is not None
        return layout.identity

    before = identity()
    assert identity() == before
    ancestor.run(key, "UPDATE t SET text = 'x' WHERE n = 1")
    committed = identity()
    ancestor.run(key, "PRAGMA cache_size=1", "BEGIN", "UPDATE t SET text = 'y'")
    under_way = identity()
    ancestor.run(key, "ROLLBACK")

    assert len({before, committed, under_way}) == 3


@pytest.mark.parametrize(
    ("journal_mode", "synchronous", "block_size", "page_size"),
    [
        ("DELETE", "FULL", 4095, 512),
        ("DELETE", "NORMAL", 4096, 4096),
        ("DELETE", "OFF", 65536, 1024),
        ("TRUNCATE", "FULL", 4096, 4096),
        ("TRUNCATE", "NORMAL", 65536, 1024),
        ("PERSIST", "FULL", 65536, 1024),
        ("PERSIST", "NORMAL", 4095, 512),
        ("PERSIST", "OFF", 4096, 4096),
    ],
)
def test_a_transaction_that_was_cut_off_is_undone(
    start_ancestor: StartAncestor,
    minio_bucket: Bucket,
    prefix: str,
    journal_mode: str,
    synchronous: str,
    block_size: int,
    page_size: int,
) -> None:
    """A process of the ancestor dies with spilled pages; the state before comes back."""
    key = f"{prefix}my.sqlite"
    dying = start_ancestor()
    create(dying, key, block_size=block_size, page_size=page_size, rows=page_size // 25)
    dying.run(
        key,
        f"PRAGMA journal_mode={journal_mode}",
        f"PRAGMA synchronous={synchronous}",
        "PRAGMA cache_size=5",
        "UPDATE t SET text = text || '.' WHERE n < 5",
    )
    before = stored(minio_bucket, key)
    die_in(dying, key, "BEGIN", "UPDATE t SET text = hex(randomblob(100))")

    found = stored(minio_bucket, key)

    assert found.playback is not None
    assert found.layout.blocks != before.layout.blocks, "the transaction had spilled"
    assert found.content == before.content
    assert found.query("PRAGMA integrity_check") == [("ok",)]


def test_whatever_request_a_process_dies_at_one_of_the_two_states_is_found(
    start_ancestor: StartAncestor, minio_bucket: Bucket, prefix: str
) -> None:
    texts = []
    for number in range(5, 150, 29):
        key = f"{prefix}{number}.sqlite"
        dying = start_ancestor()
        create(dying, key, block_size=4096, page_size=512, rows=30)
        dying.run(key, "UPDATE t SET text = 'old'", "PRAGMA cache_size=5")
        dying.ask("die_before_request", number=number)
        with contextlib.suppress(AncestorDiedError):
            dying.run(key, "UPDATE t SET text = 'new'")

        found = stored(minio_bucket, key)

        assert found.query("PRAGMA integrity_check") == [("ok",)]
        texts += found.query("SELECT DISTINCT text FROM t")
    assert set(texts) == {("old",), ("new",)}
    assert len(texts) == len(range(5, 150, 29))


def test_the_first_transaction_ever_cut_off_leaves_nothing(
    start_ancestor: StartAncestor, minio_bucket: Bucket, prefix: str
) -> None:
    """It spilled pages, but not page 1: block 0 is absent and the database is empty all the same."""
    key = f"{prefix}my.sqlite"
    dying = start_ancestor()
    dying.ask("open", key=key, block_size=4096)
    dying.run(key, "PRAGMA cache_size=5")
    die_in(dying, key, "BEGIN", "CREATE TABLE t(n, text)", THREE_HUNDRED_ROWS)

    found = stored(minio_bucket, key)

    assert found.layout.blocks
    assert (found.file.size, found.content, found.file.blocks) == (0, b"", ())


@pytest.mark.parametrize("missing", [0, -1])
def test_a_missing_first_or_last_block_is_corruption(
    ancestor: Ancestor, minio_bucket: Bucket, prefix: str, missing: int
) -> None:
    key = f"{prefix}my.sqlite"
    create(ancestor, key, block_size=4096, page_size=4096, rows=300)
    minio_bucket.Object(listed(minio_bucket, key)[missing][0]).delete()

    with pytest.raises(CorruptError, match="old layout"):
        stored(minio_bucket, key)


def test_bytes_without_a_header_are_corruption(minio_bucket: Bucket, prefix: str) -> None:
    minio_bucket.put_object(Key=f"{prefix}my.sqlite/0000000000", Body=b"no database" * 500)

    with pytest.raises(CorruptError, match="does not begin a SQLite database"):
        stored(minio_bucket, f"{prefix}my.sqlite")

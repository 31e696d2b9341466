"""Journals: like a file, in memory first and on disk beyond that, and without errors at the end."""

from __future__ import annotations

import random
from collections.abc import Callable

import apsw
import pytest

from sqlite_s3vfs.vfs.s3vfs import S3VFS
from sqlite_s3vfs.vfs.scratch_file import MEMORY_MAX, ScratchFile
from vfs.conftest import Connect


@pytest.mark.parametrize("seed", range(20))
def test_it_behaves_like_a_file(seed: int) -> None:
    """Random writes, truncations and reads around the limit of 64 bytes in memory."""
    chance = random.Random(seed)
    file, model = ScratchFile(memory_max=64), bytearray()
    for _ in range(300):
        offset, size = chance.randrange(200), chance.randrange(1, 60)
        action = chance.randrange(8)
        if action == 0:
            file.xTruncate(offset)
            del model[offset:]
        elif action < 4:
            data = chance.randbytes(size)
            file.xWrite(data, offset)
            model.extend(bytes(max(0, offset - len(model))))
            model[offset : offset + size] = data
        assert file.xRead(size, offset) == model[offset : offset + size]
        assert file.xFileSize() == len(model)

    file.xClose()

    assert file.xFileSize() == 0


def test_a_large_journal_spills(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback of more than fits into memory restores every row."""
    sizes: list[int] = []
    close = ScratchFile.xClose

    def note_and_close(file: ScratchFile) -> None:
        sizes.append(file.xFileSize())
        close(file)

    monkeypatch.setattr(ScratchFile, "xClose", note_and_close)
    connection = connect("db")
    connection.execute("PRAGMA cache_size=5; CREATE TABLE t (v)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "INSERT INTO t SELECT printf('%d', i) || hex(zeroblob(2000)) FROM n"
    )
    before = connection.execute("SELECT * FROM t").fetchall()
    sizes.clear()

    connection.execute("BEGIN; UPDATE t SET v = 'x' || v; ROLLBACK")

    assert max(sizes) > 2 * MEMORY_MAX
    assert connection.execute("SELECT * FROM t").fetchall() == before
    assert connection.pragma("integrity_check") == "ok"


@pytest.mark.parametrize("journal_mode", ["DELETE", "PERSIST", "TRUNCATE"])
def test_a_full_disk_fails_the_transaction_and_nothing_else(
    connect: Connect, make_vfs: Callable[..., S3VFS], monkeypatch: pytest.MonkeyPatch, journal_mode: str
) -> None:
    connection = connect("db")
    connection.pragma("journal_mode", journal_mode)
    connection.execute("PRAGMA cache_size=5; CREATE TABLE t (v)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
        "INSERT INTO t SELECT hex(randomblob(2000)) FROM n"
    )
    before = connection.execute("SELECT * FROM t").fetchall()

    def no_space(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", no_space)
        with pytest.raises(apsw.IOError, match="No space left on device"):
            connection.execute("UPDATE t SET v = 'x' || v")

    assert connection.execute("SELECT * FROM t").fetchall() == before
    assert connect("db", through=make_vfs()).execute("SELECT * FROM t").fetchall() == before
    connection.execute("UPDATE t SET v = 'x'")
    assert connection.execute("SELECT DISTINCT v FROM t").fetchall() == [("x",)]

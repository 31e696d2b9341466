"""A rollback journal, read by us, undoes what SQLite itself undoes with it, byte for byte.

The judge is always SQLite: it opens a copy of the database beside the journal and rolls back.
"""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlite_s3vfs.format.geometry import PENDING_BYTE_OFFSET
from sqlite_s3vfs.format.rollback_journal import (
    MAGIC,
    JournalPlayback,
    parse_journal_header,
    played_back,
    super_journal_name,
)

PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]
JOURNAL_MODES = ["DELETE", "TRUNCATE", "PERSIST"]

DIES_IN_MID_TRANSACTION = """
import os, sys, apsw  # and end without closing anything
folder, journal_mode, synchronous, *page_sizes = sys.argv[1:]
kept = []
for page_size in page_sizes:
    db = apsw.Connection(f"{folder}/{page_size}.sqlite")
    db.execute(f"PRAGMA page_size={page_size}; PRAGMA journal_mode={journal_mode}")
    db.execute(f"PRAGMA synchronous={synchronous}; PRAGMA cache_size=5")
    db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b)")
    rows = 40 * int(page_size) // 100
    db.execute("WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < ?)"
               "INSERT INTO t SELECT a, hex(randomblob(20)) FROM n", (rows,))
    db.execute("UPDATE t SET b = hex(randomblob(20))")
    db.execute("BEGIN")
    db.execute("UPDATE t SET b = hex(randomblob(20)) WHERE a % 3")
    db.execute("SAVEPOINT s; DELETE FROM t WHERE a % 5 = 0; RELEASE s")
    db.execute("CREATE TABLE u AS SELECT b FROM t")
    kept.append(db)
os._exit(9)
"""


class UnsyncedFile(apsw.VFSFile):
    """Waits for no disk: the judge is asked often."""

    def xSync(self, flags: int) -> None:
        pass


class UnsyncedVFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__("unsynced", base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return UnsyncedFile("", name, flags)


UNSYNCED = UnsyncedVFS()


def rolled_back_by_sqlite(folder: Path, database: bytes, journal: bytes) -> bytes:
    """What SQLite makes of the pair at its first read."""
    path = folder / "judged.sqlite"
    path.write_bytes(database)
    path.with_name(path.name + "-journal").write_bytes(journal)
    connection = apsw.Connection(str(path), vfs="unsynced")
    try:
        connection.execute("PRAGMA user_version").fetchall()
    except (apsw.CorruptError, apsw.NotADBError):
        pass  # a mutated journal may well restore nonsense; what it restores is still compared
    finally:
        connection.close()
    return path.read_bytes()


def rolled_back(database: bytes, journal: bytes, *, page_size: int) -> bytes:
    """What our reading of the journal makes of the database."""
    playback = played_back(journal, page_size=page_size)
    return database if playback is None else applied(database, playback)


def applied(database: bytes, playback: JournalPlayback) -> bytes:
    """Cut or fill to the original size, then put the original pages back."""
    file = bytearray(database[: playback.size])
    # SQLite fills up only where at least a whole page is missing; a file has whole pages anyway.
    if len(file) + playback.page_size <= playback.size:
        file += bytes(playback.size - len(file))
    for number, page in playback.pages.items():
        start = (number - 1) * playback.page_size
        file += bytes(max(0, start - len(file)))
        file[start : start + playback.page_size] = page
    return bytes(file)


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL", "OFF"])
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
def test_a_killed_process_leaves_journals_that_we_undo_as_sqlite_does(
    tmp_path: Path, journal_mode: str, synchronous: str
) -> None:
    """One process with a large open transaction in a database of each page size, which spilled."""
    child = [sys.executable, "-c", DIES_IN_MID_TRANSACTION, tmp_path, journal_mode, synchronous]
    done = subprocess.run([*child, *map(str, PAGE_SIZES)], check=False)
    assert done.returncode == 9

    for page_size in PAGE_SIZES:
        path = tmp_path / f"{page_size}.sqlite"
        database = path.read_bytes()
        journal = path.with_name(path.name + "-journal").read_bytes()
        expected = rolled_back_by_sqlite(tmp_path, database, journal)

        assert rolled_back(database, journal, page_size=page_size) == expected
        assert expected != database, "the transaction had spilled"
        playback = played_back(journal, page_size=page_size)
        assert playback is not None
        assert (playback.page_size, playback.size) == (page_size, len(expected))


class SnapshottingFile(apsw.VFSFile):
    """Keeps a copy of database and journal after each change to either."""

    snapshots: list[tuple[bytes, bytes]]
    path: Path

    def _snapshot(self) -> None:
        journal = self.path.with_name(self.path.name + "-journal")
        pair = (self.path.read_bytes(), journal.read_bytes() if journal.exists() else b"")
        if not self.snapshots or self.snapshots[-1] != pair:
            self.snapshots.append(pair)

    def xSync(self, flags: int) -> None:
        pass

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._snapshot()

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._snapshot()


class SnapshottingVFS(apsw.VFS):
    def __init__(self, path: Path, snapshots: list[tuple[bytes, bytes]]) -> None:
        super().__init__("snapshotting", base="")
        self._attributes = {"path": path, "snapshots": snapshots}

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            return super().xOpen(name, flags)
        return type("File", (SnapshottingFile,), self._attributes)("", name, flags)


@pytest.mark.slow
@pytest.mark.parametrize("journal_mode", JOURNAL_MODES)
@pytest.mark.parametrize("page_size", [512, 4096])
def test_every_moment_of_a_transaction_is_undone_as_sqlite_does(
    tmp_path: Path, page_size: int, journal_mode: str
) -> None:
    """Copies of file and journal after each write and truncation of a few spilling transactions."""
    path = tmp_path / "live.sqlite"
    snapshots: list[tuple[bytes, bytes]] = []
    vfs = SnapshottingVFS(path, snapshots)
    connection = apsw.Connection(str(path), vfs="snapshotting")
    connection.execute(f"PRAGMA page_size={page_size}; PRAGMA journal_mode={journal_mode}")
    connection.execute("PRAGMA cache_size=5; PRAGMA auto_vacuum=FULL; CREATE TABLE t(a, b)")
    for size in (15 * page_size, 4 * page_size, page_size // 2):
        connection.execute("INSERT INTO t SELECT 1, zeroblob(?)", (size,))
        connection.execute("UPDATE t SET a = a + 1; DELETE FROM t WHERE a = 3")
    connection.execute("DELETE FROM t; VACUUM")
    connection.close()
    vfs.unregister()

    hot = 0
    for database, journal in snapshots:
        expected = rolled_back_by_sqlite(tmp_path, database, journal)
        if database:  # beside an empty file SQLite drops a journal unread
            assert rolled_back(database, journal, page_size=page_size) == expected
        hot += played_back(journal, page_size=page_size) is not None
    assert 20 < hot < len(snapshots)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A database of 20 pages of 512 bytes in mid-transaction, and its journal of several headers."""
    path = tmp_path_factory.mktemp("pair") / "live.sqlite"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA page_size=512; PRAGMA cache_size=5; CREATE TABLE t(a, b)")
    connection.execute("INSERT INTO t VALUES (1, zeroblob(7000))")
    connection.execute("BEGIN; UPDATE t SET b = randomblob(7000)")
    connection.execute("INSERT INTO t VALUES (2, randomblob(4000)); UPDATE t SET b = randomblob(99)")
    database, journal = path.read_bytes(), path.with_name(path.name + "-journal").read_bytes()
    connection.execute("ROLLBACK")
    connection.close()
    assert journal.count(MAGIC) >= 2
    return database, journal


RECORD_SIZE = 4 + 512 + 4
HEADER_FIELDS = {
    "record_count": (8, st.sampled_from([0, 1, 2, 5, 100, 0xFFFFFFFF])),
    "checksum_seed": (12, st.integers(0, 0xFFFFFFFF)),
    "page_count": (16, st.integers(0, 40)),
    "sector_size": (20, st.sampled_from([0, 31, 32, 48, 256, 512, 4096, 65536, 131072])),
    "page_size": (24, st.sampled_from([0, 1, 256, 512, 513, 1024, 4096, 65536, 131072])),
}


@st.composite
def mutations(draw: st.DrawFn, journal: bytes) -> bytes:
    """The journal with one or more things wrong, each of a kind that has a rule of its own."""
    changed = bytearray(journal)
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.sampled_from(["field", "number", "flip", "cut", "zero", "append", "repeat"])):
            case "field":
                position, values = HEADER_FIELDS[draw(st.sampled_from(sorted(HEADER_FIELDS)))]
                heads = [i for i in range(0, len(changed) - 28, 512) if changed[i : i + 8] == MAGIC]
                start = draw(st.sampled_from(heads or [0])) + position
                changed[start : start + 4] = struct.pack(">I", draw(values))
            case "number":
                record = 512 + RECORD_SIZE * draw(st.integers(0, 4))
                number = draw(st.sampled_from([0, 1, 2, 30, PENDING_BYTE_OFFSET // 512 + 1]))
                changed[record : record + 4] = struct.pack(">I", number)
            case "flip":
                position = draw(st.integers(28, max(28, len(changed) - 1)))
                if position < len(changed):
                    changed[position] ^= draw(st.integers(1, 255))
            case "cut":
                del changed[draw(st.integers(0, len(changed))) :]
            case "zero":
                changed[:28] = bytes(28)
            case "append":
                changed += draw(st.binary(max_size=40))
            case "repeat":
                record = 512 + RECORD_SIZE * draw(st.integers(0, 2))
                changed[record : record + RECORD_SIZE] = changed[512 : 512 + RECORD_SIZE]
    return bytes(changed)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(draw=st.data())
def test_damaged_journals_undo_what_sqlite_undoes(
    draw: st.DataObject, pair: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wrong fields, numbers, checksums, lengths and repeated records; SQLite judges each."""
    database, journal = pair
    changed = draw.draw(mutations(journal))
    folder = tmp_path_factory.getbasetemp()

    assert rolled_back(database, changed, page_size=512) == rolled_back_by_sqlite(
        folder, database, changed
    )


def test_of_a_page_journaled_twice_the_later_record_counts_as_for_sqlite(
    pair: tuple[bytes, bytes], tmp_path: Path
) -> None:
    database, journal = pair
    header = parse_journal_header(journal, page_size=512)
    assert header is not None
    first, second = (
        struct.pack(">I", 2) + page + struct.pack(">I", header.checksum_seed)
        for page in (b"\0" * 500 + b"first page..", b"\0" * 500 + b"second page.")
    )
    twice = journal[:8] + struct.pack(">I", 2) + journal[12:512] + first + second

    restored = rolled_back(database, twice, page_size=512)

    assert restored[512:1024].endswith(b"second page.")
    assert restored == rolled_back_by_sqlite(tmp_path, database, twice)


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("name", ["a.sqlite-mj0123AB9CD", "Ümlaut-数据-mjFFFFFF900"])
def test_a_super_journal_is_named_and_its_absence_makes_the_journal_cold(
    pair: tuple[bytes, bytes], tmp_path: Path, name: str, *, exists: bool
) -> None:
    database, journal = pair
    super_journal = tmp_path / name
    encoded = str(super_journal).encode()
    signed = struct.unpack(f"{len(encoded)}b", encoded)
    named = journal + struct.pack(">I", PENDING_BYTE_OFFSET // 512 + 1) + encoded
    named += struct.pack(">II", len(encoded), sum(signed) & 0xFFFFFFFF) + MAGIC
    if exists:
        super_journal.write_bytes(str(tmp_path / "judged.sqlite-journal").encode() + b"\0")

    playback = played_back(named, page_size=512)
    expected = rolled_back_by_sqlite(tmp_path, database, named)

    assert playback is not None
    assert playback.super_journal == str(super_journal)
    assert expected == (applied(database, playback) if exists else database)


def test_a_super_journal_name_with_a_wrong_checksum_is_none(pair: tuple[bytes, bytes]) -> None:
    _, journal = pair
    named = journal + b"name" + struct.pack(">II", 4, sum(b"name") + 1) + MAGIC

    assert super_journal_name(named) is None
    assert super_journal_name(b"name" + struct.pack(">II", 4, sum(b"name")) + MAGIC) == "name"


def test_a_journal_that_does_not_tell_its_page_size_has_the_databases(
    pair: tuple[bytes, bytes],
) -> None:
    database, journal = pair
    older = journal[:24] + bytes(4) + journal[28:]

    assert rolled_back(database, older, page_size=512) == rolled_back(database, journal, page_size=4096)


def interesting_bytes() -> Iterator[bytes]:
    """Short, zeroed and hostile journals."""
    header = struct.pack(">8sIIIII", MAGIC, 0xFFFFFFFF, 0, 0xFFFFFFFF, 32, 512)
    yield from (b"", b"\0", MAGIC, header, header.ljust(511, b"\0"), bytes(4096))
    for count, sector in itertools.product((0, 1, 0xFFFFFFFF), (32, 512, 65536)):
        yield struct.pack(">8sIIIII", MAGIC, count, 0, 9, sector, 512).ljust(600, b"\1")
    yield (header[:8] + bytes(4) + header[12:]).ljust(32, b"\0") * 1000


@pytest.mark.parametrize("journal", list(interesting_bytes()))
def test_short_and_hostile_journals_give_a_value_or_none(journal: bytes) -> None:
    playback = played_back(journal, page_size=4096)

    assert playback is None or all(len(p) == playback.page_size for p in playback.pages.values())


@given(st.binary(max_size=2000), st.booleans())
def test_any_bytes_give_a_value_or_none(journal: bytes, magic: bool) -> None:
    played_back((MAGIC if magic else b"") + journal, page_size=512)
    super_journal_name(journal + (MAGIC if magic else b""))

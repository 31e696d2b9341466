"""Whole databases in and out as byte streams."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sqlite_s3vfs.errors import ConflictError, InvalidArgumentError
from sqlite_s3vfs.format.sqlite_header import parse_header
from sqlite_s3vfs.progress import Progress
from sqlite_s3vfs.transfer import deserialize_iter, serialize_fileobj, serialize_iter
from sqlite_s3vfs.wiring import open_database
from tests.engine.conftest import OpenDatabase

ROOT = Path(__file__).parents[2]

MakeFile = Callable[..., bytes]


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    """``data`` in pieces, some of them empty."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
        yield b""


@pytest.mark.parametrize("block_size", [512, 4095, 4096, 4097, 65536, 1 << 20])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_what_goes_in_comes_out_byte_for_byte(
    open_db: OpenDatabase, plain_file: MakeFile, block_size: int, page_size: int
) -> None:
    """On a new name nothing of the file is changed, whatever the sizes."""
    file = plain_file(rows=1500, page_size=page_size)

    deserialize_iter(open_db(block_size=block_size), chunks(file, 10_007))

    out = list(serialize_iter(open_db()))
    assert all(out)
    assert b"".join(out) == file


@pytest.mark.parametrize("size", [1, 4095, 65536, 1 << 30])
def test_chunks_of_any_size_are_taken(
    open_db: OpenDatabase, plain_file: MakeFile, size: int
) -> None:
    """The file is the same in bytes of one, in blocks and in one piece."""
    file = plain_file(rows=50)

    deserialize_iter(open_db(), chunks(file, size))

    assert b"".join(serialize_iter(open_db())) == file


@pytest.mark.parametrize("size", [100, 65536, 200_000])
def test_a_buffer_that_is_filled_again_and_again_is_taken(
    open_db: OpenDatabase, plain_file: MakeFile, size: int
) -> None:
    """What the source does to a chunk after it was taken changes nothing."""
    file = plain_file(rows=3000)
    buffer = bytearray(size)

    def filled_again() -> Iterator[bytes]:
        for start in range(0, len(file), size):
            piece = file[start : start + size]
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]
        buffer[:] = bytes(size)

    deserialize_iter(open_db(), filled_again())

    assert b"".join(serialize_iter(open_db())) == file


def test_a_file_object_reads_as_a_file_does(open_db: OpenDatabase, plain_file: MakeFile) -> None:
    """``read`` with and without a size, past the end too."""
    file = plain_file(rows=3000)
    deserialize_iter(open_db(), [file])

    out = serialize_fileobj(open_db())

    assert out.read(0) == b""
    assert out.read(100) == file[:100]
    assert out.read(70_000) == file[100:70_100]
    assert out.read() == file[70_100:]
    assert out.read() == b""
    assert out.read(5) == b""


def test_a_database_that_does_not_exist_serializes_to_nothing(open_db: OpenDatabase) -> None:
    """As with the ancestor: no chunk, no error."""
    assert list(serialize_iter(open_db())) == []


def test_a_source_that_fails_leaves_the_old_content(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """Midway, with parts uploaded already; and nothing of them is left in the store."""
    old, new = plain_file(rows=100), plain_file(rows=5000)
    database = open_db(block_size=4096)
    deserialize_iter(database, [old])
    before = {row.key for row in database.engine.store.list(database.prefix)}

    def failing() -> Iterator[bytes]:
        yield new[: len(new) // 2]
        raise OSError("the source broke off")

    with pytest.raises(OSError, match="broke off"):
        deserialize_iter(database, failing())

    assert b"".join(serialize_iter(open_db())) == old
    assert {row.key for row in database.engine.store.list(database.prefix)} == before


@pytest.mark.parametrize("cut", [1, 99, 100, 5000])
def test_bytes_that_are_no_whole_database_are_refused(
    open_db: OpenDatabase, plain_file: MakeFile, cut: int
) -> None:
    """Cut short, or something else altogether: nothing is changed."""
    file = plain_file(rows=500)
    database = open_db(block_size=4096)

    with pytest.raises(InvalidArgumentError, match="nothing was changed"):
        deserialize_iter(database, [file[:cut]])
    with pytest.raises(InvalidArgumentError, match="nothing was changed"):
        deserialize_iter(database, [b"x" * cut])

    assert open_db().snapshot().version == 0


def test_replacing_raises_the_counters_that_open_connections_compare(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """I9: change counter and schema cookie lie above both contents; no other byte differs."""
    old, new = plain_file(rows=3000), plain_file(rows=700)
    deserialize_iter(open_db(), [old])

    deserialize_iter(open_db(), [new])

    out = b"".join(serialize_iter(open_db()))
    changed = {24, 25, 26, 27, 40, 41, 42, 43, 92, 93, 94, 95}
    assert all(a == b for i, (a, b) in enumerate(zip(out, new, strict=True)) if i not in changed)
    headers = [parse_header(file) for file in (old, new, out)]
    assert all(headers)
    counters = [header.change_counter for header in headers if header]
    cookies = [header.schema_cookie for header in headers if header]
    assert counters[2] > max(counters[:2])
    assert cookies[2] > max(cookies[:2])


def test_a_file_in_wal_mode_is_turned_to_rollback_mode(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """It could not be opened otherwise; only the two mode bytes differ."""
    file = plain_file(rows=300, wal=True)
    assert file[18:20] == b"\x02\x02"

    deserialize_iter(open_db(), [file])

    out = b"".join(serialize_iter(open_db()))
    assert out == file[:18] + b"\x01\x01" + file[20:]


def test_a_commit_during_an_import_is_replaced_as_well(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """The import was asked to replace the content, whatever it is by then; history keeps the other."""
    deserialize_iter(open_db(), [plain_file(rows=10)])
    new, other = plain_file(rows=2000), plain_file(rows=20)

    def interrupted() -> Iterator[bytes]:
        yield new[:50_000]
        deserialize_iter(open_db(), [other])
        yield new[50_000:]

    deserialize_iter(open_db(), interrupted())

    assert b"".join(serialize_iter(open_db()))[100:] == new[100:]
    assert open_db().snapshot().version == 3


def test_a_database_made_meanwhile_is_a_conflict(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """What was uploaded for a new database cannot become part of somebody else's."""
    mine, theirs = plain_file(rows=2000), plain_file(rows=20)

    def interrupted() -> Iterator[bytes]:
        yield mine[:50_000]
        deserialize_iter(open_db(), [theirs])
        yield mine[50_000:]

    with pytest.raises(ConflictError):
        deserialize_iter(open_db(), interrupted())

    assert b"".join(serialize_iter(open_db())) == theirs


def test_serializing_keeps_to_one_version(open_db: OpenDatabase, plain_file: MakeFile) -> None:
    """A commit between two chunks is not seen."""
    file = plain_file(rows=60_000)
    database = open_db()
    deserialize_iter(database, [file])

    out = serialize_iter(database)
    first = next(out)
    deserialize_iter(open_db(), [plain_file(rows=5)])

    assert first + b"".join(out) == file


def test_progress_is_told_in_bytes(open_db: OpenDatabase, plain_file: MakeFile) -> None:
    """It grows, and ends with the whole file."""
    file = plain_file(rows=60_000)
    told: list[Progress] = []
    database = open_db()

    deserialize_iter(database, chunks(file, 1 << 16), on_progress=told.append)
    going_in = [progress.done_bytes for progress in told]
    told.clear()
    list(serialize_iter(database, on_progress=told.append))

    assert going_in == sorted(going_in)
    assert going_in[-1] == len(file)
    assert told[-1] == Progress("serialize", len(file), len(file))


def test_an_import_costs_one_put_for_four_mebibytes(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """Segments, block 0, map and manifest; the same once more: history in the place of segments.

    The map is an object of its own: it carries more interior pages than fit into the manifest.
    """
    file = plain_file(rows=80_000)
    database = open_db(locking="none")
    segments = -(-(len(file) - 65536) // (4 << 20))

    counts = []
    for _ in range(2):
        before = database.engine.metrics.snapshot()
        deserialize_iter(database, [file])
        counts.append((database.engine.metrics.snapshot() - before).put.requests)

    assert counts == [segments + 3, 4]
    assert len(list(database.engine.store.list(f"{database.prefix}/maps/"))) == 2


def test_an_import_reads_nothing_of_what_it_writes(
    open_db: OpenDatabase, plain_file: MakeFile, prefix: str
) -> None:
    """To a new name it asks for the manifest, however large the file is."""
    engine = open_db(locking="none").engine
    asked = []
    for name, rows in (("little", 10), ("large", 80_000)):
        database = open_database(engine, f"{prefix}{name}.sqlite")
        before = database.engine.metrics.snapshot()
        deserialize_iter(database, [plain_file(rows=rows)])
        spent = database.engine.metrics.snapshot() - before
        asked.append((spent.get.requests, spent.get.bytes_down))

    assert asked[0] == asked[1]
    assert asked[0][1] == 0


_LARGE_FILE = """
import itertools, pathlib, sys
import apsw
from benchmarks.memory import peak, start_peak
from sqlite_s3vfs import DirectoryObjectStore, Settings
from sqlite_s3vfs.transfer import deserialize_iter, serialize_iter
from sqlite_s3vfs.wiring import Engine, open_database

SIZE = 512 << 20
connection = apsw.Connection(":memory:")
connection.execute("CREATE TABLE t(a)")
page = bytearray(connection.serialize("main")[:4096])
page[28:32] = (SIZE // 4096).to_bytes(4, "big")
block = bytes(range(256)) * 4096
settings = Settings(locking="none", cache_bytes=0)
database = open_database(Engine(DirectoryObjectStore(sys.argv[1]), settings), "large.sqlite")

before = start_peak()
first = bytes(page).ljust(1 << 20, bytes(1))
deserialize_iter(database, itertools.chain([first], itertools.repeat(block, (SIZE >> 20) - 1)))
assert sum(map(len, serialize_iter(database))) == SIZE
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_stays_bounded_while_a_large_file_passes(tmp_path: Path) -> None:
    """512 MiB go in and come out of a process that grows by less than 160 MiB."""
    script = [sys.executable, "-c", _LARGE_FILE, str(tmp_path / "store")]

    grown = subprocess.run(script, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert int(grown) < 160 << 20


def test_an_error_of_the_progress_callback_does_not_undo_what_is_published(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """The last call comes after the commit: the content stays, and nothing of it is removed."""
    file = plain_file(rows=3000)

    def broken(progress: Progress) -> None:
        if progress.total_bytes is not None:
            raise BrokenPipeError("nobody watches any more")

    with pytest.raises(BrokenPipeError):
        deserialize_iter(open_db(block_size=4096), [file], on_progress=broken)

    assert b"".join(serialize_iter(open_db())) == file


def test_an_abandoned_iterator_keeps_nobody_waiting(
    open_db: OpenDatabase, plain_file: MakeFile
) -> None:
    """Its reads are cancelled, and the database goes on."""
    file = plain_file(rows=60_000)
    database = open_db()
    deserialize_iter(database, [file])

    out = serialize_iter(database)
    next(out)
    del out

    assert b"".join(serialize_iter(database)) == file

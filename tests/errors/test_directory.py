"""A directory as the store: without rights, full, in the way, or with files that are not its own."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from errors.conftest import MakeVFS, Open
from errors.expect import check_error, refused, untouched
from errors.operations import MAKING, READING, WRITING
from errors.sample import LARGE, SMALL, Sample, make_sample, read_all
from sqlite_s3vfs import connect
from sqlite_s3vfs.errors import (
    AccessDeniedError,
    CorruptError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from sqlite_s3vfs.store.directory import DirectoryObjectStore

EVERYTHING = [*READING.values(), *WRITING.values()]
WAY_OUT = "check owner and mode of the directory"


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory of an ordinary user, who also runs the test: root would be allowed everything."""
    path = Path(tempfile.mkdtemp())
    was_root = os.geteuid() == 0
    if was_root:
        path.chmod(0o777)
        os.seteuid(65534)
    try:
        yield path / "store"
    finally:
        if was_root:
            os.seteuid(0)
        set_modes(path, 0o700, 0o600)
        shutil.rmtree(path)


def set_modes(path: Path, directories: int, files: int) -> None:
    """Of everything in ``path``, and of itself."""
    if path.is_dir():
        path.chmod(0o700)
        for child in path.iterdir():
            set_modes(child, directories, files)
        path.chmod(directories)
    else:
        path.chmod(files)


@pytest.fixture
def store(root: Path) -> DirectoryObjectStore:
    return DirectoryObjectStore(root)


@pytest.fixture
def there(store: DirectoryObjectStore, make_vfs: MakeVFS) -> Sample:
    """The sample database."""
    vfs = make_vfs(store)
    sample = make_sample(vfs, "db")
    vfs.close()
    return sample


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_without_the_right_to_write_reading_works_and_nothing_is_tried(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    set_modes(root, 0o555, 0o444)
    vfs = make_vfs(store)

    assert read_all(open_through(vfs, "db")) == there.rows
    assert read_all(open_through(vfs, "db", mode="ro")) == there.rows
    assert b"".join(vfs.serialize_iter("db")) == there.file
    for operation in READING.values():
        operation.run(vfs, "db")

    spent = vfs.metrics()
    assert spent.put.requests == spent.delete.requests == spent.total.failed == 0


def test_without_the_right_to_write_writing_is_denied_and_leaves_nothing(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    set_modes(root, 0o555, 0o444)
    vfs = make_vfs(store)
    before = files(root)

    for name in ("db", "new"):
        for operation in (*WRITING.values(), *MAKING.values()):
            if (name, operation) == ("db", MAKING["vacuum into"]):
                continue                        # SQLite itself refuses to write over a database
            with untouched(store, ""), refused(
                AccessDeniedError,
                operation.code and apsw.SQLITE_PERM,
                WAY_OUT,
                f"directory='{root}'",
                "error=EACCES",
            ):
                operation.run(vfs, name)

    assert files(root) == before
    set_modes(root, 0o755, 0o644)
    connection = open_through(vfs, "db")
    connection.execute(SMALL).execute(LARGE)
    assert len(read_all(connection)) == len(there.rows)


def test_without_the_right_to_read_everything_is_denied(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    set_modes(root, 0o000, 0o000)
    vfs = make_vfs(store)

    for operation in EVERYTHING:
        with refused(
            AccessDeniedError, operation.code and apsw.SQLITE_PERM, WAY_OUT, "db/manifest"
        ):
            operation.run(vfs, "db")
    set_modes(root, 0o755, 0o644)

    assert read_all(open_through(vfs, "db")) == there.rows


def test_one_file_without_the_right_to_read_is_named(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    segments = {path: path.stat().st_size for path in files(root) if "segments" in path.parts}
    largest = max(segments, key=lambda path: segments[path])
    largest.chmod(0o000)
    connection = open_through(make_vfs(store), "db")

    with refused(AccessDeniedError, apsw.SQLITE_PERM, WAY_OUT, "db/segments/"):
        connection.execute("SELECT * FROM t").fetchall()
    largest.chmod(0o644)

    assert read_all(connection) == there.rows


def test_a_missing_directory_is_an_empty_store(
    root: Path, make_vfs: MakeVFS, open_through: Open
) -> None:
    vfs = make_vfs(DirectoryObjectStore(root))

    with refused(NotFoundError, apsw.SQLITE_CANTOPEN, "name='db'"):
        open_through(vfs, "db", mode="ro")
    assert open_through(vfs, "db").execute("SELECT * FROM sqlite_schema").fetchall() == []
    assert not root.exists()

    open_through(vfs, "db").execute("CREATE TABLE t (v)")
    assert root.exists()


def test_a_file_where_the_directory_should_be(root: Path, make_vfs: MakeVFS) -> None:
    root.write_bytes(b"not a directory")
    vfs = make_vfs(DirectoryObjectStore(root))

    for operation in EVERYTHING:
        with refused(
            InvalidArgumentError,
            operation.code_at_begin,
            "some other file is where a part of it belongs",
            f"directory='{root}'",
            "error=ENOTDIR",
        ):
            operation.run(vfs, "db")
    assert root.read_bytes() == b"not a directory"


@pytest.mark.parametrize("garbage", [b"", b"short", b"another file, longer than our header" * 9])
def test_a_file_that_the_store_did_not_write_is_named(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open,
    garbage: bytes,
) -> None:
    (path,) = (path for path in files(root) if path.name.startswith("manifest"))
    right = path.read_bytes()
    path.write_bytes(garbage)
    vfs = make_vfs(store)

    for operation in EVERYTHING:
        with refused(
            CorruptError, operation.code and apsw.SQLITE_CORRUPT, "not one that it wrote", str(path)
        ):
            operation.run(vfs, "db")
    path.write_bytes(right)

    assert read_all(open_through(vfs, "db")) == there.rows


def test_a_file_of_the_store_with_one_changed_byte(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    """The store's own header holds an ETag only; what is stored proves itself."""
    corrupt: set[Path] = set()
    for path in files(root):
        right = bytearray(path.read_bytes())
        for position in range(0, len(right), max(1, len(right) // 12)):
            wrong = bytearray(right)
            wrong[position] ^= 1
            path.write_bytes(wrong)
            vfs = make_vfs(store)
            connection = open_through(vfs, "db")
            try:
                found = read_all(connection)
            except apsw.Error as error:
                check_error(error, CorruptError, apsw.SQLITE_CORRUPT)
                corrupt.add(path)
            else:
                assert found == there.rows
            connection.close()
            vfs.close()
        path.write_bytes(right)
    assert {path.relative_to(root / "db").parts[0] for path in corrupt} == {"manifest@", "segments"}


def test_a_disk_without_room_for_a_transaction(
    root: Path, store: DirectoryObjectStore, there: Sample, make_vfs: MakeVFS, open_through: Open
) -> None:
    """A limit on the size of files stands for the full disk. What fits is committed all the same."""
    connection = open_through(make_vfs(store), "db")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with untouched(store, ""):
            connection.execute("BEGIN").execute("INSERT INTO t (body) VALUES (randomblob(300000))")
            with refused(StoreUnavailableError, apsw.SQLITE_BUSY, "error=EFBIG", "db/segments/"):
                connection.execute("COMMIT")
            assert connection.in_transaction
            connection.execute("ROLLBACK")
        connection.execute(SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert len(read_all(connection)) == len(there.rows)
    connection.execute("INSERT INTO t (body) VALUES (randomblob(300000))")
    assert len(read_all(open_through(make_vfs(store), "db"))) == len(there.rows) + 1


def test_connect_says_the_same(root: Path, there: Sample) -> None:
    set_modes(root, 0o555, 0o444)
    connection = connect(f"file://{root}/db?mode=ro")

    assert read_all(connection) == there.rows
    connection.close()
    connection = connect(f"file://{root}/db")
    with refused(AccessDeniedError, apsw.SQLITE_PERM, WAY_OUT):
        connection.execute(SMALL)
    connection.close()

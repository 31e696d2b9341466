"""``import`` and ``export``."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from cli.conftest import Command, both, everywhere
from sqlite_s3vfs.cli.download import ATTEMPTS_IN_VAIN, Download, download
from sqlite_s3vfs.cli.exits import Exit, exit_of
from sqlite_s3vfs.cli.partials import claimed
from sqlite_s3vfs.errors import ConflictError, StoreUnavailableError
from sqlite_s3vfs.progress import no_progress
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store import file_lock
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.transfer import deserialize_iter
from sqlite_s3vfs.wiring import Engine, open_database


@everywhere
def test_what_goes_in_comes_out(cli: Command, library: str, plain_file: Path, tmp_path: Path):
    target = tmp_path / "out.sqlite"

    ended = cli("export", library, target)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"exported version 1 to {target}: 2.0 MiB\n"
    assert target.read_bytes() == plain_file.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@both
def test_through_pipes(program: Command, folder: str, plain_file: Path, tmp_path: Path):
    url = f"{folder}/piped.sqlite"
    command = [sys.executable, "-m", "sqlite_s3vfs"]
    with plain_file.open("rb") as source:
        subprocess.run([*command, "import", url, "-"], stdin=source, check=True, env=dict(os.environ))

    exported = subprocess.run([*command, "export", url, "-"], capture_output=True, check=True)

    assert exported.stdout == plain_file.read_bytes()
    assert exported.stderr == b""


def test_an_import_over_a_database_has_to_be_confirmed(cli: Command, library: str, plain_file: Path):
    denied = cli("import", library, plain_file)
    allowed = cli("import", "--yes", "--json", library, plain_file)

    assert (denied.code, "give --yes" in denied.err) == (11, True)
    assert (allowed.code, allowed.json["version"], allowed.json["replaced"]) == (0, 2, 1)


def test_an_export_over_a_file_has_to_be_confirmed(cli: Command, library: str, tmp_path: Path):
    target = tmp_path / "precious"
    target.write_bytes(b"precious")

    denied = cli("export", library, target)

    assert (denied.code, target.read_bytes()) == (11, b"precious")
    assert cli("export", "--yes", library, target).code == 0
    assert target.read_bytes().startswith(b"SQLite format 3\0")


def test_what_a_write_ahead_log_holds_is_imported(cli: Command, folder: str, tmp_path: Path):
    path = tmp_path / "wal.sqlite"
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (v)")
        writer.execute("INSERT INTO t VALUES ('only in the log')")
        writer.commit()
        assert b"only in the log" not in path.read_bytes()

        assert cli("import", f"{folder}/wal.sqlite", path).code == 0

    rows = cli("query", "--json", f"{folder}/wal.sqlite", "SELECT v FROM t").json
    assert rows == [{"v": "only in the log"}]


def test_a_file_in_which_somebody_writes_is_not_imported_half(
    cli: Command, folder: str, plain_file: Path
):
    with closing(apsw.Connection(str(plain_file))) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").fetchall()

        ended = cli("import", f"{folder}/db", plain_file)

        writer.execute("ROLLBACK")
    assert (ended.code, "locked" in ended.err) == (6, True)


NO_DATABASES = [b"no database at all" * 100, b"SQLite format 3\0" + bytes(10_000)]


@pytest.mark.parametrize("content", NO_DATABASES)
def test_a_file_that_is_no_database_is_refused(
    cli: Command, folder: str, tmp_path: Path, content: bytes
):
    path = tmp_path / "no.sqlite"
    path.write_bytes(content)

    ended = cli("import", f"{folder}/db", path)

    assert (ended.code, "no SQLite database" in ended.err) == (2, True)
    assert cli("ls", "--json", folder).json == []


def test_missing_local_files(cli: Command, library: str, tmp_path: Path):
    assert cli("import", library, tmp_path / "missing").code == 2
    assert cli("export", library, tmp_path / "missing" / "out").code == 12


class Breaking:
    """A store of which every read of a segment fails once it has been asked ``allowed`` times."""

    def __init__(self, store: MemoryObjectStore) -> None:
        self.store = store
        self.allowed = 1 << 30
        self.broken = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def get(self, key: str, **arguments: object) -> object:
        if "/segments/" in key:
            self.allowed -= 1
            if self.allowed < 0:
                self.broken += 1
                raise StoreUnavailableError("the connection broke.")
        return self.store.get(key, **arguments)


@pytest.fixture
def breaking() -> Breaking:
    return Breaking(MemoryObjectStore())


@pytest.fixture
def large(breaking: Breaking) -> Snapshot:
    """A version of some 20 segments."""
    settings = Settings(block_size=4096, segment_size=64 << 10, cache_bytes=0, pool_size=1)
    engine = Engine(breaking, settings)
    database = open_database(engine, "db")
    with closing(apsw.Connection(":memory:")) as source:
        source.execute("CREATE TABLE t (v); INSERT INTO t VALUES (randomblob(6000000))")
        deserialize_iter(database, [source.serialize("main")])
    return database.snapshot()


class Patience(ManualClock):
    """The connection works again after a pause, for a few requests."""

    def __init__(self, store: Breaking, requests: int) -> None:
        super().__init__()
        self._store = store
        self._requests = requests

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._store.allowed = self._requests


def test_an_export_goes_on_after_the_connection_broke(
    breaking: Breaking, large: Snapshot, tmp_path: Path
):
    breaking.allowed = 70

    done = download(Download(large, tmp_path / "out", Patience(breaking, 70)), no_progress)

    assert done.interruptions >= 1
    breaking.allowed = 1 << 30
    assert (tmp_path / "out").read_bytes() == bytes(large.read(0, large.size))


def test_an_export_that_gave_up_goes_on_when_it_is_given_again(
    breaking: Breaking, large: Snapshot, tmp_path: Path
):
    target = tmp_path / "out"
    breaking.allowed = 70
    with pytest.raises(StoreUnavailableError, match="goes on where it stopped"):
        download(Download(large, target, Patience(breaking, 0)), no_progress)
    assert not target.exists()
    (partial,) = tmp_path.iterdir()
    with partial.open("ab") as torn:
        torn.write(b"half a block of a process that was killed")

    breaking.allowed = 1 << 30
    done = download(Download(large, target, ManualClock()), no_progress)

    assert done.resumed_at == partial_size_of(large, done.resumed_at)
    assert target.read_bytes() == bytes(large.read(0, large.size))
    assert list(tmp_path.iterdir()) == [target]
    assert breaking.broken >= ATTEMPTS_IN_VAIN


def partial_size_of(snapshot: Snapshot, resumed_at: int) -> int:
    """What a part is: more than nothing, less than all, and whole blocks."""
    assert 0 < resumed_at < snapshot.size
    return resumed_at - resumed_at % snapshot.block_size


def test_a_part_of_another_version_is_not_taken(breaking: Breaking, large: Snapshot, tmp_path: Path):
    breaking.allowed = 1 << 30
    target = tmp_path / "out"
    wanted = Download(large, target, ManualClock())
    other = wanted.partial.with_name(wanted.partial.name.replace("v1-", "v2-"))
    other.write_bytes(bytes(large.block_size))

    assert download(wanted, no_progress).resumed_at == 0
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == bytes(large.read(0, large.size))


class Meanwhile(Breaking):
    """A store that does something else before it answers the second read of a segment."""

    def __init__(self, store: MemoryObjectStore) -> None:
        super().__init__(store)
        self.asked = 0
        self.happens: Callable[[], None] = lambda: None

    def get(self, key: str, **arguments: object) -> object:
        if "/segments/" in key:
            self.asked += 1
            if self.asked == 2:
                self.happens()
        return super().get(key, **arguments)


class TestTwoExportsToOneTarget:
    """One goes on while the other is in the middle of it."""

    @pytest.fixture
    def breaking(self) -> Meanwhile:
        return Meanwhile(MemoryObjectStore())

    def test_of_the_same_version(self, breaking: Meanwhile, large: Snapshot, tmp_path: Path):
        wanted = Download(large, tmp_path / "out", ManualClock())
        again = open_database(Engine(breaking.store), "db").snapshot()
        seen: list[str] = []

        def second() -> None:
            try:
                download(Download(again, wanted.target, ManualClock()), no_progress)
            except ConflictError as refused:
                seen.append(str(refused))

        breaking.asked, breaking.happens = 0, second
        download(wanted, no_progress)

        (refused,) = seen
        assert "another export of the same version to the same file" in refused
        assert exit_of(ConflictError()) is Exit.CONFLICT
        assert wanted.target.read_bytes() == bytes(large.read(0, large.size))
        assert list(tmp_path.iterdir()) == [wanted.target]

    def test_of_different_versions(self, breaking: Meanwhile, large: Snapshot, tmp_path: Path):
        slow = Download(large, tmp_path / "out", ManualClock())
        small = open_database(Engine(MemoryObjectStore()), "db")
        with closing(apsw.Connection(":memory:")) as source:
            source.execute("CREATE TABLE t (v)")
            deserialize_iter(small, [source.serialize("main")])
        quick = Download(small.snapshot(), slow.target, ManualClock())
        seen: list[bytes] = []

        def other() -> None:
            download(quick, no_progress)
            seen.append(quick.target.read_bytes())

        breaking.asked, breaking.happens = 0, other
        download(slow, no_progress)

        assert seen == [bytes(quick.snapshot.read(0, quick.snapshot.size))]
        assert slow.target.read_bytes() == bytes(large.read(0, large.size))
        assert list(tmp_path.iterdir()) == [slow.target]

    def test_a_lock_on_a_file_that_was_moved_away_does_not_count(self, tmp_path: Path, monkeypatch):
        """Between the opening and the locking the other export came to its end."""
        path, target = tmp_path / "partial", tmp_path / "target"
        path.write_bytes(b"whole")
        lock = file_lock.try_lock
        attempts: list[int] = []

        def moved_first(descriptor: int) -> bool:
            attempts.append(descriptor)
            if len(attempts) == 1:
                path.replace(target)
            return lock(descriptor)

        monkeypatch.setattr("sqlite_s3vfs.cli.partials.try_lock", moved_first)
        with claimed(path) as file:
            file.write(b"begun anew")

        assert (target.read_bytes(), path.read_bytes()) == (b"whole", b"begun anew")

"""A database of two tables and two indexes, as a plain file and imported into a store."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Connect = Callable[..., apsw.Connection]
ROWS = 1500
QUERIES = [
    "SELECT count(*), sum(length(body)) FROM post",
    "SELECT id FROM post ORDER BY id DESC",
    "SELECT * FROM post WHERE user = 7",
    "SELECT * FROM post WHERE user = 7 ORDER BY user DESC, id DESC",
    "SELECT p.id, o.id FROM post p JOIN other o ON o.id = p.id WHERE p.user < 9",
    "SELECT count(*) FROM other a JOIN post b ON b.user = a.user AND b.id = a.id + 1",
    "SELECT user, count(*), max(body) FROM post GROUP BY user",
    "SELECT length(body), substr(body, -9) FROM big",
    "SELECT sum(length(body)) FROM post WHERE id BETWEEN 300 AND 900",
    "SELECT * FROM post WHERE id IN (3, 1490, 17, 800, 801)",
]


def make_file(path: Path) -> None:
    rnd = random.Random(7)
    connection = sqlite3.connect(path)
    connection.executescript(
        "PRAGMA page_size=1024; CREATE TABLE post (id INTEGER PRIMARY KEY, user, body);"
        "CREATE TABLE other (id INTEGER PRIMARY KEY, user, body); CREATE INDEX of_user ON post (user);"
        "CREATE INDEX of_other ON other (user, body); CREATE TABLE big (body)"
    )
    rows = [(n, rnd.randrange(60), rnd.randbytes(rnd.randrange(40, 400)).hex()) for n in range(ROWS)]
    connection.executemany("INSERT INTO post VALUES (?, ?, ?)", rows)
    rnd.shuffle(rows)
    connection.executemany("INSERT INTO other VALUES (?, ?, ?)", rows)
    blobs = [(rnd.randbytes(size),) for size in (100_000, 9, 300_000)]
    connection.executemany("INSERT INTO big VALUES (?)", blobs)
    connection.commit()
    connection.close()


@pytest.fixture(scope="session")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reads") / "plain.db"
    make_file(path)
    return path


@pytest.fixture
def _small_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies of interior pages do not fit the manifest, as in a database a hundred times as big."""
    monkeypatch.setattr("sqlite_s3vfs.planning.interior.INTERIOR_MAX", 1 << 10)


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore()


@pytest.fixture
def make_vfs() -> Iterator[Callable[..., S3VFS]]:
    """Makes VFS objects, each as if in a process of its own."""
    made: list[S3VFS] = []

    def make(over: ObjectStore, **settings: object) -> S3VFS:
        made.append(S3VFS(over, settings=Settings(**settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for vfs in made:
        vfs.close()


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[apsw.Connection] = []

    def open_connection(vfs: S3VFS, name: str = "db") -> apsw.Connection:
        opened.append(apsw.Connection(name, vfs=vfs.name))
        return opened[-1]

    yield open_connection
    for connection in opened:
        connection.close(force=True)


@pytest.fixture
def imported(
    store: MemoryObjectStore, plain_file: Path, make_vfs: Callable[..., S3VFS]
) -> Callable[..., MemoryObjectStore]:
    """Call it with settings for the store with the file imported as ``db``."""

    def load(**settings: object) -> MemoryObjectStore:
        make_vfs(store, **settings).deserialize_iter("db", [plain_file.read_bytes()])
        return store

    return load

"""VFS objects over every store, and connections that are closed at the end of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apsw
import pytest

from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.processes import OtherProcess

Connect = Callable[..., apsw.Connection]


@pytest.fixture
def store() -> ObjectStore:
    """An empty store in memory."""
    return MemoryObjectStore()


@pytest.fixture
def make_vfs(store: ObjectStore) -> Iterator[Callable[..., S3VFS]]:
    """Makes VFS objects, each as if in a process of its own; the store is ``store`` unless given."""
    made: list[S3VFS] = []

    def make(over: ObjectStore | None = None, **arguments: object) -> S3VFS:
        inner = OtherProcess(over or store, f"process {len(made)}")
        made.append(S3VFS(inner, **arguments))
        return made[-1]

    yield make
    for vfs in made:
        vfs.close()


@pytest.fixture
def vfs(make_vfs: Callable[..., S3VFS]) -> S3VFS:
    """One VFS over ``store``."""
    return make_vfs()


@pytest.fixture
def connect(vfs: S3VFS) -> Iterator[Connect]:
    """Opens connections through ``vfs``, or through the one given; by URI where parameters are."""
    opened: list[apsw.Connection] = []

    def open_connection(
        name: str, *, through: S3VFS | None = None, **parameters: str
    ) -> apsw.Connection:
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        uri = f"file:{name}?{query}"
        opened.append(apsw.Connection(uri, flags=flags, vfs=(through or vfs).name))
        return opened[-1]

    yield open_connection
    for connection in opened:
        connection.close(force=True)


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's pauses between attempts take no time, for VFS objects made from here on."""
    monkeypatch.setattr("sqlite_s3vfs.engine.SystemClock", ManualClock)

"""A database with a past that is written down: the bytes of each version as it was committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import apsw
import pytest

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import ManualClock
from sqlite_s3vfs.transfer import serialize_iter
from sqlite_s3vfs.vfs.s3vfs import S3VFS


def content_of(database: Database) -> bytes:
    return b"".join(serialize_iter(database))


@dataclass
class Recorded:
    """A database that is written to by SQL, and what each of its versions was."""

    store: ObjectStore
    clock: ManualClock
    name: str = "some/database"
    settings: Settings = field(default_factory=Settings)
    versions: dict[int, bytes] = field(default_factory=dict)
    times: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.vfs = S3VFS(self.store, settings=self.settings)
        self.vfs._engine.clock = self.clock
        self.connection = self.connect()

    def connect(self, **parameters: str | int) -> apsw.Connection:
        return self.connect_to(self.name, **parameters)

    def connect_to(self, name: str, **parameters: str | int) -> apsw.Connection:
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        return apsw.Connection(f"file:{name}?{query}", flags=flags, vfs=self.vfs.name)

    @property
    def database(self) -> Database:
        return self.vfs._databases.database(self.name)

    def commit(self, sql: str) -> int:
        """Run a script as one transaction, a second later; the version that it made."""
        self.clock.advance(1)
        self.connection.execute(f"begin immediate; {sql}; commit").fetchall()
        return self.record()

    def record(self) -> int:
        snapshot = self.database.snapshot()
        self.versions[snapshot.version] = content_of(self.database)
        self.times.setdefault(snapshot.version, self.clock.now())
        return snapshot.version

    def close(self) -> None:
        self.connection.close()
        self.vfs.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory(clock: ManualClock) -> MemoryObjectStore:
    return MemoryObjectStore(clock=clock)


@pytest.fixture
def record(memory: MemoryObjectStore, clock: ManualClock) -> Iterator[Callable[..., Recorded]]:
    """Call it for a database whose versions are written down."""
    made: list[Recorded] = []

    def make(**values: object) -> Recorded:
        over = values.pop("store", memory)
        name = values.pop("name", "some/database")
        made.append(Recorded(over, clock, name, Settings(**values)))
        return made[-1]

    yield make
    for recorded in made:
        recorded.close()


@pytest.fixture
def fresh(memory: MemoryObjectStore, clock: ManualClock) -> Iterator[Callable[..., Database]]:
    """Call it for a database as another process has it, that knows nothing yet."""
    engines: list[Engine] = []

    def make(name: str = "some/database", **values: object) -> Database:
        over = values.pop("store", memory)
        engines.append(Engine(over, Settings(**values), clock=clock))
        return Database(engines[-1], name)

    yield make
    for engine in engines:
        engine.close()

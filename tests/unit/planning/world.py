"""Commits, shrinks, regrows, folds and replacements of two writers, beside a model of plain bytes.

``World`` drives the real engine over the in-memory store, keeps the bytes of every version, and checks
after each commit what the invariants promise, with the independent reader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.testing import ManualClock, SeededIds
from sqlite_s3vfs.transfer import deserialize_iter
from unit.independent import Stored
from unit.planning.accounting import Accounts
from unit.planning.claims import check_bounds, check_contents, check_copies

PREFIX = "some/database"
RETENTION = 60
"""Seconds."""
SMALL_LIMITS = {
    "TAIL_COMMIT_MAX": 8 << 10,
    "TAIL_HARD_MAX": 16 << 10,
    "_TRY_PAGES_MAX": 6,
    "INTERIOR_MAX": 2 << 10,
    "RECENT_COMMITS": 4,
    "RECENT_MAX": 6,
    "PIECES_MAX": 3,
    "DEAD_MAX": 3,
    "PIECE_SPAN": 4,
    "NODE_SPAN": 2,
}
NEVER_BY_ITSELF = {"COMMITS_BEFORE_FOLDING": 1 << 30, "PIECES_CACHED": 1 << 20}
"""No fold in the background; and tiny pieces are many."""
RAISED = (slice(24, 28), slice(40, 44), slice(92, 96))
"""What a replacement changes in the header (I9)."""


@contextmanager
def limits(values: Mapping[str, int]) -> Iterator[None]:
    """Other limits of the format and the plans, wherever a module of the library has them by name."""
    modules = [module for name, module in sys.modules.items() if name.startswith("sqlite_s3vfs")]
    patches = [
        patch.object(module, name, value)
        for module in modules
        for name, value in values.items()
        if hasattr(module, name)
    ]
    assert {item.attribute for item in patches} == set(values)
    for item in patches:
        item.start()
    try:
        yield
    finally:
        for item in patches:
            item.stop()


@dataclass(frozen=True)
class Write:
    """Pages (from 1) with new contents; ``seed`` makes them, ``noise`` makes them incompressible."""

    pages: tuple[int, ...]
    seed: int = 0
    noise: bool = False
    interior: bool = False


@dataclass(frozen=True)
class Cut:
    """The file is truncated to so many pages."""

    pages: int


@dataclass(frozen=True)
class Commit:
    """One transaction; page 1 is always written at its end."""

    steps: tuple[Write | Cut, ...]
    by: int = 0


@dataclass(frozen=True)
class Repage:
    """A transaction that writes the whole file anew with another page size."""

    page_size: int
    pages: int
    by: int = 0


@dataclass(frozen=True)
class Replace:
    """deserialize: all content replaced."""

    pages: int
    by: int = 0


@dataclass(frozen=True)
class Fold:
    """A fold, adopted by the next commit of the same writer."""

    by: int = 0


Operation = Commit | Repage | Replace | Fold


class Objects(Mapping[str, bytes]):
    """What lies in a store, as a mapping."""

    def __init__(self, store: MemoryObjectStore) -> None:
        self._store = store

    def __getitem__(self, key: str) -> bytes:
        found = self._store.get(key)
        if not isinstance(found, Fetched):
            raise KeyError(key)
        return found.body

    def __iter__(self) -> Iterator[str]:
        return (row.key for row in self._store.list(""))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class World:
    """Two writers, the model, and the checks."""

    def __init__(self, page_size: int, block_size: int) -> None:
        self.page_size = page_size
        self.clock = ManualClock()
        self.store = store = MemoryObjectStore(clock=self.clock, ids=SeededIds("store"))
        self.stored = Stored(Objects(store), PREFIX)
        settings = Settings(block_size=block_size, segment_size=64 << 10, retention_seconds=RETENTION)
        self.writers = [_writer(store, settings, seed) for seed in range(2)]
        self.file = bytearray()
        self.files: dict[int, bytes] = {}
        self.accounts = Accounts()

    @property
    def version(self) -> int:
        return len(self.files)

    def apply(self, operation: Operation) -> None:
        """Do it in the store and in the model, and check every claim."""
        match operation:
            case Fold(by):
                if self.file:
                    self.writers[by].fold()
                return
            case Commit(steps, by):
                self._commit(steps, by)
            case Repage(page_size, pages, by):
                self._repage(page_size, pages, by)
            case Replace(pages, by):
                self._replace(pages, by)
        self.files[self.version + 1] = bytes(self.file)
        self.check()

    def check(self) -> None:
        """All that is claimed of what lies in the store now."""
        newest = self.stored.newest()
        assert newest.version == self.version
        check_contents(self.stored, self.files)
        check_copies(newest)
        check_bounds(self.stored)
        for writer in self.writers:
            _check_reads(writer, self.file, self.page_size)
        self.accounts.check(self.stored)

    def _commit(self, steps: tuple[Write | Cut, ...], by: int) -> None:
        database = self.writers[by]
        transaction = database.begin(database.snapshot())
        try:
            for step in (*steps, Write((1,), self.version)):
                match step:
                    case Write(pages):
                        for number in pages:
                            page = self._page(number, step)
                            transaction.write((number - 1) * self.page_size, page)
                            self._put((number - 1) * self.page_size, page)
                    case Cut(pages):
                        transaction.truncate(pages * self.page_size)
                        del self.file[pages * self.page_size :]
                        self.file.extend(bytes(pages * self.page_size - len(self.file)))
            transaction.commit(len(self.file))
        finally:
            transaction.close()

    def _repage(self, page_size: int, pages: int, by: int) -> None:
        self.page_size = page_size
        self.file = bytearray(self._whole(pages))
        database = self.writers[by]
        transaction = database.begin(database.snapshot())
        try:
            for offset in range(0, len(self.file), page_size):
                transaction.write(offset, bytes(self.file[offset : offset + page_size]))
            transaction.commit(len(self.file))
        finally:
            transaction.close()

    def _replace(self, pages: int, by: int) -> None:
        self.file = bytearray(self._whole(pages))
        deserialize_iter(self.writers[by], [bytes(self.file)])
        stored = self.stored.newest().file()
        for part in RAISED:
            self.file[part] = stored[part]

    def _whole(self, pages: int) -> bytes:
        step = Write((), seed=self.version)
        return b"".join(self._page(number, step) for number in range(1, pages + 1))

    def _put(self, offset: int, data: bytes) -> None:
        self.file.extend(bytes(max(0, offset + len(data) - len(self.file))))
        self.file[offset : offset + len(data)] = data

    def _page(self, number: int, step: Write) -> bytes:
        random = Random(f"{number} {step.seed} {self.version}")
        if step.noise:
            page = bytearray(random.randbytes(self.page_size))
        else:
            page = bytearray(random.randbytes(40) * (self.page_size // 40 + 1))[: self.page_size]
        page[0] = 5 if step.interior else 13
        if number == 1:
            counter = (self.version + 1).to_bytes(4, "big")
            header = b"SQLite format 3\x00" + (self.page_size & 0xFFFF or 1).to_bytes(2, "big")
            page[: len(header)] = header
            page[18:20] = b"\x01\x01"
            page[24:28] = page[92:96] = counter
            page[28:32] = bytes(4)
        return bytes(page)


def _writer(store: MemoryObjectStore, settings: Settings, seed: int) -> Database:
    engine = Engine(store, settings, pool=InlinePool(), clock=ManualClock(), ids=SeededIds(seed))
    engine.conditions_proven = True
    return Database(engine, PREFIX)


def _check_reads(database: Database, file: bytes, page_size: int) -> None:
    """Page by page as SQLite reads, and in one go."""
    snapshot = database.snapshot()
    assert snapshot.size == len(file)
    for offset in range(0, len(file), page_size):
        assert snapshot.read(offset, page_size) == file[offset : offset + page_size]
    assert snapshot.read(0, len(file)) == file

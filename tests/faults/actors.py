"""Processes that act on one database, as actors of the scheduler, and what must hold afterwards."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from faults.pages import PAGE_SIZE, decode_list, encode_list, header_for, offset_of
from faults.trials import NAME, body_of, engine_on, rebuilt
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, StoreUnavailableError
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import (
    At,
    FaultyStore,
    HistoryRecorder,
    ManualClock,
    Operation,
    SeededIds,
    Step,
    World,
    check_history,
    operations,
)

PAGES = 12
"""Pages of the database at the start."""
Objects = Mapping[str, bytes]


def store_with(objects: Objects) -> MemoryObjectStore:
    store = MemoryObjectStore(clock=ManualClock(), ids=SeededIds("store"))
    for key, body in objects.items():
        store.put(key, body)
    return store


def objects_of(store: ObjectStore) -> Objects:
    return {row.key: body_of(store, row.key) for row in store.list("")}


@dataclass
class Process:
    """A process that runs transactions on the lists; its memory is its own."""

    name: str
    store: ObjectStore
    recorder: HistoryRecorder
    settings: Settings
    token: int
    database: Database = field(init=False)

    def __post_init__(self) -> None:
        engine = engine_on(self.store, self.settings, self.name)
        engine.conditions_proven = True
        self.database = Database(engine, NAME)

    def append(self, pages: Sequence[int], *, size: int | None = None, tries: int = 2) -> None:
        """Append a number to the lists in some pages, in one transaction, and again after a conflict.

        ``size`` is that of the file afterwards, in pages; what lies behind it is cut off.
        """
        for _ in range(tries):
            if self._try_append(pages, size):
                return

    def read(self) -> None:
        """Read every list in one transaction."""
        operation = self.recorder.invoke(self.name)
        snapshot = bring(self.database.snapshot())
        operation.ok(snapshot.version, reads_of(snapshot))

    def _try_append(self, pages: Sequence[int], size: int | None) -> bool:
        operation = self.recorder.invoke(self.name)
        base = bring(self.database.snapshot())
        size = size or max(base.size // PAGE_SIZE, *pages)
        held = {page: list_in(base, page) for page in pages}
        cut = [Step("write", str(page), None) for page in range(size + 1, base.size // PAGE_SIZE + 1)]
        steps = [
            *(Step("read", str(page), held[page]) for page in pages),
            *cut,
            *(Step("append", str(page), self.token) for page in pages),
        ]
        operation.attempt(base=base.version, steps=steps)
        transaction = self.database.begin(base)
        try:
            transaction.write(0, header_for(size))
            for page in pages:
                transaction.write(offset_of(page), encode_list(page, (*held[page], self.token)))
            snapshot = transaction.commit(size * PAGE_SIZE)
        except CommitUnknownError:
            operation.info()
            return True
        except (ConflictError, StoreUnavailableError):
            operation.fail()
            return False
        finally:
            transaction.close()
        operation.ok(snapshot.version)
        return True


def bring(snapshot: Snapshot) -> Snapshot:
    """Read all blocks at once, so that few requests are left to be ordered.

    But for block 0, which a reader of the ancestor's state holds in memory from the start.
    """
    snapshot.read(0, 1)
    snapshot.fetch(range(1, snapshot.block_count))
    return snapshot


def list_in(snapshot: Snapshot, page: int) -> tuple[int, ...]:
    return decode_list(snapshot.read(offset_of(page), PAGE_SIZE))


def reads_of(snapshot: Snapshot) -> list[Step]:
    count = snapshot.size // PAGE_SIZE
    return [Step("read", str(page), list_in(snapshot, page)) for page in range(2, count + 1)]


def check_all(store: ObjectStore, recorder: HistoryRecorder, first: Snapshot) -> None:
    """Strict serializability, and every version since ``first`` can be had back (invariant I4)."""
    initial = {step.key: step.value for step in reads_of(first)}
    Process("last", store, recorder, Settings(), 0).read()
    found = operations(recorder.events)
    assert check_history(found, initial=initial, first_version=first.version) == ()
    check_past(store, found, initial, first.version)


def check_past(
    store: ObjectStore, found: Sequence[Operation], initial: Mapping[str, object], first: int
) -> None:
    state = dict(initial)
    made = {one.version: one for one in found if one.outcome == "ok" and one.writes}
    for version in range(max(first, 1), max(made, default=first) + 1):
        if version > first:
            if version not in made:
                return  # made by one who does not know
            for step in made[version].steps:
                if step.action == "append":
                    state[step.key] = (*(state.get(step.key) or ()), step.value)  # type: ignore[misc]
                elif step.action == "write":
                    state.pop(step.key, None)
        content = rebuilt(store, version)
        count = len(content) // PAGE_SIZE
        lists = {
            str(page): decode_list(content[offset_of(page) : offset_of(page + 1)])
            for page in range(2, count + 1)
        }
        wanted = {key: value or () for key, value in state.items()}
        assert {key: value for key, value in lists.items() if value} == {
            key: value for key, value in wanted.items() if value
        }, f"version {version} cannot be had back"


class HoldersPerThread(dict[object, object]):
    """A write lock is a process's own, and each actor's thread stands for a process."""

    def setdefault(self, key: object, value: object = None) -> object:
        return super().setdefault((threading.get_ident(), key), value)

    def get(self, key: object, default: object = None) -> object:
        return super().get((threading.get_ident(), key), default)

    def __delitem__(self, key: object) -> None:
        super().__delitem__((threading.get_ident(), key))


@dataclass
class Wire:
    """Where requests of faulty clients hang that have not arrived; the network is an actor, too."""

    world: World
    senders: list[FaultyStore] = field(default_factory=list)

    def client(self, store: ObjectStore, *strikes: At) -> FaultyStore:
        """A client's line on which something goes wrong."""
        self.senders.append(FaultyStore(store, *strikes))
        return self.senders[-1]

    def network(self, store: ObjectStore) -> None:
        """Bring the requests that their senders have given up, at any later moment."""
        self.world.pause()
        self.world.touch("wire")
        for sender in self.senders:
            sender.deliver()

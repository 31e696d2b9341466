"""Databases that are written, forked, restored and cleaned by processes that die; and what was promised.

The model knows the bytes of every version as a fresh reader saw them when it was made, and which of
them are promised: the newest, those within retention, those that a checkpoint names.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import apsw
from faults.trials import engine_on

from past.test_restore import but_for_counters
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import ConflictError, InvalidArgumentError, NotFoundError
from sqlite_s3vfs.past import (
    Moment,
    checkpoint_create,
    checkpoint_list,
    checkpoint_remove,
    collect,
    fork,
    open_at,
    remove,
    restore,
    set_retention,
    verify,
)
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing import At, Die, FaultyStore, ManualClock, SeededIds, WriterDiedError
from sqlite_s3vfs.transaction import locks

PAGE_SIZE = 512
PAGES_MAX = 24
NAMES = ("db", "db/child", "other")
RETENTIONS = (60, 600, 3600)


def _first_page() -> bytes:
    connection = apsw.Connection(":memory:")
    connection.execute(f"pragma page_size = {PAGE_SIZE}; create table t(a)").fetchall()
    image = connection.serialize("main")
    connection.close()
    return image[:PAGE_SIZE]


FIRST_PAGE = _first_page()


@dataclass
class Known:
    """What is known of one database."""

    versions: dict[int, bytes] = field(default_factory=dict)
    replaced_at: dict[int, float] = field(default_factory=dict)
    promised: set[int] = field(default_factory=set)
    pins: dict[str, int] = field(default_factory=dict)
    retention: int = 3600

    @property
    def newest(self) -> int:
        return max(self.versions)

    @property
    def content(self) -> bytes:
        return self.versions[self.newest]


class World:
    """Two processes at a time, one after the other; each may die at any call of the store."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.clock = ManualClock()
        self.store = MemoryObjectStore(clock=self.clock, ids=SeededIds(f"store {seed}"))
        self.settings = Settings(
            block_size=self.chance.choice((700, 1024, 2048)), segment_size=64 << 10
        )
        self.known: dict[str, Known] = {}
        self.story: list[str] = []
        self._processes = 0
        self._seed = seed
        self._lines: list[FaultyStore] = []
        self._databases: list[dict[str, Database]] = []
        for _ in range(2):
            self._lines.append(FaultyStore(self.store))
            self._databases.append({})
        self._change("db", [1], 3)

    def step(self) -> None:
        """One act of chance, and the check of some promises."""
        acts: list[tuple[int, Callable[[str], None]]] = [
            (8, self.commits),
            (3, self.commits_much),
            (2, self.shrinks),
            (1, self.rolls_back),
            (2, self.folds),
            (3, self.restores),
            (2, self.names_a_version),
            (1, self.forgets_a_name),
            (2, self.forks),
            (3, self.collects),
            (1, self.changes_the_retention),
            (3, self.waits),
            (1, self.removes),
        ]
        name = self.chance.choice(sorted(self.known))
        (act,) = self.chance.choices([act for _, act in acts], [weight for weight, _ in acts])
        self.story.append(f"{act.__name__} {name}")
        act(name)
        self._expire()
        self.check(self.chance.choice(sorted(self.known)), some_only=True)

    # What processes do

    def commits(self, name: str) -> None:
        self._change(name, self._pages(name, 3), len(self.known[name].content) // PAGE_SIZE)

    def commits_much(self, name: str) -> None:
        count = self.chance.randrange(4, PAGES_MAX)
        pages = max(count, len(self.known[name].content) // PAGE_SIZE)
        self._change(name, range(1, count + 1), pages)

    def shrinks(self, name: str) -> None:
        self._change(name, [1], max(1, len(self.known[name].content) // PAGE_SIZE - 5))

    def rolls_back(self, name: str) -> None:
        def act(database: Database) -> None:
            transaction = database.begin(database.snapshot())
            try:
                transaction.write(0, bytes(PAGE_SIZE))
            finally:
                transaction.close()

        self._do(name, act, lambda content: None)

    def folds(self, name: str) -> None:
        self._do(name, lambda database: database.fold(), lambda content: None)

    def restores(self, name: str) -> None:
        version = self._some_version(name)
        expected = but_for_counters(self.known[name].versions[version])

        def check(content: bytes) -> None:
            assert but_for_counters(content) == expected, f"restored {version}"

        self._do(name, lambda database: restore(database, Moment(version=version)), check)

    def names_a_version(self, name: str) -> None:
        version = self._some_version(name)
        label = f"name {len(self.story)}"

        def act(database: Database) -> None:
            checkpoint_create(database, label, Moment(version=version))

        self._do(name, act, None)
        if label in self._checkpoints(name):
            self.known[name].pins[label] = version

    def forgets_a_name(self, name: str) -> None:
        pins = self.known[name].pins
        if pins:
            label = self.chance.choice(sorted(pins))
            self._do(name, lambda database: checkpoint_remove(database, label), None)
            if label not in self._checkpoints(name):
                del pins[label]

    def forks(self, name: str) -> None:
        free = [other for other in NAMES if other not in self.known]
        if not free:
            return
        child, version = self.chance.choice(free), self._some_version(name)
        expected = self.known[name].versions[version]
        retention = self.known[name].retention

        def act(database: Database) -> None:
            with suppress(NotFoundError):               # another one died there, half made
                fork(database, Database(database.engine, child), Moment(version=version))

        self._do(name, act, None)
        try:
            snapshot = self._fresh(child).snapshot()
        except NotFoundError:
            return                                      # pending, until somebody collects
        if snapshot.manifest.commits:
            content = bytes(snapshot.read(0, snapshot.size))
            assert content == expected, f"forked {version}"
            self.known[child] = Known({snapshot.version: content}, retention=retention)
            self.known[child].promised.add(snapshot.version)

    def collects(self, name: str) -> None:
        if self.chance.random() < 0.7:
            self.clock.advance(200)
        self._do(name, lambda database: collect(database, grace_seconds=120), None)

    def changes_the_retention(self, name: str) -> None:
        seconds = self.chance.choice(RETENTIONS)
        self._do(name, lambda database: set_retention(database, seconds), None)
        self.known[name].retention = self._fresh(name).snapshot().manifest.retention_seconds

    def waits(self, name: str) -> None:
        self.clock.advance(self.chance.choice((5, 50, 500)))

    def removes(self, name: str) -> None:
        if len(self.known) < 2:
            return
        self._do(name, lambda database: remove(database), None, observe=False)
        if not self._fresh(name).snapshot().manifest.commits:
            del self.known[name]

    # What is checked

    def check(self, name: str, *, some_only: bool = False) -> None:
        """Every promised version is what it was, as a reader sees it that knows nothing."""
        known = self.known[name]
        versions = sorted(known.promised)
        if some_only:
            versions = self.chance.sample(versions, min(2, len(versions)))
        for version in versions:
            snapshot = open_at(self._fresh(name), Moment(version=version))
            assert bytes(snapshot.read(0, snapshot.size)) == known.versions[version], version
        for label, version in known.pins.items():
            if not some_only:
                snapshot = open_at(self._fresh(name), Moment(checkpoint=label))
                assert bytes(snapshot.read(0, snapshot.size)) == known.versions[version], label

    def check_all(self) -> None:
        """All promises, and that everything is whole."""
        for name in self.known:
            self.check(name)
            assert verify(self._fresh(name)).findings == ()

    def _expire(self) -> None:
        for known in self.known.values():
            for version, time in known.replaced_at.items():
                if self.clock.now() - time >= known.retention - 1:
                    known.promised.discard(version)
            known.promised.update(known.pins.values())

    # How it is done

    def _change(self, name: str, pages: object, count: int) -> None:
        known = self.known.get(name)
        file = bytearray(known.content if known else b"")
        file = file[: count * PAGE_SIZE].ljust(count * PAGE_SIZE, b"\x00")
        number = (int.from_bytes(file[24:28], "big") if known else 0) + 1
        writes = {}
        for page in {1, *pages}:  # type: ignore[misc]
            repeated = 4 if page % 3 else 1
            body = self.chance.randbytes(PAGE_SIZE // repeated) * repeated
            if page == 1:
                body = bytearray(FIRST_PAGE[:100] + body[100:])
                for where in (slice(24, 28), slice(92, 96)):
                    body[where] = number.to_bytes(4, "big")
                body[28:32] = count.to_bytes(4, "big")
            if page <= count:
                writes[page] = bytes(body)
                file[(page - 1) * PAGE_SIZE : page * PAGE_SIZE] = body
        expected = bytes(file)

        def act(database: Database) -> None:
            transaction = database.begin(database.snapshot())
            try:
                transaction.truncate(min(count * PAGE_SIZE, transaction.size))
                for page, body in writes.items():
                    transaction.write((page - 1) * PAGE_SIZE, body)
                transaction.commit(count * PAGE_SIZE)
            finally:
                transaction.close()

        def check(content: bytes) -> None:
            assert content == expected, "committed"

        self._do(name, act, check)

    def _do(
        self,
        name: str,
        act: Callable[[Database], object],
        check: Callable[[bytes], None] | None,
        *,
        observe: bool = True,
    ) -> None:
        """Have a process act, which may die on the way, and write down what became of it."""
        process = self.chance.randrange(2)
        started = self.clock.now()
        self.clock.advance(1)
        database = self._databases[process].get(name) or self._process(process, name)
        dies = self.chance.random() < 0.3 and name in self.known
        if dies:
            number, carried_out = self.chance.randrange(9), self.chance.random() < 0.5
            self._lines[process].plan(At(number, Die(carried_out=carried_out)))
        died = False
        try:
            act(database)
        except WriterDiedError:
            died = True
            self.story[-1] += " †"
        except (ConflictError, InvalidArgumentError) as error:
            self.story[-1] += f" {type(error).__name__}"        # an outdated view: nothing was done
        if died or dies:
            locks.forget_all()                                  # they were the dead process's
            self._lines[process] = FaultyStore(self.store)
            self._databases[process] = {}
        if observe:
            self._observe(name, check, started)

    def _observe(self, name: str, check: Callable[[bytes], None] | None, started: float) -> None:
        snapshot = self._fresh(name).snapshot()
        if not snapshot.manifest.commits:
            return
        known = self.known.setdefault(name, Known())
        if snapshot.version in known.versions:
            assert bytes(snapshot.read(0, snapshot.size)) == known.content
            return
        content = bytes(snapshot.read(0, snapshot.size))
        if known.versions:
            assert snapshot.version == known.newest + 1
            known.replaced_at[known.newest] = started
        assert check is not None, "no version was to be made"
        check(content)
        known.versions[snapshot.version] = content
        known.promised.add(snapshot.version)

    def _process(self, process: int, name: str) -> Database:
        self._processes += 1
        engine = engine_on(self._lines[process], self.settings, f"{self._seed} {self._processes}")
        engine.clock = self.clock
        engine.conditions_proven = True
        database = Database(engine, name)
        self._databases[process][name] = database
        return database

    def _fresh(self, name: str) -> Database:
        return Database(engine_on(self.store, self.settings, "reader"), name)

    def _checkpoints(self, name: str) -> set[str]:
        return {checkpoint.name for checkpoint in checkpoint_list(self._fresh(name))}

    def _some_version(self, name: str) -> int:
        self._expire()
        return self.chance.choice(sorted(self.known[name].promised))

    def _pages(self, name: str, most: int) -> list[int]:
        count = len(self.known[name].content) // PAGE_SIZE
        return [self.chance.randrange(1, count + 1) for _ in range(self.chance.randrange(1, most + 1))]


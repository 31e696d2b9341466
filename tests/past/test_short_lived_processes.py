"""A database that only processes write to which make one commit each: storage stays bounded.

They are frozen the moment their commit returns, as functions in a cloud are: no background work of
theirs ever gets done that the commit did not wait for.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from faults.trials import engine_on
from unit.planning.world import limits

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.past import verify
from sqlite_s3vfs.past.garbage import find_garbage
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing import ManualClock, SeededIds
from sqlite_s3vfs.transaction import commit as committing
from sqlite_s3vfs.transaction.condemning import Condemning

PAGE_SIZE, PAGES, PAGES_IN_BLOCK = 512, 2048, 8
SETTINGS = Settings(
    block_size=PAGES_IN_BLOCK * PAGE_SIZE, segment_size=64 << 10, retention_seconds=60
)
SMALL_TAIL = {"TAIL_COMMIT_MAX": 4 << 10, "TAIL_SOFT_MAX": 16 << 10, "TAIL_HARD_MAX": 32 << 10}
BOUND = 1.75
"""Times a fresh import: segments of which two fifths are dead do not stay, once each had its turn."""


@pytest.fixture(autouse=True)
def _frozen_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    catch_up, before = Condemning.catch_up, Condemning.before_commit

    def catch_up_only(self, head):
        with pytest.MonkeyPatch.context() as thawed:
            thawed.setattr(Condemning, "before_commit", before)
            catch_up(self, head)

    monkeypatch.setattr(Condemning, "catch_up", catch_up_only)
    monkeypatch.setattr(Condemning, "before_commit", lambda self, head: None)
    monkeypatch.setattr(Condemning, "after_commit", lambda self, head: None)
    with limits(SMALL_TAIL):
        yield


class Place:
    """The store and its clock, and the bytes of the file; each commit is another process's."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryObjectStore(clock=self.clock, ids=SeededIds("store"))
        self.chance = Random(3)
        self.file = bytearray(self.chance.randbytes(PAGES * PAGE_SIZE))
        self.file[:16] = b"SQLite format 3\x00"
        self.file[16:18] = PAGE_SIZE.to_bytes(2, "big")
        self.commits = 0

    def process(self) -> Database:
        engine = engine_on(self.store, SETTINGS, f"process {self.commits}")
        engine.conditions_proven = True
        return Database(engine, "db")

    def commit(self, pages: range | list[int]) -> None:
        database = self.process()
        transaction = database.begin(database.snapshot())
        for page in pages:
            start = page * PAGE_SIZE
            if self.commits:
                self.file[start + 100 : start + PAGE_SIZE] = self.chance.randbytes(PAGE_SIZE - 100)
            transaction.write(start, bytes(self.file[start : start + PAGE_SIZE]))
        transaction.commit(len(self.file))
        transaction.close()
        self.commits += 1
        self.clock.advance(1)

    def size(self) -> int:
        return sum(row.size for row in self.store.list(""))

    def age(self, commits: int, pages_each: int) -> float:
        """How much is stored in the end, when the retention has passed, in terms of a fresh import."""
        self.commit(range(PAGES))
        fresh = self.size()
        for _ in range(commits):
            self.commit(self.chance.sample(range(PAGES), pages_each))
        for _ in range(100):
            self.clock.advance(9)
            self.commit([0])
        return self.size() / fresh


@pytest.mark.slow
@pytest.mark.parametrize(("commits", "pages_each"), [(400, 1), (100, 12)], ids=["small", "blocks"])
def test_storage_is_bounded(commits, pages_each):
    place = Place()

    assert place.age(commits, pages_each) <= BOUND
    database = place.process()
    assert bytes(database.snapshot().read(0, len(place.file))) == place.file
    assert verify(database).whole


@pytest.mark.long
def test_three_thousand_processes():
    assert Place().age(3000, 1) <= BOUND


@pytest.mark.slow
def test_commits_that_do_not_clean_are_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(committing, "blocks_to_take_along", lambda *arguments, **values: ())

    assert Place().age(250, 2) > BOUND


@pytest.mark.slow
def test_commits_that_do_not_wait_for_the_background_are_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Condemning, "catch_up", lambda self, head: None)

    assert Place().age(250, 2) > BOUND


@pytest.mark.slow
def test_nothing_is_left_behind():
    """More history objects than a manifest names, and nobody who remembers the others."""
    with limits({"HISTORY_NAMES": 8, "RECENT_COMMITS": 6}):
        place = Place()
        place.age(60, 12)
        database = place.process()
        head = database.version().origin.head
        assert head is not None
        assert find_garbage(database, head.manifest, born_before_ms=None).found == ()

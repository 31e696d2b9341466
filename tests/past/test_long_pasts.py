"""So many commits within retention that a manifest names the newest history objects only.

What is too old goes all the same, while commits keep coming.
"""

from __future__ import annotations

import pytest
from faults.trials import engine_on
from unit.planning.world import limits

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.past import verify
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing import ManualClock, SeededIds
from sqlite_s3vfs.transaction.condemning import Condemning

RETENTION, COMMITS = 60, 200
AT_MOST = RETENTION + 20
"""History objects: one for each second of the retention, and what waits for its batch."""


def age(processes: int) -> tuple[int, Database]:
    """A commit that writes blocks, each second, by one process or some in turn; the history objects."""
    clock = ManualClock()
    store = MemoryObjectStore(clock=clock, ids=SeededIds("store"))
    settings = Settings(block_size=2048, retention_seconds=RETENTION)
    page = b"SQLite format 3\x00\x02\x00".ljust(512, b"\x01")
    database = None
    for number in range(COMMITS):
        if database is None or number % (COMMITS // processes) == 0:
            engine = engine_on(store, settings, f"process {number}")
            engine.conditions_proven = True
            database = Database(engine, "db")
        transaction = database.begin(database.snapshot())
        for index in range(8):
            changed = page[:24] + number.to_bytes(4, "big") + page[28:]
            transaction.write(index * 512, changed if index == 0 else bytes([number % 251]) * 512)
        transaction.commit(8 * 512)
        transaction.close()
        clock.advance(1)
    assert database is not None
    return sum(1 for _ in store.list("db/history/")), database


@pytest.fixture(autouse=True)
def _few_names():
    with limits({"HISTORY_NAMES": 8, "RECENT_COMMITS": 6, "TAIL_COMMIT_MAX": 50}):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 5])
def test_what_is_too_old_goes_while_commits_keep_coming(processes):
    count, database = age(processes)

    assert count <= AT_MOST
    assert verify(database).whole


@pytest.mark.slow
def test_a_process_that_does_not_look_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Condemning, "_must_look", lambda self, manifest: False)

    count, _ = age(1)
    assert count > AT_MOST

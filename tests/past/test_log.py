"""The log tells of every commit that can be read, whichever history objects know of it."""

from __future__ import annotations

import pytest

from past.test_opening import raise_oldest_readable
from past.workload import SETTING, scripts
from sqlite_s3vfs.errors import NotFoundError
from sqlite_s3vfs.past import log


@pytest.fixture
def recorded(record):
    """More commits than one manifest remembers, some of them with history objects."""
    recorded = record(writer="somebody", retention_seconds=86_400)
    recorded.connection.execute(SETTING).fetchall()
    recorded.record()
    for script in scripts(30):
        recorded.commit(script)
    for number in range(50):
        recorded.commit(f"update t set body = {number} where id = 1; insert into other values(1, 2)")
    return recorded


def test_every_commit(recorded, fresh):
    entries = list(log(fresh()))

    assert [entry.version for entry in entries] == sorted(recorded.versions, reverse=True)
    for entry in entries:
        assert entry.size == len(recorded.versions[entry.version])
        assert entry.time_ms == round(recorded.times[entry.version] * 1000)
        assert entry.writer == "somebody"
        assert entry.pages > 0
        assert (entry.restored, entry.checkpoints) == (None, ())
    assert len({entry.commit_id for entry in entries}) == len(entries)


def test_the_newest_ones_cost_one_request(recorded, fresh):
    database = fresh()
    requests = []
    database.engine.store.on_request = requests.append

    newest = max(recorded.versions)
    assert [entry.version for entry in log(database, limit=3)] == [newest, newest - 1, newest - 2]
    assert len(requests) == 1


def test_it_ends_where_the_past_does(recorded, fresh):
    raise_oldest_readable(recorded, 20)

    assert [entry.version for entry in log(fresh())][-1] == 20


def test_no_database_has_no_log(fresh):
    with pytest.raises(NotFoundError, match="no such database"):
        list(log(fresh()))

"""More history objects than a manifest names: the oldest are found by a listing."""

from __future__ import annotations

import pytest
from unit.planning.world import limits

from past.test_opening import bytes_of
from sqlite_s3vfs.past import Moment, checkpoint_create, log, open_at


@pytest.fixture
def recorded(record):
    """Each commit writes blocks, and so keeps the one before as history; five of them are named."""
    with limits({"HISTORY_NAMES": 5, "RECENT_COMMITS": 4}):
        recorded = record(block_size=4096, retention_seconds=86_400)
        recorded.commit("create table t(id integer primary key, body)")
        for _ in range(24):
            recorded.commit("delete from t; insert into t(body) values(randomblob(60000))")
        yield recorded


def test_by_version_and_by_time(recorded, fresh, clock):
    for version, content in recorded.versions.items():
        for moment in (
            Moment(version=version),
            Moment(at=f"-{clock.now() - recorded.times[version]:.3f}s"),
        ):
            assert bytes_of(open_at(fresh(), moment)) == content


def test_by_checkpoint(recorded, fresh):
    for version in recorded.versions:
        checkpoint_create(fresh(), f"v{version}", Moment(version=version))

        snapshot = open_at(fresh(), Moment(checkpoint=f"v{version}"))
        assert bytes_of(snapshot) == recorded.versions[version]


def test_the_log_goes_back_to_the_first(recorded, fresh):
    entries = {entry.version: entry for entry in log(fresh())}

    assert entries.keys() == recorded.versions.keys()
    for version, time in recorded.times.items():
        assert entries[version].time_ms == round(time * 1000)


def test_one_round_trip_more_than_the_newest(recorded, fresh):
    database = fresh()
    requests = []
    database.engine.store.on_request = requests.append

    open_at(database, Moment(version=2))

    assert sorted(request.operation.name for request in requests) == ["GET", "GET", "LIST"]

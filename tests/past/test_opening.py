"""Every version that is kept opens with exactly the bytes that it was committed with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import apsw
import pytest

from past.conftest import content_of
from past.workload import SETTING, scripts
from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError, SnapshotTooOldError
from sqlite_s3vfs.format.manifestcodec import encode_manifest
from sqlite_s3vfs.past import Moment, open_at
from sqlite_s3vfs.past.moments import time_of

DAY = 86_400


def bytes_of(snapshot) -> bytes:
    return bytes(snapshot.read(0, snapshot.size))


@pytest.fixture
def recorded(record):
    """Many versions, with folds in between."""
    recorded = record(block_size=4095, retention_seconds=DAY)
    recorded.connection.execute(SETTING).fetchall()
    recorded.record()
    for number, script in enumerate(scripts(40)):
        if number % 6 == 5:
            recorded.database.fold()
        recorded.commit(script)
    return recorded


def test_every_version_by_its_number(recorded, fresh):
    for version, content in recorded.versions.items():
        snapshot = open_at(fresh(), Moment(version=version))

        assert snapshot.version == version
        assert bytes_of(snapshot) == content


def test_every_version_by_its_time(recorded, fresh, clock):
    for version, time in recorded.times.items():
        assert open_at(fresh(), Moment(at=f"-{clock.now() - time:.3f}s")).version == version
        later = max(0, clock.now() - time - 0.5)
        assert open_at(fresh(), Moment(at=f"-{later:.3f}s")).version == version


def test_a_time_with_its_offset(recorded, fresh):
    time = datetime.fromtimestamp(recorded.times[3], UTC)
    elsewhere = (time + timedelta(seconds=0.9)).astimezone(timezone(timedelta(hours=-5)))

    for text in (f"{time:%Y-%m-%dT%H:%M:%S}Z", elsewhere.isoformat()):
        assert open_at(fresh(), Moment(at=text)).version == 3


def test_through_sqlite(recorded):
    """By URI: version and time; a copy by VACUUM INTO is not needed to read the past."""
    for version, content in list(recorded.versions.items())[1::7]:
        connection = recorded.connect(version=version)
        expected = apsw.Connection(":memory:")
        expected.deserialize("main", content)
        for table in ("t", "sqlite_schema"):
            query = f"select * from {table}"
            assert connection.execute(query).fetchall() == expected.execute(query).fetchall()
        assert connection.execute("pragma s3vfs_version").get == str(version)
        assert connection.execute("pragma integrity_check").get == "ok"
        connection.close()


def test_the_past_cannot_be_written(recorded):
    connection = recorded.connect(version=5)

    with pytest.raises(apsw.ReadOnlyError):
        connection.execute("delete from t")
    assert connection.readonly("main")
    connection.close()


def test_a_connection_to_the_past_stays_where_it_is(recorded):
    connection = recorded.connect(version=5)
    before = connection.execute("select count(*), max(id) from t").get

    recorded.commit("insert into t(body) values('new')")

    assert connection.execute("select count(*), max(id) from t").get == before
    connection.close()


@pytest.mark.parametrize(
    ("moment", "error", "words"),
    [
        (Moment(version=41), NotFoundError, "no such version yet.*newest=36"),
        (Moment(at="-2d"), NotFoundError, "did not exist at that time"),
        (Moment(checkpoint="never"), NotFoundError, "no such checkpoint"),
    ],
)
def test_what_is_not_there(recorded, fresh, moment, error, words):
    with pytest.raises(error, match=words):
        open_at(fresh(), moment)
    with pytest.raises(NotFoundError, match="no such database"):
        open_at(fresh("elsewhere"), moment)


def test_what_is_no_longer_kept(recorded, fresh, clock):
    raise_oldest_readable(recorded, 10)

    with pytest.raises(SnapshotTooOldError, match=r"version=9 oldest_readable=10 retention_seconds"):
        open_at(fresh(), Moment(version=9))
    with pytest.raises(SnapshotTooOldError, match="not kept any more"):
        open_at(fresh(), Moment(at=f"-{clock.now() - recorded.times[9]:.3f}s"))
    assert open_at(fresh(), Moment(version=10)).version == 10


def test_errors_of_a_uri_reach_the_application(recorded):
    for parameters, words in (
        ({"version": 999}, "no such version yet"),
        ({"version": "x"}, "whole number"),
        ({"at": "yesterday"}, "not a time"),
        ({"at": "2026-11-20T10:00:00"}, "offset"),
        ({"version": 1, "at": "-5m"}, "give one of"),
        ({"checkpoint": ""}, "no value"),
    ):
        with pytest.raises(apsw.CantOpenError, match=words):
            recorded.connect(**parameters)


@pytest.mark.parametrize("text", ["", "5m", "-5", "-5y", "now", "2026-13-01T00:00:00Z", "99999"])
def test_what_is_no_time(text):
    with pytest.raises(InvalidArgumentError):
        Moment(at=text)


def test_times_back_from_now():
    expected = {"-90s": 90, "-5m": 300, "-2h": 7200, "-3d": 259_200, "-1w": 604_800, "-0.5s": 0.5}

    assert {text: 1e6 - time_of(text, now_ms=10**9) / 1000 for text in expected} == expected


def test_the_cost(recorded, fresh):
    """One round trip more than the newest: the listing goes along with the first request."""
    database = fresh()
    requests = []
    database.engine.store.on_request = requests.append

    open_at(database, Moment(version=3))

    assert sorted(request.operation.name for request in requests) == ["GET", "GET", "LIST"]
    assert content_of(fresh()) == recorded.versions[36]


def raise_oldest_readable(recorded, version: int) -> None:
    """As whoever condemns does it."""
    head = recorded.database.version().origin.head
    body = replace(head.manifest, oldest_readable=version)
    recorded.store.put(recorded.database.keys.manifest, encode_manifest(body, b"nonce..!"))

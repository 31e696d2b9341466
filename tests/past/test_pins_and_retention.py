"""Checkpoints and the retention: changes of the manifest that make no version."""

from __future__ import annotations

import apsw
import pytest

from past.test_opening import bytes_of, raise_oldest_readable
from past.workload import scripts
from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError, SnapshotTooOldError
from sqlite_s3vfs.past import (
    FOREVER,
    Moment,
    checkpoint_create,
    checkpoint_list,
    checkpoint_remove,
    log,
    open_at,
    retention,
    set_retention,
)


@pytest.fixture
def recorded(record):
    recorded = record()
    for script in scripts(8):
        recorded.commit(script)
    return recorded


def test_a_checkpoint_names_a_version(recorded, fresh):
    first = checkpoint_create(fresh(), "before the move", Moment(version=4))
    newest = checkpoint_create(fresh(), "now")

    assert checkpoint_list(fresh()) == (first, newest)
    assert (first.version, newest.version) == (4, max(recorded.versions))
    assert [entry.checkpoints for entry in log(fresh()) if entry.version == 4] == [("before the move",)]
    snapshot = open_at(fresh(), Moment(checkpoint="before the move"))
    assert bytes_of(snapshot) == recorded.versions[4]


def test_through_sqlite(recorded, fresh):
    checkpoint_create(fresh(), "name", Moment(version=4))

    connection = recorded.connect(checkpoint="name")

    assert connection.execute("pragma s3vfs_version").get == "4"
    connection.close()


def test_a_checkpoint_keeps_what_is_too_old(recorded, fresh):
    checkpoint_create(fresh(), "kept", Moment(version=3))
    raise_oldest_readable(recorded, 7)

    for moment in (Moment(checkpoint="kept"), Moment(version=3)):
        assert bytes_of(open_at(fresh(), moment)) == recorded.versions[3]
    assert [entry.version for entry in log(fresh())][-2:] == [7, 3]
    assert checkpoint_create(fresh(), "again", Moment(checkpoint="kept")).version == 3
    with pytest.raises(SnapshotTooOldError):
        checkpoint_create(fresh(), "late", Moment(version=4))


def test_names(recorded, fresh):
    checkpoint_create(fresh(), "taken")

    with pytest.raises(InvalidArgumentError, match="taken"):
        checkpoint_create(fresh(), "taken", Moment(version=2))
    for name in ("", "two\nlines", "x" * 256):
        with pytest.raises(InvalidArgumentError, match="printable"):
            checkpoint_create(fresh(), name)
    with pytest.raises(NotFoundError, match="no such checkpoint"):
        checkpoint_remove(fresh(), "other")
    with pytest.raises(NotFoundError, match="no such database"):
        checkpoint_create(fresh("elsewhere"), "name")


def test_removed(recorded, fresh):
    checkpoint_create(fresh(), "name")

    checkpoint_remove(fresh(), "name")

    assert checkpoint_list(fresh()) == ()


def test_no_transaction_is_refused_for_it(recorded, fresh):
    recorded.connection.execute("begin immediate; insert into t(body) values('mine')")

    checkpoint_create(fresh(), "meanwhile")
    set_retention(fresh(), 7200)
    recorded.connection.execute("commit")

    assert [checkpoint.name for checkpoint in checkpoint_list(fresh())] == ["meanwhile"]
    assert retention(fresh()) == 7200
    assert next(log(fresh())).version == max(recorded.versions) + 1


def test_the_time_of_a_commit_stays(recorded, fresh, clock):
    """Maintenance enters it, and is not taken for the commit (invariant I8)."""
    times = [entry.time_ms for entry in log(fresh())]
    clock.advance(1000)

    checkpoint_create(fresh(), "late")

    assert [entry.time_ms for entry in log(fresh())] == times


def test_retention_by_pragma(recorded, fresh):
    connection = recorded.connection

    assert connection.execute("pragma s3vfs_retention").get == "3600"
    assert connection.execute("pragma s3vfs_retention = 86400").get == "86400"
    assert retention(fresh()) == 86400
    assert connection.execute("pragma s3vfs_retention = forever").get == str(FOREVER)
    for value in ("59", "'a day'", str(FOREVER + 1), "-1"):
        with pytest.raises(apsw.SQLError, match="retention"):
            connection.execute(f"pragma s3vfs_retention = {value}")
    reader = recorded.connect(mode="ro")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("pragma s3vfs_retention = 86400")
    reader.close()


def test_retention_at_creation(record, fresh):
    record(name="other", retention_seconds=60).commit("create table t(a)")

    assert retention(fresh("other")) == 60

"""``S3VFS.past``: what users call, in one story."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.errors import NotFoundError
from sqlite_s3vfs.vfs.past import TableDiff


@pytest.fixture
def recorded(record):
    recorded = record(retention_seconds=86_400)
    recorded.commit("create table t(a); insert into t values(1), (2)")
    recorded.commit("insert into t values(3); create table other(b)")
    recorded.commit("delete from t where a = 1; insert into t values(4)")
    return recorded


def test_a_story(recorded, record):
    past = recorded.vfs.past(recorded.name)

    assert [entry.version for entry in past.log(limit=2)] == [3, 2]
    past.create_checkpoint("first", version=1)
    assert [checkpoint.name for checkpoint in past.checkpoints()] == ["first"]
    assert past.restore(checkpoint="first") == 4
    assert recorded.connection.execute("select group_concat(a) from t").get == "1,2"
    assert past.restore(version=3) == 5
    past.remove_checkpoint("first")
    past.fork("copy", version=2)
    assert recorded.vfs.past("copy").integrity_check() == []
    assert past.integrity_check(version=1) == []
    assert past.verify().whole
    assert past.collect(dry_run=True).deleted == 0
    assert past.remove().version == 6
    with pytest.raises(NotFoundError):
        past.restore(version=3)
    assert recorded.connect_to("copy").execute("select count(*) from t").get == 3


def test_the_rows_of_tables(recorded):
    past = recorded.vfs.past(recorded.name)

    first = past.diff(1)
    assert (first.older, first.newer) == (1, 3)
    assert set(first.tables) == {
        TableDiff("t", 2, 3), TableDiff("other", None, 0), TableDiff("sqlite_schema", 1, 2)
    }
    assert first.pages
    assert past.diff(2, 3).tables == ()          # as many rows as before
    assert past.diff(3, 3).pages == ()

"""Removing a database, and making one anew in its place."""

from __future__ import annotations

import re

import apsw
import pytest
from faults.kinds import SCHEMA, images_of, random_blobs
from faults.trials import NAME, lay_out_as_ancestor

from past.conftest import content_of
from past.workload import SETTING, scripts
from sqlite_s3vfs.errors import NotFoundError, SnapshotTooOldError
from sqlite_s3vfs.past import Moment, checkpoint_create, collect, log, open_at, remove
from sqlite_s3vfs.transfer import deserialize_iter
from sqlite_s3vfs.vfs.s3vfs import S3VFS


@pytest.fixture
def recorded(record):
    recorded = record(block_size=4095)
    recorded.connection.execute(SETTING).fetchall()
    recorded.record()
    for script in scripts(12):
        recorded.commit(script)
    checkpoint_create(recorded.database, "kept", Moment(version=3))
    return recorded


def keys(store) -> set[str]:
    return {row.key for row in store.list("")}


def test_nothing_is_left_but_the_tombstone(recorded, fresh, memory, record):
    other = record(name="some/database/below")
    other.commit("create table t(a)")
    foreign = {"some/database/segments/notes.txt", "some/database/readme", "some/database-2/manifest"}
    for key in foreign:
        memory.put(key, b"mine")
    before = len(keys(memory))

    removed = remove(fresh())

    others = {key for key in keys(memory) if "below" in key} | foreign
    assert keys(memory) == {"some/database/manifest"} | others
    assert removed.objects == before - len(keys(memory)) + 1    # the newest version's history too
    assert other.connection.execute("select count(*) from t").get == 0
    assert remove(fresh()).objects == 0


def test_it_reads_as_absent(recorded, fresh, record):
    remove(fresh())

    assert content_of(fresh()) == b""
    for act in (lambda: list(log(fresh())), lambda: open_at(fresh(), Moment(version=3))):
        with pytest.raises(NotFoundError):
            act()
    with pytest.raises(apsw.CantOpenError, match="does not exist"):
        record(name="another").connect_to("some/database", mode="rw")
    with pytest.raises(NotFoundError):
        remove(fresh("elsewhere"))


def test_made_anew_by_sql(recorded, fresh, clock):
    versions = max(recorded.versions)
    remove(fresh())

    other = recorded.connect()
    other.execute("create table fresh(a); insert into fresh values(randomblob(200000))")

    manifest = fresh().snapshot().manifest
    assert manifest.version > versions + 1
    assert manifest.oldest_readable == versions + 2
    with pytest.raises(apsw.IOError, match="another one was made in its place"):
        recorded.connection.execute("select count(*) from fresh")
    with pytest.raises(SnapshotTooOldError):
        open_at(fresh(), Moment(version=3))
    clock.advance(4000)
    collect(fresh())
    assert other.execute("pragma integrity_check").get == "ok"
    other.close()


def test_a_connection_that_saw_it_empty_goes_on(recorded, fresh):
    remove(fresh())
    assert recorded.connection.execute("select count(*) from sqlite_schema").get == 0

    other = recorded.connect()
    other.execute("create table t(b, a); insert into t values('b', 'a')")

    assert recorded.connection.execute("select a from t").get == "a"
    other.close()


def test_made_anew_by_deserialize(recorded, fresh, clock):
    image = recorded.versions[max(recorded.versions)]
    remove(fresh())

    deserialize_iter(fresh(block_size=2048), [image])

    assert content_of(fresh()) == image
    clock.advance(4000)
    collect(fresh())
    assert content_of(fresh()) == image


def test_a_writer_under_way_is_refused(recorded, fresh):
    recorded.connection.execute("begin immediate; insert into t(body) values('late')")

    remove(fresh())

    with pytest.raises(apsw.Error):
        recorded.connection.execute("commit")
    assert content_of(fresh()) == b""


def test_a_removal_that_was_cut_off_goes_on(recorded, fresh, monkeypatch, memory):
    monkeypatch.setattr("sqlite_s3vfs.past.removing.delete_all", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        remove(fresh())
    monkeypatch.undo()
    assert len(keys(memory)) > 5

    remove(fresh())

    assert keys(memory) == {"some/database/manifest"}


def test_a_reader_of_a_removed_database(recorded, fresh):
    """It cannot go on, and is told that it is no damage."""
    database = fresh(cache_bytes=0)
    snapshot = open_at(database, Moment(version=8))

    remove(fresh())

    with pytest.raises(SnapshotTooOldError):
        snapshot.read(0, snapshot.size)


def test_nothing_is_left_of_the_old_layout(memory, clock):
    """A database of sqlite-s3vfs 0.0.x that was adopted: most of its objects are still in use."""
    image = images_of((SCHEMA, random_blobs("blobs", 200, 1000, seed=1)))[-1]
    lay_out_as_ancestor(memory, image)
    vfs = S3VFS(memory)
    connection = apsw.Connection(NAME, vfs=vfs.name)
    connection.execute("update account set balance = 0 where id = 7")
    database = vfs._databases.database(NAME)
    database.close()
    assert len([key for key in keys(memory) if re.fullmatch(f"{NAME}/[0-9]{{10}}", key)]) > 10

    remove(database)

    connection.close()
    vfs.close()
    assert keys(memory) == {f"{NAME}/manifest"}

"""A version of the past made the newest again: its bytes, its history, and open connections."""

from __future__ import annotations

import apsw
import pytest

from past.conftest import content_of
from past.test_opening import bytes_of, raise_oldest_readable
from past.workload import SETTING, scripts
from sqlite_s3vfs.errors import NotFoundError, SnapshotTooOldError
from sqlite_s3vfs.format.sqlite_header import parse_header
from sqlite_s3vfs.past import Moment, checkpoint_create, log, open_at, restore

RAISED = (slice(24, 28), slice(40, 44), slice(92, 96))
DAY = 86_400


def but_for_counters(content: bytes) -> bytes:
    """The bytes of a file without those that a restore raises."""
    file = bytearray(content)
    for where in RAISED:
        file[where] = bytes(4)
    return bytes(file)


def check_every_version(recorded, database) -> None:
    for version, content in recorded.versions.items():
        assert bytes_of(open_at(database, Moment(version=version))) == content, version


@pytest.fixture(params=[4095, 65536])
def recorded(record, request):
    recorded = record(block_size=request.param, retention_seconds=DAY)
    recorded.connection.execute(SETTING).fetchall()
    recorded.record()
    for number, script in enumerate(scripts(22)):
        if number % 6 == 5:
            recorded.database.fold()
        recorded.commit(script)
    return recorded


def test_every_version_can_be_brought_back(recorded, fresh):
    for version in list(recorded.versions):
        snapshot = restore(fresh(), Moment(version=version))
        recorded.record()

        assert but_for_counters(bytes_of(snapshot)) == but_for_counters(recorded.versions[version])
        assert next(log(fresh())).restored == version
        assert recorded.connection.execute("pragma integrity_check").get == "ok"
        recorded.commit(f"create table after_{version}(a); insert into after_{version} values(1)")
    check_every_version(recorded, fresh())


def test_what_does_not_fit_the_tail_goes_into_blocks(recorded, fresh, monkeypatch):
    monkeypatch.setattr("sqlite_s3vfs.past.carrying.TAIL_HARD_MAX", 300)

    test_every_version_can_be_brought_back(recorded, fresh)


def test_counters_lie_above_both_histories(recorded, fresh):
    replaced = parse_header(recorded.versions[max(recorded.versions)])
    restored = parse_header(recorded.versions[3])

    header = parse_header(bytes_of(restore(fresh(), Moment(version=3))))

    for other in (replaced, restored):
        assert header.change_counter > other.change_counter
        assert header.schema_cookie > other.schema_cookie


def test_open_connections_notice(record, fresh):
    """A statement that was prepared for the replaced schema is prepared once more."""
    recorded = record(retention_seconds=DAY)
    recorded.commit("create table t(a, b); insert into t values('a', 'b')")
    recorded.commit("drop table t; create table t(b, a); insert into t values('x', 'y')")
    other = recorded.connect()
    assert other.execute("select a from t").get == "y"

    restore(fresh(), Moment(version=1))

    for connection in (other, recorded.connection):
        assert connection.execute("select a from t").get == "a"
    other.execute("insert into t(a) values('new')")
    assert recorded.connection.execute("select group_concat(a) from t").get == "a,new"
    other.close()


def test_a_transaction_across_a_restore_is_refused(recorded, fresh):
    recorded.connection.execute("begin immediate; delete from t")

    restore(fresh(), Moment(version=5))

    with pytest.raises(apsw.BusyError):
        recorded.connection.execute("commit")
    assert but_for_counters(content_of(fresh())) == but_for_counters(recorded.versions[5])


def test_what_is_out_of_reach_is_refused(recorded, fresh):
    checkpoint_create(fresh(), "kept", Moment(version=4))
    raise_oldest_readable(recorded, 10)
    before = content_of(fresh())

    with pytest.raises(SnapshotTooOldError, match="oldest_readable=10"):
        restore(fresh(), Moment(version=9))
    with pytest.raises(NotFoundError):
        restore(fresh(), Moment(version=999))
    assert content_of(fresh()) == before
    assert restore(fresh(), Moment(checkpoint="kept")).version == max(recorded.versions) + 1


def test_reach_is_checked_where_the_base_moves(recorded, fresh, monkeypatch):
    """Others condemn between the look at the past and the PUT (invariant I5)."""
    database = fresh()
    publish = database.manifests.publish

    def condemned_before(base, manifest):
        monkeypatch.undo()
        raise_oldest_readable(recorded, 10)
        return publish(base, manifest)

    monkeypatch.setattr(database.manifests, "publish", condemned_before)

    with pytest.raises(SnapshotTooOldError, match="not kept any more"):
        restore(database, Moment(version=9))


def test_what_it_made_is_given_back_though_others_go_on(recorded, fresh, monkeypatch):
    """Another process commits, and another thread of this one looks, before the call returns."""
    database, made = fresh(), max(recorded.versions) + 1
    after_publish = database._after_publish

    def overtaken(*arguments):
        recorded.commit("create table late(a)")
        assert database.snapshot().version == made + 1
        after_publish(*arguments)

    monkeypatch.setattr(database, "_after_publish", overtaken)

    snapshot = restore(database, Moment(version=3))

    assert snapshot.version == made
    assert but_for_counters(bytes_of(snapshot)) == but_for_counters(recorded.versions[3])


def test_the_cost(recorded, fresh):
    database = fresh()
    database.engine.conditions_proven = True
    requests = []
    database.engine.store.on_request = requests.append

    restore(database, Moment(version=10))

    assert len(requests) <= 10

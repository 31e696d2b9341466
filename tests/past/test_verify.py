"""Verification finds every damage, and names the object, the block and what is still whole."""

from __future__ import annotations

import random

import pytest

from past.workload import SETTING, scripts
from sqlite_s3vfs.errors import CorruptError, S3VFSError
from sqlite_s3vfs.past import Moment, checkpoint_create, fork, log, open_at, verify
from sqlite_s3vfs.store.port import Fetched
from tests.unit.planning.world import limits

DAY = 86_400


@pytest.fixture(params=["small maps", "maps in the manifest"])
def recorded(record, request):
    with limits({"RECENT_MAX": 3} if request.param == "small maps" else {}):
        recorded = record(block_size=4095, segment_size=64 << 10, retention_seconds=DAY)
        recorded.connection.execute(SETTING).fetchall()
        recorded.record()
        for script in scripts(16):
            recorded.commit(script)
        recorded.database.fold()
        recorded.commit("insert into t(body) values('adopts the fold')")
        yield recorded


def body_of(store, key: str) -> bytes:
    found = store.get(key)
    assert isinstance(found, Fetched)
    return found.body


def keys(store) -> list[str]:
    return [row.key for row in store.list("")]


def test_what_is_whole(recorded, fresh, memory):
    verification = verify(fresh())

    assert verification.findings == ()
    assert verification.whole
    assert verification.newest_whole == verification.version == max(recorded.versions)
    assert verification.blocks > 10
    segments = [key for key in keys(memory) if "/segments/" in key]
    assert verification.bytes_read == sum(len(body_of(memory, key)) for key in segments)


def test_every_missing_object(recorded, fresh, memory):
    for key in keys(memory):
        body = body_of(memory, key)
        memory.delete([key])
        if key.endswith("/manifest"):
            with pytest.raises(S3VFSError, match="manifest"):
                verify(fresh())
        else:
            for blocks in (False,):
                assert key in {finding.key for finding in verify(fresh(), blocks=blocks).findings}, key
        memory.put(key, body)
    assert verify(fresh()).whole


def damage(recorded, fresh, memory, count: int) -> None:
    chance = random.Random(7)
    every = keys(memory)
    for _ in range(count):
        key = chance.choice(every)
        body = bytearray(body_of(memory, key))
        place = chance.randrange(len(body))
        before = bytes(body)
        body[place] ^= chance.randrange(1, 256)
        memory.put(key, bytes(body))
        if key.endswith("/manifest"):
            with pytest.raises(CorruptError, match="manifest"):
                verify(fresh())
        else:
            found = verify(fresh())
            assert [finding.key for finding in found.findings].count(key) >= 1, (key, place)
            assert {finding.key for finding in found.findings} == {key}
        memory.put(key, before)


def test_single_bytes(recorded, fresh, memory):
    damage(recorded, fresh, memory, 25)


@pytest.mark.long
def test_a_thousand_single_bytes(recorded, fresh, memory):
    damage(recorded, fresh, memory, 1000)


def test_it_names_the_block_and_what_is_whole(recorded, fresh, memory):
    newest = fresh().snapshot()
    block, locator = next(iter(sorted(newest.locators(range(newest.block_count)).items())))
    key = newest.manifest and f"some/database/segments/{locator.source.name}"
    body = bytearray(body_of(memory, key))
    body[locator.offset + locator.length - 1] ^= 1
    memory.put(key, bytes(body))

    found = verify(fresh())

    (finding,) = found.findings
    assert (finding.key, finding.block) == (key, block)
    assert newest.version in finding.versions
    assert found.newest_whole is None or found.newest_whole < newest.version
    assert found.newest_whole not in finding.versions


def readable(fresh, recorded) -> set[int]:
    """The versions of which every byte can be read."""
    whole = set()
    for version, content in recorded.versions.items():
        try:
            snapshot = open_at(fresh(), Moment(version=version))
            assert bytes(snapshot.read(0, snapshot.size)) == content, "other bytes than were committed"
            whole.add(version)
        except CorruptError:
            continue
    return whole


def test_it_names_every_version_that_is_harmed(recorded, fresh, memory):
    """Those beside that of the manifest, too, of which only the pages in it differ."""
    assert readable(fresh, recorded) == set(recorded.versions)
    named = []
    below = [key for key in keys(memory) if not key.endswith("/manifest")]
    for key in [key for key in below if "/history/" in key][::3] + below[::25]:
        body = body_of(memory, key)
        memory.delete([key])

        found = verify(fresh())

        whole = readable(fresh, recorded)
        harmed = {version for finding in found.findings for version in finding.versions}
        assert set(recorded.versions) - whole <= harmed, key
        assert found.newest_whole == max(set(recorded.versions) - harmed, default=None)
        assert found.newest_whole is None or found.newest_whole in whole
        named.append(harmed)
        memory.put(key, body)
    assert max(map(len, named)) > 3


def test_it_names_the_version_of_a_checkpoint_that_nothing_else_keeps(recorded, fresh, memory, clock):
    """It is read from the manifest of a later version, which itself is no longer kept."""
    checkpoint_create(fresh(), "kept", Moment(version=2))
    for at in range(4):
        recorded.commit(f"insert into t(body) values({at})")
        recorded.database.fold()
        clock.advance(2 * DAY)
    for at in range(4):
        recorded.commit(f"insert into t(body) values({at})")
    kept = {entry.version for entry in log(fresh())}
    oldest = fresh().snapshot().manifest.oldest_readable
    assert min(kept) == 2 < oldest - 1
    assert verify(fresh()).whole
    (served_by, *_) = sorted(key for key in keys(memory) if "/history/" in key)
    body = body_of(memory, served_by)

    for damaged in (body[:-1] + b"?", None):
        memory.delete([served_by])
        if damaged:
            memory.put(served_by, damaged)
        found = verify(fresh())
        (finding,) = found.findings
        assert (finding.key, finding.versions) == (served_by, (2,))
        with pytest.raises(CorruptError, match=served_by):
            open_at(fresh(), Moment(checkpoint="kept"))
        assert found.newest_whole == max(kept)


def test_a_fork_is_verified_with_what_it_borrows(recorded, fresh, memory):
    fork(fresh(), fresh("child"))
    assert verify(fresh("child")).whole
    row = next(memory.list("some/database/segments/"))
    memory.put(row.key, body_of(memory, row.key)[:-1])

    keys_found = {finding.key for finding in verify(fresh()).findings}
    assert row.key in keys_found


def test_progress_reaches_the_end(recorded, fresh):
    seen = []

    verify(fresh(), on_progress=seen.append)

    assert seen[-1].done_bytes == seen[-1].total_bytes > 0


def test_a_checkpoint_is_verified(recorded, fresh, memory):
    checkpoint_create(fresh(), "kept")

    assert verify(fresh()).whole

"""Verification finds every damage, and names the object, the block and what is still whole."""

from __future__ import annotations

import random

import pytest

from past.workload import SETTING, scripts
from sqlite_s3vfs.errors import CorruptError, S3VFSError
from sqlite_s3vfs.past import checkpoint_create, fork, verify
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

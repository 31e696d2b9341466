"""The pages in which two versions differ are those in which their bytes do."""

from __future__ import annotations

import itertools

import pytest

from past.workload import SETTING, scripts
from sqlite_s3vfs.past import Moment, diff


@pytest.fixture
def recorded(record):
    recorded = record(block_size=4095, retention_seconds=86_400)
    recorded.connection.execute(SETTING).fetchall()
    for number, script in enumerate(scripts(14)):
        if number % 4 == 3:
            recorded.database.fold()
        recorded.commit(script)
    return recorded


def differing(old: bytes, new: bytes, page_size: int) -> tuple[int, ...]:
    count = -(-max(len(old), len(new)) // page_size)
    parts = ((index, slice(index * page_size, (index + 1) * page_size)) for index in range(count))
    return tuple(index + 1 for index, part in parts if old[part] != new[part])


def test_every_pair(recorded, fresh):
    database = fresh()
    for old, new in itertools.product(recorded.versions, repeat=2):
        found = diff(database, Moment(version=old), Moment(version=new))

        expected = differing(recorded.versions[old], recorded.versions[new], 1024)
        assert found.pages == expected, (old, new)
        assert (found.older.version, found.newer.version) == (old, new)


def test_the_newest_with_itself(recorded, fresh):
    assert diff(fresh(), Moment(), Moment()).pages == ()

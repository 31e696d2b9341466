"""The past over every kind of store: read, restored, forked, verified, collected, removed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sqlite_s3vfs.errors import NotFoundError
from sqlite_s3vfs.past import (
    Moment,
    checkpoint_create,
    collect,
    fork,
    log,
    open_at,
    remove,
    restore,
    retention,
    set_retention,
    verify,
)
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.transfer import deserialize_iter, serialize_iter
from sqlite_s3vfs.wiring import Database, Engine, open_database
from tests.engine.conftest import OpenDatabase


@pytest.fixture
def files(plain_file: Callable[..., bytes], open_db: OpenDatabase) -> list[bytes]:
    """Three versions of a database."""
    made = [plain_file(rows=rows) for rows in (50, 700, 2)]
    for file in made:
        deserialize_iter(open_db(block_size=8192), [file])
    return made


def content_of(database: Database, version: int) -> bytes:
    snapshot = open_at(database, Moment(version=version))
    return bytes(snapshot.read(0, snapshot.size))


def test_versions_restore_and_checkpoint(files: list[bytes], open_db: OpenDatabase) -> None:
    assert content_of(open_db(), 1) == files[0]
    second = content_of(open_db(), 2)
    assert second[100:] == files[1][100:]

    checkpoint_create(open_db(), "large", Moment(version=2))
    restored = restore(open_db(), Moment(checkpoint="large"))

    assert restored.version == 4
    assert bytes(restored.read(0, restored.size))[100:] == second[100:]
    assert [entry.restored for entry in log(open_db())] == [2, None, None, None]
    set_retention(open_db(), 86_400)
    assert retention(open_db()) == 86_400
    assert verify(open_db()).findings == ()


def test_fork_collect_and_remove(
    files: list[bytes], open_engine: Callable[..., Engine], prefix: str, any_store: ObjectStore
) -> None:
    parent = open_database(open_engine(), f"{prefix}db.sqlite")
    child = open_database(open_engine(), f"{prefix}db.sqlite/child")
    fork(parent, child, Moment(version=2))
    expected = b"".join(serialize_iter(child))
    assert expected[100:] == files[1][100:]

    assert collect(parent, grace_seconds=120).deleted == 0
    remove(parent)

    with pytest.raises(NotFoundError):
        next(log(parent))
    again = open_database(open_engine(), f"{prefix}db.sqlite/child")
    assert b"".join(serialize_iter(again)) == expected
    assert verify(again).whole
    remove(again)
    remove(parent)
    left = {row.key for row in any_store.list(f"{prefix}db.sqlite/")}
    assert {f"{prefix}db.sqlite/manifest", f"{prefix}db.sqlite/child/manifest"} <= left

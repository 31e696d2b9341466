"""Ctrl-C while blocks are being fetched: nobody waits for ever for what nobody fetches any more."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import apsw
import pytest
from vfs.interference import keyboard_interrupt_at

import sqlite_s3vfs
from reads.conftest import Connect
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

Imported = Callable[..., MemoryObjectStore]
MakeVFS = Callable[..., S3VFS]
PACKAGE = Path(sqlite_s3vfs.__file__).parent
FETCHING = tuple(
    str(PACKAGE / file)
    for file in (
        "fetching.py", "reader/answers.py", "reader/block_reader.py", "reader/map_objects.py"
    )
)
NOT_INTERRUPTED = ("with ", "flight.end()")
"""Python looks for signals after the first call of a ``finally``, and not in between."""
SQL = "SELECT body FROM post WHERE user = 7 LIMIT 3"


def strike(vfs: S3VFS, connection: apsw.Connection, step: int, not_at: tuple[str, ...]) -> bool:
    """Interrupt a cold read there, and wait for what it left behind: whether it got so far."""
    interrupted = keyboard_interrupt_at(step, within=FETCHING, not_at=not_at)
    with interrupted as raised, suppress(KeyboardInterrupt):
        connection.execute(SQL).fetchall()
    vfs._engine.pool.submit(lambda: None).result()      # its only thread is done with what was before
    return raised()


def claims_without_an_end(vfs: S3VFS) -> list[object]:
    flights = vfs._engine.flights
    return [key for key in flights._flights if key in flights]


@pytest.mark.usefixtures("_small_manifests")
@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_an_interrupt_at_any_line_leaves_no_claim_behind(
    imported: Imported, make_vfs: MakeVFS, connect: Connect, stride: int
):
    store = imported(block_size=4096)
    expected = connect(make_vfs(store)).execute(SQL).fetchall()
    for step in itertools.count(0, stride):
        vfs = make_vfs(store, pool_size=1)
        connection = connect(vfs)

        struck = strike(vfs, connection, step, NOT_INTERRUPTED)

        assert claims_without_an_end(vfs) == [], f"step={step}"
        assert connection.execute(SQL).fetchall() == expected
        connection.close()
        vfs.close()
        if not struck:
            assert step > 60
            return


@pytest.mark.usefixtures("_small_manifests")
def test_a_claim_that_an_interrupt_leaves_behind_is_noticed(
    imported: Imported, make_vfs: MakeVFS, connect: Connect
):
    """The mistake planted: the end of a claim can be interrupted."""
    store = imported(block_size=4096)
    for step in itertools.count():
        vfs = make_vfs(store, pool_size=1)
        assert strike(vfs, connect(vfs), step, NOT_INTERRUPTED[:1]), "not noticed"
        if claims_without_an_end(vfs):
            return

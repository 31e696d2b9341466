"""Every error has a code at every place, and no place gets a code that SQLite would misunderstand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import apsw
import pytest

from sqlite_s3vfs import errors
from sqlite_s3vfs.errors import (
    CommitUnknownError,
    ConflictError,
    CorruptError,
    NotFoundError,
    S3VFSError,
    StoreUnavailableError,
    WriteLockHeldError,
)
from sqlite_s3vfs.vfs.result_codes import CODES, Place, result_code, sqlite_errors


def tree(kind: type[S3VFSError] = S3VFSError) -> Iterator[type[S3VFSError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


PUBLIC = sorted(
    {kind for kind in tree() if kind.__module__ == errors.__name__}, key=lambda k: k.__name__
)


def test_every_class_of_the_tree_has_a_row() -> None:
    assert set(PUBLIC) == set(CODES)


@pytest.mark.parametrize(("kind", "place"), list(itertools.product(PUBLIC, Place)))
def test_each_place_gets_only_codes_that_sqlite_understands_there(
    kind: type[S3VFSError], place: Place
) -> None:
    code = result_code(kind("why."), place)

    primary = code & 0xFF
    assert primary not in (apsw.SQLITE_OK, apsw.SQLITE_LOCKED)
    if primary == apsw.SQLITE_BUSY:
        assert place in (Place.LOCK, Place.SYNC)
    if place is Place.PHASE_TWO:
        assert primary == apsw.SQLITE_IOERR


@pytest.mark.parametrize(
    ("error", "place", "code"),
    [
        (ConflictError("x"), Place.SYNC, apsw.SQLITE_BUSY_SNAPSHOT),
        (ConflictError("x"), Place.LOCK, apsw.SQLITE_BUSY_SNAPSHOT),
        (ConflictError("x"), Place.PHASE_TWO, apsw.SQLITE_IOERR_COMMIT_ATOMIC),
        (WriteLockHeldError("x"), Place.LOCK, apsw.SQLITE_BUSY),
        (StoreUnavailableError("x"), Place.SYNC, apsw.SQLITE_BUSY),
        (StoreUnavailableError("x"), Place.LOCK, apsw.SQLITE_IOERR_LOCK),
        (StoreUnavailableError("x"), Place.READ, apsw.SQLITE_IOERR_READ),
        (CommitUnknownError("x"), Place.SYNC, apsw.SQLITE_IOERR_FSYNC),
        (NotFoundError("x"), Place.OPEN, apsw.SQLITE_CANTOPEN),
        (CorruptError("x"), Place.READ, apsw.SQLITE_CORRUPT),
    ],
)
def test_the_codes_that_applications_rely_on(error: S3VFSError, place: Place, code: int) -> None:
    assert result_code(error, place) == code


def test_a_class_without_a_row_takes_its_parents() -> None:
    special = type("SpecialConflictError", (ConflictError,), {})

    assert result_code(special("x"), Place.SYNC) == apsw.SQLITE_BUSY_SNAPSHOT


def test_the_message_is_kept_and_the_cause_chained() -> None:
    cause = ConflictError("another writer committed first. version=3")

    with pytest.raises(apsw.BusyError) as caught, sqlite_errors(Place.SYNC):
        raise cause

    assert str(caught.value) == "another writer committed first. version=3"

    assert caught.value.__cause__ is cause
    assert caught.value.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT

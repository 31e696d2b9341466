"""What an error must be: its class, SQLite's code, our own error behind it, and a message that helps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import apsw
import pytest

from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.store.port import ObjectStore

_MESSAGE = re.compile(r"[^A-Z].*[^ .]\.( [a-z_]+=.+)*", re.DOTALL)
"""Lower case, a full stop, and then nothing but facts."""


@contextmanager
def refused(ours: type[S3VFSError], code: int | None, *words: str) -> Iterator[None]:
    """The block fails with ``ours``, and its message has all the ``words``.

    ``code`` is the extended result code of APSW's exception around it; None where there is none.
    """
    with pytest.raises((apsw.Error, S3VFSError)) as caught:
        yield
    check_error(caught.value, ours, code, *words)


def check_error(
    error: BaseException, ours: type[S3VFSError], code: int | None, *words: str
) -> None:
    """``error`` is what ``refused`` expects."""
    cause: BaseException | None = error
    if code is not None:
        assert isinstance(error, apsw.Error), repr(error)
        assert type(error) is type(apsw.exception_for(code)), repr(error)
        assert error.extendedresult == code
        cause = error.__cause__
        assert str(error) == str(cause)
    assert type(cause) is ours, repr(cause)
    check_message(cause)
    for word in words:
        assert word in str(cause)


def check_message(error: BaseException) -> None:
    """The message has the form of all our messages, and does not repeat its cause."""
    assert _MESSAGE.fullmatch(str(error)), str(error)
    cause = error.__cause__
    while cause is not None:
        assert not str(cause) or str(cause) not in str(error)
        cause = cause.__cause__


def objects(store: ObjectStore, prefix: str) -> dict[str, str]:
    """What lies in the store: keys and ETags."""
    return {row.key: row.etag for row in store.list(prefix)}


@contextmanager
def untouched(store: ObjectStore, prefix: str) -> Iterator[None]:
    """The block leaves the store as it was."""
    before = objects(store, prefix)
    yield
    assert objects(store, prefix) == before

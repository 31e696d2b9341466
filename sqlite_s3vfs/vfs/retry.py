"""Running a transaction until it is through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import apsw

from sqlite_s3vfs.clock import Clock, SystemClock
from sqlite_s3vfs.errors import (
    CommitUnknownError,
    ConflictError,
    InvalidArgumentError,
    PartialCommitError,
)
from sqlite_s3vfs.ids import IdSource, RandomIds

T = TypeVar("T")

ATTEMPTS = 50
_PAUSE_SECONDS = 0.005
_PAUSE_SECONDS_MAX = 1.0


def run_transaction(
    connection: apsw.Connection,
    fn: Callable[[apsw.Connection], T],
    *,
    attempts: int = ATTEMPTS,
    clock: Clock | None = None,
    ids: IdSource | None = None,
) -> T:
    """Run ``fn(connection)`` in a transaction and commit it; after a conflict, run it again.

    The transaction is begun with ``BEGIN IMMEDIATE``: writers of one process then queue on the write
    lock (set ``busy_timeout`` to let them wait there) and only writers of several processes meet at
    the commit. Each new attempt waits a random time, up to twice as long as the one before it, one
    second at most. ``fn`` sees the newest version each time, and has to bear being run again: what it
    does outside the database happens each time. Returns what the last run returned.

    Cost of each attempt: 1 conditional GET, and 1 PUT or more for the commit.

    Raises:
        apsw.BusyError: no attempt of ``attempts`` was successful; nothing is committed.
        apsw.Error: with ``CommitUnknownError`` or ``PartialCommitError`` as its cause: never repeated.
        InvalidArgumentError: the connection is in a transaction already.
        Exception: what ``fn`` raised; the transaction was rolled back.
    """
    if connection.in_transaction:
        raise InvalidArgumentError("the connection is in a transaction already: end that one first.")
    if attempts < 1:
        raise InvalidArgumentError(f"at least one attempt is needed. attempts={attempts}")
    clock, ids = clock or SystemClock(), ids or RandomIds()
    longest = _PAUSE_SECONDS
    for attempt in range(attempts):
        try:
            return _run_once(connection, fn)
        except apsw.Error as error:
            if attempt + 1 == attempts or not _may_repeat(error):
                raise
        clock.sleep(longest * ids.jitter())
        longest = min(2 * longest, _PAUSE_SECONDS_MAX)
    raise AssertionError("the last attempt returned or raised")


def _run_once(connection: apsw.Connection, fn: Callable[[apsw.Connection], T]) -> T:
    try:
        connection.execute("BEGIN IMMEDIATE")
        result = fn(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _may_repeat(error: apsw.Error) -> bool:
    """Whether the transaction is known not to have been committed, and may fare better next time."""
    causes = list(_causes(error))
    if any(isinstance(cause, CommitUnknownError | PartialCommitError) for cause in causes):
        return False
    conflict = any(isinstance(cause, ConflictError) for cause in causes)
    return conflict or isinstance(error, apsw.BusyError)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__

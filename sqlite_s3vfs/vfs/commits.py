"""When SQLite's two commit phases publish, and what a failure means to SQLite.

SQLite calls ``sync`` at the end of phase one, and in the rollback of a transaction that had already
written pages; only in a commit has page 1 another change counter than before. It calls ``finish``
exactly once for each commit. A refusal in ``sync`` is rolled back cleanly; one in ``finish`` comes
when SQLite has made up its mind. So a commit is published in ``sync``, with the size that page 1 tells
(SQLite truncates the file after it), and in ``finish`` only where another database takes part, or
where SQLite left page 1 alone.
"""

from __future__ import annotations

from sqlite_s3vfs.errors import (
    CommitUnknownError,
    ConflictError,
    S3VFSError,
    StoreUnavailableError,
)
from sqlite_s3vfs.interrupts import run_uninterrupted
from sqlite_s3vfs.vfs.session import Session, never_unlocked
from sqlite_s3vfs.vfs.states import Settled, Writing


def sync(session: Session, *, super_journal: bool) -> None:
    """End of phase one: publish, or check that phase two will be able to. 1 request or more.

    Raises:
        ConflictError: another writer was first; not committed.
        StoreUnavailableError: not committed; ``COMMIT`` may be repeated.
        S3VFSError: others; the transaction is over.
    """
    state = session.state
    if not isinstance(state, Writing) or not state.transaction.changed:
        return
    transaction = state.transaction
    if not transaction.change_counter_moved():
        return
    if not super_journal and not session.attached.others_commit(session):
        if state.deferred is None:
            _publish(session, state, transaction.header_size(), may_repeat=True)
        return
    try:
        transaction.check_head()
    except ConflictError as error:
        session.settle(transaction.base, error)
        raise
    state.deferred = session.attached.defer(session.name, super_journal=super_journal)


def finish(session: Session) -> None:
    """Phase two: publish what has not been published.

    Raises:
        PartialCommitError: another database of the same transaction was committed, this one was not.
        S3VFSError: nothing of the transaction was committed, or, ``CommitUnknownError``, nothing tells.
    """
    state = session.state
    if isinstance(state, Writing) and state.transaction.changed:
        _publish_last(session, state)
    if isinstance(session.state, Settled):
        if session.state.lost:
            raise never_unlocked(session.name)
        session.state.ended = True


def _publish_last(session: Session, state: Writing) -> None:
    deferred = state.deferred
    if deferred is None:
        _publish(session, state, state.transaction.size, may_repeat=False)
        return
    if deferred.refused is not None:
        session.settle(state.transaction.base, deferred.refused)
        raise deferred.refused
    try:
        _publish(session, state, state.transaction.size, may_repeat=False)
    except S3VFSError as error:
        raise deferred.refuse(session.name, error) from error
    deferred.published.append(session.name)


def _publish(session: Session, state: Writing, size: int, *, may_repeat: bool) -> None:
    """Publish and settle as one step that no interrupt can cut; where ``may_repeat`` an outage leaves
    the transaction as it was."""
    transaction = state.transaction

    def publish() -> None:
        try:
            published = transaction.commit(size)
        except BaseException as error:
            outage = isinstance(error, StoreUnavailableError)
            if not (may_repeat and outage) or isinstance(error, CommitUnknownError):
                session.settle(transaction.base, error)
            raise
        session.settle(published, None)

    try:
        run_uninterrupted(publish)
    except S3VFSError:
        raise
    except BaseException as interrupt:
        if not isinstance(session.state, Settled) or session.state.refusal is not None:
            raise
        session.interrupt = interrupt       # published: SQLite carries on, its unlock delivers this

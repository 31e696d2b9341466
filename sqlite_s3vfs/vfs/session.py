"""What one open handle does, as a state machine over the engine. Knows nothing of SQLite's opcodes.

What holds here, whatever SQLite does in between:

* **One version per read transaction.** SHARED takes a snapshot; every read until the unlock comes from
  it, or from the transaction on top of it. Outside any lock SQLite reads the header only.
* **Writes are private** until ``commit`` publishes them.
* **Settled once.** A transaction that was published or refused publishes nothing else (invariant I11).
  Until SQLite unlocks, writes and truncations are ignored: they undo what the engine has dropped
  already, or what cannot be undone any more. In the latter case SQLite's page cache goes back to the
  base of the transaction, and the snapshot with it.
* **The page cache is never of another version than the snapshot.** ``cached`` is the identity of the
  version that SQLite's cache reflects, None where that is not known. At each SHARED lock SQLite
  compares the 16 bytes at offset 24 with what it remembers; where the versions differ, it is handed
  bytes that no database has, and drops its cache. Equal change counters of different histories cannot
  fool it (https://www.sqlite.org/fileformat2.html#file_change_counter).
* **A wrong guess at the page size costs no request.** SQLite reads page 1, finds that pages have
  another size, unlocks and locks again at once, all in one step: that is one read transaction.
* **An interrupt changes no outcome.** Steps that take the write lock, or publish, run to their end; an
  interrupt that arrives during a publish is kept for the unlock. Where an interrupt keeps SQLite's
  unlock from arriving, or cuts it off, the next lock or the close makes up for it.

The methods of one session never overlap (SQLite's mutex); those of different ones do.
"""

from __future__ import annotations

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError, ReadOnlyError, WriteLockHeldError
from sqlite_s3vfs.format.sqlite_header import HEADER_SIZE, without_wal
from sqlite_s3vfs.interrupts import run_uninterrupted
from sqlite_s3vfs.readahead import TELLING, ReadAhead
from sqlite_s3vfs.vfs.attached import AttachedFiles
from sqlite_s3vfs.vfs.busy import busy_thread
from sqlite_s3vfs.vfs.states import (
    Bytes,
    Dead,
    Pinned,
    Reading,
    Settled,
    State,
    Unlocked,
    Writing,
)
from sqlite_s3vfs.vfs.window import NOWHERE, window_at

POISON = b"\xfe" * 16
"""What no database has at offset 24: as many free pages as pages."""

_CHECKED = (24, 16)
_FORMAT_VERSIONS = slice(18, 20)
_WAL_MODE = b"\x02\x02"
"""https://www.sqlite.org/fileformat2.html#file_format_version_numbers"""


class Session:
    """One open handle: its state, and what SQLite's page cache reflects."""

    def __init__(
        self, name: str, database: Database, *, read_only: bool, pinned: Snapshot | None = None
    ) -> None:
        self.name = name
        self.database = database
        self.window = NOWHERE
        self.state: State = Pinned(pinned) if pinned else Unlocked(database)
        self.attached = AttachedFiles()
        self.cached: bytes | None = None
        self.interrupt: BaseException | None = None
        self.read_only = read_only
        self.must_exist = False
        self.max_age = database.engine.settings.max_age_seconds
        self._ahead = ReadAhead(database.engine.advance_bytes_max)
        self._misread: Snapshot | None = None
        self._database_id = b""

    @property
    def is_committing(self) -> bool:
        """Whether SQLite holds EXCLUSIVE: it takes that on every database before the first sync."""
        return isinstance(self.state, Writing) and self.state.exclusive

    def read(self, offset: int, size: int) -> Bytes:
        """Bytes of the file; fewer only at its end.

        Most pages lie in the block that the page before was in: those are given out of hand.
        """
        window, state = self.window, self.state
        if window.start <= offset and offset + size <= window.stop and window.state is state:
            start = offset - window.start
            page = window.view[start : start + size]
            if page[0] in TELLING:
                self._ahead.saw(offset // size + 1, page)
            return page
        if offset >= HEADER_SIZE:
            found = window_at(offset, size, state, self._ahead, again=False)
            if found is not None:
                self.window = found
                return self.read(offset, size)
            bytes_read = state.read(offset, size, self._ahead)
            self.window = window_at(offset, size, state, self._ahead, again=True) or window
            return bytes_read
        snapshot = state.snapshot
        is_check = (offset, size) == _CHECKED and isinstance(state, Reading)
        if is_check and snapshot is not None and snapshot.identity != self.cached:
            return POISON
        header = state.read(offset, size, self._ahead)
        if offset:
            return header
        if snapshot is not None:
            self.cached = snapshot.identity
            self._misread = snapshot if HEADER_SIZE < size != snapshot.page_size else None
        return without_wal(bytes(header)) if header[_FORMAT_VERSIONS] == _WAL_MODE else header

    def begin_reading(self) -> None:
        """Take the newest version. 1 conditional GET; 0 where SQLite only had the page size wrong, or
        the version at hand is young enough.

        Raises:
            WriteLockHeldError: SQLite's busy handler waits for the write lock, and in vain so far.
            NotFoundError: the database was removed, and another one made in its place; or it has to
                exist, and does not.
        """
        misread, self._misread = self._misread, None    # first: whatever is raised, it is outdated
        self._check_alive()
        if isinstance(self.state, Pinned):
            return
        if not isinstance(self.state, Unlocked):
            self.end(to_reading=False)      # an interrupt kept SQLite's unlock from getting here
        busy_thread.check_retry(self, self.database)
        snapshot = misread or self.database.snapshot(self.max_age)
        if self.must_exist:
            snapshot = existing(self.database, snapshot, final=not self.max_age)
            self.must_exist = False
        self._database_id = same_database(self.name, self._database_id, snapshot)
        self.state = Reading(snapshot)

    def begin_writing(self) -> None:
        """Take the write lock among the connections of this process. 0 requests.

        Raises:
            WriteLockHeldError: another connection of this process is writing.
            ConflictError: what is being read is known to be superseded.
            ReadOnlyError: the handle was opened for reading.
        """
        self._check_alive()
        if isinstance(self.state, Writing | Settled):
            self.end(to_reading=True)       # as above
        assert isinstance(self.state, Reading), f"SHARED comes first. state={self.state}"
        if self.read_only:
            raise ReadOnlyError(f"the database was opened for reading. name={self.name!r}")
        snapshot = self.state.snapshot

        def begin() -> None:
            transaction = self.database.begin(snapshot)
            transaction.ahead = self._ahead
            self.state = Writing(transaction)

        try:
            run_uninterrupted(begin)
        except WriteLockHeldError:
            busy_thread.note_refusal(self, snapshot)
            raise

    def become_exclusive(self) -> None:
        """SQLite is about to write pages, or to commit."""
        self._check_alive()
        if isinstance(self.state, Writing):
            self.state.exclusive = True

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` into the transaction.

        Raises:
            InvalidArgumentError: SQLite begins another transaction without an unlock in between.
        """
        self._check_alive()
        if isinstance(self.state, Settled):
            self._undo(self.state)
            return
        assert isinstance(self.state, Writing), f"RESERVED comes first. state={self.state}"
        if offset < self.window.stop and self.window.start < offset + len(data):
            self.window = NOWHERE
        if offset == 0 and data[_FORMAT_VERSIONS] == _WAL_MODE:
            data, self.state.rewritten = without_wal(data), True
        self.state.transaction.write(offset, data)

    def truncate(self, size: int) -> None:
        """Set the size of the file in the transaction."""
        self._check_alive()
        self.window = NOWHERE
        if isinstance(self.state, Writing):
            self.state.transaction.truncate(size)

    def settle(self, snapshot: Snapshot, refusal: BaseException | None) -> None:
        """End the transaction: published as ``snapshot``, or refused, back to the base ``snapshot``.

        Releases the write lock.
        """
        state = self.state
        assert isinstance(state, Writing), f"a transaction is settled once. state={state}"
        self.cached = None if refusal or state.rewritten else snapshot.identity
        self._release(state)                # before the state moves: cut off, it is done once more
        self.state = Settled(snapshot, state.transaction.base, refusal)

    def end(self, *, to_reading: bool) -> None:
        """Drop what was not published, and unlock, or go back to SHARED. Never raises an error."""
        state = self.state
        if isinstance(state, Writing):
            self._drop(state)
        if isinstance(self.state, Reading | Settled):
            self.state.snapshot.stop_advance(self._ahead)
            reading = to_reading and Reading(self.state.snapshot)
            self.state = reading or Unlocked(self.database)
            self.window = NOWHERE           # an idle handle keeps no block, and none of its neighbours

    def die(self) -> None:
        """In a forked child: the parent's handle is of no use any more."""
        self.state = Dead(self.name)

    def _drop(self, state: Writing) -> None:
        """Back to the base; what SQLite's page cache is left with is known if nothing was written."""
        if state.transaction.changed:
            self.cached = None
        self._release(state)                # as in settle
        self.state = Reading(state.transaction.base)

    def _release(self, state: Writing) -> None:
        if state.deferred:
            state.deferred.waiting.discard(self.name)
        state.transaction.close()

    def _undo(self, state: Settled) -> None:
        """SQLite rolls back what was settled: its page cache shows the base from here on."""
        if not state.ended:
            state.snapshot = state.base
            self.cached = None
        elif not state.lost:
            state.lost = True               # its rollback may write; its commit will fail again
            raise never_unlocked(self.name)

    def _check_alive(self) -> None:
        if isinstance(self.state, Dead):
            raise self.state.error()


def existing(database: Database, snapshot: Snapshot, *, final: bool) -> Snapshot:
    """``snapshot``, or a newer one where it is of no database and may be old (not ``final``).

    Raises:
        NotFoundError: it does not exist.
    """
    if not snapshot.manifest.commits and not final:
        snapshot = database.snapshot()
    if not snapshot.manifest.commits:
        raise NotFoundError(
            "the database does not exist: open it with the CREATE flag (mode=rwc) to make it. "
            f"name={database.prefix!r}"
        )
    return snapshot


def same_database(name: str, before: bytes, snapshot: Snapshot) -> bytes:
    """The id of the database that is read now, where that is the one ``before`` (empty: none so far).

    SQLite knows the schema of that one, and the schema cookie may be the same by chance
    (https://www.sqlite.org/pragma.html#pragma_schema_version).

    Raises:
        NotFoundError: another database was made anew in its place.
    """
    manifest = snapshot.manifest
    if before and manifest.commits and manifest.predecessor and before != manifest.database_id:
        raise NotFoundError(
            "the database was removed, and another one was made in its place: open a new "
            f"connection. name={name!r}"
        )
    return manifest.database_id if manifest.commits else b""


def never_unlocked(name: str) -> InvalidArgumentError:
    """The error for a transaction that begins before the last one was unlocked."""
    return InvalidArgumentError(
        "locking_mode=EXCLUSIVE cannot be had on a shared database: set it back with "
        f"PRAGMA locking_mode=NORMAL and run the transaction again. name={name!r}"
    )

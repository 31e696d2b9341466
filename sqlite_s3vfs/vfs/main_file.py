"""A database file as SQLite sees it: its calls, translated for ``Session`` and back.

A plain object and not an ``apsw.VFSFile``: APSW calls the methods of either, and this one costs less
per call. BUSY codes are raised from ``xLock`` and ``FCNTL_SYNC`` only, I/O errors only from phase two
(``result_codes``); ``xUnlock``, ``xClose``, hints and whatever follows a publish raise no error.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.vfs import commits
from sqlite_s3vfs.vfs.attached import files_of_connection
from sqlite_s3vfs.vfs.result_codes import Place, sqlite_error, sqlite_errors
from sqlite_s3vfs.vfs.session import Session
from sqlite_s3vfs.vfs.states import Bytes, Pinned

SECTOR_SIZE = 4096
"""More than a page would make SQLite write the neighbours of a changed page too."""

AnswerPragma = Callable[[Session, apsw.VFSFcntlPragma], bool]


class MainFile:
    """An open database."""

    def __init__(
        self, session: Session, answer_pragma: AnswerPragma, on_close: Callable[[Session], None]
    ) -> None:
        self._session = session
        self._answer_pragma = answer_pragma
        self._on_close = on_close

    def xRead(self, amount: int, offset: int) -> Bytes:
        try:
            return self._session.read(offset, amount)
        except S3VFSError as error:
            raise sqlite_error(error, Place.READ) from error

    def xWrite(self, data: bytes, offset: int) -> None:
        try:
            self._session.write(offset, data)
        except S3VFSError as error:
            raise sqlite_error(error, Place.WRITE) from error

    def xTruncate(self, size: int) -> None:
        with sqlite_errors(Place.WRITE):
            self._session.truncate(size)

    def xSync(self, flags: int) -> None:
        """Not a commit: SQLite leaves it out with ``synchronous=OFF``."""

    def xFileSize(self) -> int:
        with sqlite_errors(Place.READ):
            return self._session.state.size

    def xLock(self, level: int) -> None:
        # Of a lazy handle the first lock is what opening is for others, with the same errors.
        with sqlite_errors(Place.OPEN if self._session.must_exist else Place.LOCK):
            if level == apsw.SQLITE_LOCK_SHARED:
                self._session.begin_reading()
            elif level == apsw.SQLITE_LOCK_RESERVED:
                self._session.begin_writing()
            else:
                self._session.become_exclusive()

    def xUnlock(self, level: int) -> None:
        session = self._session
        session.end(to_reading=level == apsw.SQLITE_LOCK_SHARED)
        interrupt, session.interrupt = session.interrupt, None
        if interrupt is not None:
            raise interrupt

    def xCheckReservedLock(self) -> bool:
        """Asked only where a journal exists, which is never the case here."""
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        if op == apsw.SQLITE_FCNTL_PRAGMA:
            with sqlite_errors(Place.PRAGMA):
                return self._answer_pragma(self._session, apsw.VFSFcntlPragma(ptr))
        if op == apsw.SQLITE_FCNTL_SYNC:
            with sqlite_errors(Place.SYNC):
                commits.sync(self._session, super_journal=bool(ptr))
        elif op == apsw.SQLITE_FCNTL_COMMIT_PHASETWO:
            self._finish()
        elif op == apsw.SQLITE_FCNTL_PDB:
            self._session.attached = files_of_connection(ptr)
            self._session.attached.add(self._session)
        return False

    def xSectorSize(self) -> int:
        return SECTOR_SIZE

    def xDeviceCharacteristics(self) -> int:
        """https://www.sqlite.org/c3ref/c_iocap_atomic.html; the first three shorten journals."""
        flags = (
            apsw.SQLITE_IOCAP_SAFE_APPEND
            | apsw.SQLITE_IOCAP_SEQUENTIAL
            | apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE
        )
        if isinstance(self._session.state, Pinned):
            flags |= apsw.SQLITE_IOCAP_IMMUTABLE
        return flags

    def xClose(self) -> None:
        self._session.end(to_reading=False)
        self._session.attached.remove(self._session)
        self._on_close(self._session)

    def _finish(self) -> None:
        try:
            commits.finish(self._session)
        except S3VFSError as error:
            raise sqlite_error(error, Place.PHASE_TWO) from error
        except Exception as error:
            # Any other code would leave SQLite with a page cache of what was never committed.
            raise apsw.exception_for(apsw.SQLITE_IOERR_COMMIT_ATOMIC) from error

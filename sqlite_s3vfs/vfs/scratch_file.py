"""Journals: private to the handle that opened them, never in the store.

A commit is atomic without them. SQLite needs them within one process only: to roll back a transaction,
a statement or a savepoint. Two writers may hold a journal of the same name at the same time, so a
journal is never looked up by its name: each open gets an empty file of its own, and "does it exist"
is always answered with no.

The first ``MEMORY_MAX`` bytes lie in memory, what follows them in an unnamed temporary file. The
beginning never leaves memory, because that is all that SQLite touches once the commit is published
(it is truncated, or its header overwritten with zeros): a full disk must not turn that into an
error (invariant I11).
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import IO

import apsw

MEMORY_MAX = 1 << 20
"""Bytes of a journal that are kept in memory."""


class ScratchFile:
    """A file that only its opener sees and that is gone when it is closed."""

    def __init__(self, memory_max: int = MEMORY_MAX) -> None:
        self._head_max = memory_max
        self._head = bytearray()
        self._tail: IO[bytes] | None = None
        self._tail_position = 0
        self._size = 0

    def xRead(self, amount: int, offset: int) -> bytes:
        """The bytes there are; fewer than asked for at the end only."""
        stop = min(offset + amount, self._size)
        head = bytes(self._head[offset : min(stop, self._head_max)])
        start = max(offset, self._head_max)
        return head if stop <= start else head + self._read_tail(start - self._head_max, stop - start)

    def xWrite(self, data: bytes, offset: int) -> None:
        if offset > self._size:
            self.xWrite(bytes(offset - self._size), self._size)
        in_head = max(0, min(len(data), self._head_max - offset))
        if in_head:
            self._head[offset : offset + in_head] = data[:in_head]
        if in_head < len(data):
            self._write_tail(data[in_head:], offset + in_head - self._head_max)
        self._size = max(self._size, offset + len(data))

    def xTruncate(self, size: int) -> None:
        """Shrink. What lies in the temporary file is forgotten rather than cut: that cannot fail."""
        self._size = min(self._size, size)
        del self._head[size:]
        if self._tail is not None and size <= self._head_max:
            tail, self._tail, self._tail_position = self._tail, None, 0
            with suppress(OSError):     # a flush to a full disk, of bytes that nobody wants
                tail.close()

    def xSync(self, flags: int) -> None:
        """Nothing to do: no journal needs to survive its process."""

    def xFileSize(self) -> int:
        return self._size

    def xClose(self) -> None:
        self.xTruncate(0)

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xLock(self, level: int) -> None:
        """SQLite locks databases only."""

    def xUnlock(self, level: int) -> None:
        """SQLite locks databases only."""

    def xCheckReservedLock(self) -> bool:
        return False

    def _read_tail(self, offset: int, size: int) -> bytes:
        assert self._tail is not None, "a size beyond the head comes from a write to the tail"
        try:
            self._tail.seek(offset)
            found = self._tail.read(size)
        except OSError as error:
            raise _disk_error(apsw.SQLITE_IOERR_READ, error) from error
        self._tail_position = offset + len(found)
        return found

    def _write_tail(self, data: bytes, offset: int) -> None:
        try:
            if self._tail is None:
                self._tail = tempfile.TemporaryFile(buffering=1 << 16)  # noqa: SIM115 - see xTruncate
            if offset != self._tail_position:       # a seek would flush the buffer
                self._tail.seek(offset)
            self._tail.write(data)
        except OSError as error:
            raise _disk_error(apsw.SQLITE_IOERR_WRITE, error) from error
        self._tail_position = offset + len(data)


def _disk_error(code: int, error: OSError) -> Exception:
    """An error of the local disk as SQLite's own, with the system's words."""
    translated: Exception = apsw.exception_for(code)
    translated.args = (f"the local temporary file of a journal failed. reason={error}",)
    return translated

"""Waiting for another thread's transaction without a request per try.

While a connection of this process writes, ``xLock(RESERVED)`` answers busy to the others. SQLite's
busy handler (``busy_timeout``) then lets go of everything, sleeps, and starts the statement again
with SHARED, which costs a conditional GET: 20 in the first second. But whoever comes back from the
handler's sleep, which goes through ``xSleep``, wants to write; so while the lock is still held it is
told "busy" at SHARED, from memory. The time-out stays exactly the one that the user set, readers never
wait, and a custom handler that does not sleep through SQLite merely costs its requests.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from weakref import WeakKeyDictionary

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.errors import ConflictError


class BusyThread(threading.local):
    """Per thread: which handle was refused the write lock last, and whether SQLite slept since.

    The handle is referred to weakly: a thread may outlive by far what it once waited for.
    """

    def __init__(self) -> None:
        self._refused: WeakKeyDictionary[object, Snapshot] = WeakKeyDictionary()
        self._slept = False

    def note_refusal(self, handle: object, base: Snapshot) -> None:
        self._refused.clear()
        self._refused[handle] = base
        self._slept = False

    def note_sleep(self) -> None:
        self._slept = True

    def check_retry(self, handle: object, database: Database) -> None:
        """Let ``handle`` begin to read, unless it comes back from the busy handler in vain. 0 requests.

        Raises:
            WriteLockHeldError: what it was refused is still held.
        """
        base = self._refused.get(handle)
        slept, self._slept = self._slept, False
        if slept and base is not None:
            with suppress(ConflictError):       # somebody committed: the next snapshot will tell
                database.begin(base).close()
        self._refused.clear()


busy_thread = BusyThread()

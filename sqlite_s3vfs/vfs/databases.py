"""The databases that a VFS has open: one ``Database`` for all connections to the same name.

They share the newest version that any of them has seen, and the work in the background. A database
that nobody has open any more is kept for a while: programs that open, write and close again and
again find their manifest at hand.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from weakref import WeakSet

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.past import Moment, open_at
from sqlite_s3vfs.vfs.session import Session, existing
from sqlite_s3vfs.wiring import Engine, open_database

IDLE_MAX = 32
"""Databases kept without an open handle."""


class OpenDatabases:
    """Opens and closes handles. Safe to share between threads.

    ``_entries_lock`` guards the counts and is never held across a request. It is re-entrant: garbage
    collection may close a connection, and so get here, while this very thread holds it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closing = False
        self._sessions: WeakSet[Session] = WeakSet()
        self._forget()

    def open(self, prefix: str, *, create: bool, read_only: bool, immutable: bool,
             lazy: bool = False, moment: Moment | None = None) -> Session:
        """A handle of the database under ``prefix``. 0 requests; without ``create`` 1, unless another
        handle has it open; with ``immutable`` 1; 2 where nothing is known of it yet. Of a ``moment`` of
        the past: as ``open_at``. A ``lazy`` handle is told that there is no database at its first lock.

        Raises:
            NotFoundError: it does not exist, and ``create`` was not given; or no such version.
            InvalidArgumentError: the VFS was closed, or ``prefix`` cannot name a database.
        """
        database = self._take(prefix)
        try:
            pinned = database.snapshot() if immutable and moment is None else None
            pinned = open_at(database, moment) if moment else pinned
            required = not create and self._handles[prefix] == 1    # a file exists once it is opened
            lazy = lazy and pinned is None
            if required and not lazy:
                existing(database, pinned or database.newest(), final=pinned is not None)
            session = Session(prefix, database, read_only=read_only, pinned=pinned)
            session.must_exist = required and lazy
        except BaseException:
            self._give_back(database)
            raise
        self._sessions.add(session)
        return session

    def closed(self, session: Session) -> None:
        """The handle was closed."""
        self._sessions.discard(session)
        self._give_back(session.database)

    def is_open(self, prefix: str) -> bool:
        """Whether there is a handle of the database."""
        return prefix in self._handles

    def database(self, prefix: str) -> Database:
        """The database under ``prefix``, without a handle. 0 requests.

        Raises:
            InvalidArgumentError: ``prefix`` cannot name a database.
        """
        database = self._take(prefix)
        self._give_back(database)
        return database

    def close(self) -> None:
        """Refuse new handles; once the last one is closed, threads and sockets are freed."""
        self._closing = True
        with self._entries_lock:
            unused = not self._handles
        if unused:
            self._free()

    def after_fork(self) -> None:
        """In a forked child: the parent's handles are dead, new ones work."""
        for session in self._sessions:
            session.die()
        self._engine.after_fork()
        self._forget()

    def at_exit(self) -> None:
        """Wait for work in the background. Handles may still be used."""
        self._free()

    def _take(self, prefix: str) -> Database:
        if self._closing:
            raise InvalidArgumentError(f"the VFS was closed: make a new one. name={prefix!r}")
        database = open_database(self._engine, prefix)
        with self._entries_lock:
            self._handles[prefix] += 1      # first: what is in use is not evicted
            database = self._databases.setdefault(prefix, database)
            surplus = self._surplus()
        if surplus is not None:
            surplus.close()
        return database

    def _give_back(self, database: Database) -> None:
        with self._entries_lock:
            prefix = database.prefix
            if self._databases.get(prefix) is not database:
                return          # a handle of the process that this one was forked from
            self._databases.move_to_end(prefix)
            self._handles[prefix] -= 1
            if not self._handles[prefix]:
                del self._handles[prefix]
            unused = not self._handles
        if unused and self._closing:
            self._free()

    def _surplus(self) -> Database | None:
        """Take out the database that has been idle for longest, where there are too many."""
        if len(self._databases) <= len(self._handles) + IDLE_MAX:
            return None
        return self._databases.pop(next(name for name in self._databases if name not in self._handles))

    def _free(self) -> None:
        with self._entries_lock:
            databases = list(self._databases.values())
            if self._closing and not self._handles:
                self._databases.clear()
        for database in databases:
            database.close()
        self._engine.close()

    def _forget(self) -> None:
        self._entries_lock = threading.RLock()
        self._databases: OrderedDict[str, Database] = OrderedDict()
        self._handles: Counter[str] = Counter()

"""Which super-journals exist: SQLite's mark that a transaction over several databases is undecided.

SQLite creates one, names it in the journal of each database, and deletes it to commit. A rollback asks
whether it is still there, and **plays no journal back where it is not**, taking the transaction for
committed: then the pages that were never committed would stay in SQLite's page cache. So these names
are remembered, across all VFS objects of the process. One whose main database is not ours was created
elsewhere; we are asked about it in a rollback only, and every rollback of ours is to be played.

(https://www.sqlite.org/atomiccommit.html#_multi_file_commit)
"""

from __future__ import annotations

from collections.abc import Callable

REMEMBERED_MAX = 1000
"""A rolled-back one is deleted once for each database, and nobody knows which time is the last."""

_MARK = "-mj"
_SUFFIX_SIZE = len(_MARK) + 9


class SuperJournals:
    """The names that stand for undecided transactions."""

    def __init__(self) -> None:
        self._undecided: dict[str, None] = {}

    def created(self, name: str) -> None:
        """SQLite begins to commit several databases."""
        self._undecided[name] = None
        if len(self._undecided) > REMEMBERED_MAX:
            self._undecided.pop(next(iter(self._undecided)), None)

    def deleted(self, name: str, *, syncdir: bool) -> None:
        """SQLite commits; without ``syncdir`` it cleans up in a rollback of one of the databases."""
        if syncdir:
            self._undecided.pop(name, None)

    def exists(self, name: str, *, is_open: Callable[[str], bool]) -> bool:
        """Whether ``name`` is a super-journal, and its transaction undecided.

        ``is_open`` tells whether a database is open through the VFS that is asked: SQLite also asks
        whether a name is free before it creates a super-journal beside that database.
        """
        if not name[-_SUFFIX_SIZE:].startswith(_MARK):
            return False
        return name in self._undecided or not is_open(name[:-_SUFFIX_SIZE])


super_journals = SuperJournals()

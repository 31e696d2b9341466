"""The face of a write transaction: read, write, truncate, commit.

Belongs to one connection. Nothing that it does before ``commit`` can be seen by anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.sqlite_header import CHANGE_COUNTER, parse_header
from sqlite_s3vfs.planning.commit import Changes
from sqlite_s3vfs.planning.overlay import Overlay
from sqlite_s3vfs.planning.spill import blocks_to_spill
from sqlite_s3vfs.readahead import ReadAhead
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.reader.contents import block_contents
from sqlite_s3vfs.transaction.spilling import EarlyBlocks, Spilling

_NEW_PAGE_SIZE = 4096
_SPILLED_AT_ONCE = 4
"""A full overlay gives up this part of its bytes: choosing blocks costs time, and so do hot ones."""


class Publisher(Protocol):
    """What a transaction needs of its database."""

    def publish(self, base: Snapshot, changes: Changes, read: Callable[[int, int], bytes],
                on_published: Callable[[Snapshot], None], *, early: EarlyBlocks | None = None) -> None:
        """Commit ``changes``; ``on_published`` is called with the new snapshot as soon as it is in."""

    def check_newest(self, base: Snapshot) -> None:
        """Raise ``ConflictError`` where ``base`` is not the newest version any more."""

    def release(self, holder: object) -> None:
        """Give the process's write lock back."""


class Transaction:
    """Changes on top of ``base``, of which about ``memory_max`` bytes are kept in memory.

    ``spilling`` makes the place for the rest, when it is needed.
    """

    def __init__(
        self,
        publisher: Publisher,
        base: Snapshot,
        *,
        memory_max: int,
        spilling: Callable[[Snapshot], Spilling],
    ) -> None:
        self.base = base
        self.committed: Snapshot | None = None
        """The new snapshot once the commit is published, even if an interrupt was raised after it."""
        self._publisher = publisher
        self.ahead: ReadAhead | None = None
        """What predicts the reads of the connection."""
        self._overlay = Overlay(
            base.page_size or _NEW_PAGE_SIZE,
            base.size,
            # SQLite asks for a page, a commit for what of a block was not written.
            lambda offset, size: base.read_stretch(offset, size)
            if size > base.page_size
            else base.read(offset, size, ahead=self.ahead),
        )
        self.shows_base = self._overlay.shows_base
        """Whether bytes that lie in one block, from one offset to another, are as the base has them."""
        self._memory_max = memory_max
        self._begin_spilling = spilling
        self._spilling: Spilling | None = None

    @property
    def size(self) -> int:
        """Bytes of the file as it is now."""
        return self._overlay.size

    @property
    def changed(self) -> bool:
        """Whether something was written or truncated."""
        return self._overlay.changed

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file with the transaction's changes; fewer only at its end."""
        return self._overlay.read(offset, size)

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``. Nobody else sees it. 0 requests for a whole page, mostly.

        Raises:
            StoreUnavailableError, AccessDeniedError, UnsafeStoreError, CorruptError: the transaction
                has outgrown its memory, and could not be uploaded in part. It has to be given up.
        """
        self._overlay.write(offset, data)
        if self._overlay.held_bytes > self._memory_max:
            self._spill(self._memory_max // _SPILLED_AT_ONCE)

    def truncate(self, size: int) -> None:
        """Set the size of the file."""
        self._overlay.truncate(size)

    def change_counter_moved(self) -> bool:
        """Whether page 1 was written with another change counter than the base's.

        When SQLite asks to sync, that tells a commit from the rollback of a transaction that had
        already written pages; "something differs from the base" would not.
        """
        spilled = self._spilling is not None and 0 in self._spilling
        if 0 not in self._overlay.units() and not spilled:
            return False
        header = self._overlay.read(0, 100)
        return header[CHANGE_COUNTER] != bytes(self.base.read(0, 100))[CHANGE_COUNTER]

    def header_size(self) -> int:
        """The size that the header of page 1 tells: the final one, before SQLite truncates to it."""
        header = parse_header(self._overlay.read(0, 100))
        return header.size if header and header.page_count else self.size

    def check_head(self) -> None:
        """Ask whether the base is still the newest version. 1 conditional GET.

        Raises:
            ConflictError: it is not.
        """
        self._publisher.check_newest(self.base)

    def commit(self, size: int) -> Snapshot:
        """Publish the file, cut or grown to ``size`` bytes, as the next version.

        Others see all of it or nothing. 1 PUT for a small transaction; segments and history in
        parallel and then 1 PUT for a large one. An interrupt is raised after the outcome is known.

        Raises:
            ConflictError: another writer was first; not committed.
            StoreUnavailableError: not committed; the call may be repeated.
            CommitUnknownError: nothing tells; it may have been committed.
            AccessDeniedError, UnsafeStoreError, CorruptError: not committed.
        """
        if self.committed is not None:
            raise ConflictError("the transaction was committed already: begin another one.")
        if size != self._overlay.size:
            self._overlay.truncate(size)
        page_size, early = self._page_size(), None
        if self._spilling is not None:
            self._spill(None)
            assert not self._overlay.held_bytes, "everything has left the overlay"
            early = self._spilling.finish(page_size)
        changes = Changes(
            page_size=page_size,
            size=size,
            pages={index + 1: unit for index, unit in self._pages()},
            base_limit=self._overlay.base_limit,
            spilled=self._spilling.blocks if self._spilling else frozenset(),
        )
        self._publisher.publish(
            self.base, changes, self._overlay.read, self._set_committed, early=early
        )
        assert self.committed is not None, "publish returned"
        return self.committed

    def close(self) -> None:
        """Drop what is not committed and release the write lock. Idempotent; never raises."""
        spilling, self._spilling = self._spilling, None
        try:
            if spilling is not None:
                spilling.close()
        finally:
            self._publisher.release(self)

    def _spill(self, wanted: int | None) -> None:
        """Upload blocks that free about ``wanted`` bytes of the overlay; None: all that it holds."""
        overlay, base = self._overlay, self.base
        if self._spilling is None:
            self._spilling = overlay.spilled = self._begin_spilling(base)
        spilling, block_size = self._spilling, base.block_size
        blocks = blocks_to_spill(
            list(overlay.units()),
            unit_size=overlay.unit_size,
            block_size=block_size,
            size=overlay.size,
            wanted=wanted,
        )

        def needs_old(block: int) -> bool:
            return not overlay.covers(block, block_size)

        page_size, done = self._page_size(), set[int]()
        for start in range(0, len(blocks), spilling.part_blocks):
            part = blocks[start : start + spilling.part_blocks]
            spilling.bring(filter(needs_old, part))
            contents = dict(
                block_contents(
                    base,
                    part,
                    size=overlay.size,
                    read=overlay.read,
                    needs_old=lambda block: block not in spilling and needs_old(block),
                )
            )
            before = overlay.held_bytes
            spilling.put(contents, page_size)
            done.update(part)
            overlay.release(part, done, block_size)
            spilling.count_pages((before - overlay.held_bytes) // page_size)

    def _set_committed(self, snapshot: Snapshot) -> None:
        self.committed = snapshot

    def _page_size(self) -> int:
        header = parse_header(self._overlay.read(0, 100))
        return header.page_size if header else self._overlay.unit_size

    def _pages(self) -> list[tuple[int, bytes]]:
        """The written pages in units of the file's page size."""
        overlay, page_size = self._overlay, self._page_size()
        if overlay.unit_size == page_size:
            return list(overlay.units().items())
        touched = sorted(
            {
                page
                for index in overlay.units()
                for page in overlapping(index, overlay.unit_size, page_size)
            }
        )
        size = overlay.size
        return [
            (page, overlay.read(page * page_size, page_size).ljust(page_size, b"\x00"))
            for page in touched
            if page * page_size < size
        ]

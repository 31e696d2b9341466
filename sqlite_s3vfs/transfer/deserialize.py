"""A plain SQLite file into the store, as one commit.

Blocks from 1 on are uploaded as the bytes come, many at once. Block 0 goes last, in a segment of its
own: its header may have to be raised above that of the content which is replaced (invariant I9),
and which content that is shows only when the manifest is put. A source that fails, or bytes that are
no database, leave the old content; what was uploaded is removed.

Blocks that are stored already are not uploaded again (``unchanged``). Where others commit meanwhile,
such a block may have lost its place by the time of the manifest: it is then read from the version
that the import began with, and uploaded after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sqlite_s3vfs.database import Database, Version
from sqlite_s3vfs.errors import ConflictError, InvalidArgumentError
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.geometry import unit_count
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import InteriorPage, Manifest
from sqlite_s3vfs.format.sqlite_header import (
    HEADER_SIZE,
    SQLiteHeader,
    parse_header,
    raised_above,
    without_wal,
)
from sqlite_s3vfs.free_memory import give_back
from sqlite_s3vfs.planning.interior import interior_of_blocks
from sqlite_s3vfs.planning.segments import encode_blocks, locators_of
from sqlite_s3vfs.planning.successor import Prepared
from sqlite_s3vfs.progress import OnProgress, Progress, no_progress
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.transaction.ahead import SegmentsAhead
from sqlite_s3vfs.transfer.unchanged import KnownBlocks, dead_beside
from sqlite_s3vfs.uploads import Uploads, check_born

UNDER_WAY_MAX = 40 << 20
"""Bytes of blocks that are being encoded and uploaded at once: nothing else takes memory here."""
_VIEWED_MAX = 8 << 20
"""Bytes of a chunk whose blocks are views of it; a larger one would stay in memory with any of them."""
_ATTEMPTS_MAX = 20


def deserialize_iter(
    database: Database, bytes_iter: Iterable[bytes], *, on_progress: OnProgress = no_progress
) -> None:
    """Replace the database by the plain SQLite file whose bytes ``bytes_iter`` gives, in one commit.

    Chunks may have any sizes. Readers see the old content or the new one whole. On a new name the
    bytes are kept exactly; on an existing one the change counter and schema cookie are raised above
    those replaced, so that open connections notice. A header in WAL mode is turned to rollback
    mode, because WAL cannot be used here. About one PUT for 4 MiB of what is not stored already,
    several at once, then history and block 0, then the manifest; over an existing database one small
    GET for each of its segments before.

    Raises:
        InvalidArgumentError: the bytes are not a whole SQLite database.
        ConflictError: others keep committing, or made the database meanwhile.
        StoreUnavailableError, AccessDeniedError, UnsafeStoreError: the store did not serve.
        CommitUnknownError: it may have been replaced; after all others it was not.
    """
    base = database.version()
    database.committer.check_writable(base.origin.manifest)
    incoming = _Import(database, base, on_progress)
    try:
        incoming.consume(bytes_iter)
        incoming.check()
        _publish(database, base, incoming)
    except BaseException:
        incoming.ahead.abandon()
        raise
    finally:
        give_back()
    on_progress(Progress("deserialize", incoming.size, incoming.size))


def _publish(database: Database, base: Version, incoming: _Import) -> None:
    """Put the manifest; on top of whatever others commit meanwhile, because it is replaced anyway."""
    newest = base
    for attempt in range(_ATTEMPTS_MAX):
        if newest.origin.manifest.database_id != base.origin.manifest.database_id:
            raise ConflictError(
                "the database was made by another writer meanwhile; nothing of the import is kept. "
                f"prefix={database.prefix!r}"
            )
        check_born(newest.origin.manifest, incoming.ahead.uploads.born_ms)
        try:
            database.publish_content(newest, incoming.prepared, incoming.ahead.uploads)
        except ConflictError:
            if attempt + 1 == _ATTEMPTS_MAX:
                raise
            newest = database.version()
        else:
            return


class _Import:
    """The content that comes in, on top of ``base``."""

    def __init__(self, database: Database, base: Version, on_progress: OnProgress) -> None:
        manifest = base.origin.manifest
        self.size = 0
        self.ahead = SegmentsAhead(
            database.engine,
            database.keys,
            database_id=manifest.database_id,
            version=manifest.version + 1,
            block_size=manifest.block_size,
            under_way_max=UNDER_WAY_MAX,
        )
        self._database = database
        self._base = base.snapshot
        self._known = KnownBlocks(database, base.snapshot)
        self._kept: dict[int, Locator] = {}
        self._kept_interior: list[InteriorPage] = []
        self._on_progress = on_progress
        self._pending: dict[int, bytes | memoryview] = {}
        self._first_block = b""
        self._header: SQLiteHeader | None = None

    @property
    def page_size(self) -> int:
        """Bytes of a page; 0 for an empty file."""
        return self._header.page_size if self._header else 0

    def consume(self, bytes_iter: Iterable[bytes]) -> None:
        """Take the whole file; all but block 0 is uploaded when this returns."""
        blocks = _blocks(bytes_iter, self._base.block_size)
        self._take_first(bytes(next(blocks, b"")))
        for index, content in enumerate(blocks, 1):
            self._take(index, content)
            self.size += len(content)
            if len(self._pending) == self.ahead.part_blocks:
                self._upload_pending()
            if not index % self.ahead.part_blocks:
                self._tell_progress()
        self._upload_pending()
        self._tell_progress()
        self.ahead.finish()

    def check(self) -> None:
        """Refuse bytes that are not a whole database.

        Raises:
            InvalidArgumentError: they are not.
        """
        prefix = self._database.prefix
        if self.size and self._header is None:
            raise InvalidArgumentError(
                "the bytes do not begin a SQLite database; nothing was changed. "
                f"prefix={prefix!r} size={self.size}"
            )
        if self._header and self._header.size > self.size:
            raise InvalidArgumentError(
                "the bytes end before the database does; nothing was changed. "
                f"prefix={prefix!r} size={self.size} expected={self._header.size}"
            )

    def prepared(self, base: Manifest, snapshot: Snapshot, skeleton: Prepared,
                 uploads: Uploads) -> Prepared:
        """The commit that puts this content in the place of ``base``; uploads block 0."""
        version = base.version + 1
        self._save_moved(snapshot)
        written, interior = dict(self._kept), list(self._kept_interior)
        for part in self.ahead.parts:
            interior += part.interior
            source = part.source._replace(first=version)
            for block in part.sizes:
                written[block] = part.locator(block)._replace(source=source)
        first = self._settled_first_block(snapshot)
        if first:
            name = ObjectName(version, self._database.engine.ids.new_id())
            segment = encode_blocks(base.database_id, name, {0: first})
            uploads.put(self._database.keys.segment(name), segment.data)
            written.update(locators_of([segment], version))
            interior += interior_of_blocks(
                {0: first}, base.block_size, self.page_size, size=self.size
            )
        return replace(
            skeleton,
            page_size=self.page_size,
            size=self.size,
            pages_written=unit_count(self.size, self.page_size) if self.page_size else 0,
            written=written,
            born_dead=dead_beside(self._kept.values()),
            interior=tuple(interior),
        )

    def _settled_first_block(self, snapshot: Snapshot) -> bytes:
        first = self._first_block
        if self._header and self._header.uses_wal:
            first = without_wal(first)
        replaced = parse_header(snapshot.read(0, HEADER_SIZE)) if snapshot.size else None
        return raised_above(first, replaced) if first and replaced else first

    def _tell_progress(self) -> None:
        waiting = self.ahead.bytes_under_way + sum(map(len, self._pending.values()))
        self._on_progress(Progress("deserialize", self.size - waiting, None))

    def _take_first(self, content: bytes) -> None:
        self.size = len(content)
        self._first_block = content
        self._header = parse_header(content[:HEADER_SIZE])
        if content and self._header is None:
            self.check()

    def _take(self, block: int, content: bytes | memoryview) -> None:
        """Upload the block with those to come, unless it is stored already."""
        if not self._known:
            self._pending[block] = content
            return
        locator = self._known.locator(block, content)
        if locator is None:
            self._pending[block] = bytes(content)       # a view would keep its neighbours in memory
        else:
            self._kept[block] = locator
            page_size = self.page_size
            found = interior_of_blocks({block: content}, self._base.block_size, page_size)
            self._kept_interior += found

    def _upload_pending(self) -> None:
        if self._pending:
            self.ahead.put(self._pending, self.page_size)
        self._pending = {}

    def _save_moved(self, newest: Snapshot) -> None:
        """Upload what was stored already, but lies there no more in the version that is replaced."""
        places = newest.locators(self._kept)
        moved = sorted(block for block, place in self._kept.items() if places.get(block) != place)
        step = self.ahead.part_blocks
        for start in range(0, len(moved), step):
            part = moved[start : start + step]
            contents = self._base.fetch(part)
            self.ahead.put({block: contents[block] for block in part}, self.page_size)
            for block in part:
                del self._kept[block]
        if moved:
            self.ahead.finish()


def _blocks(bytes_iter: Iterable[bytes], size: int) -> Iterator[bytes | memoryview]:
    """The same bytes in pieces of ``size``, the last one shorter.

    A piece of bytes that nobody can change is handed on as it is and not copied.
    """
    piece = bytearray()
    for chunk in bytes_iter:
        rest, fixed = memoryview(chunk), isinstance(chunk, bytes) and len(chunk) <= _VIEWED_MAX
        if piece:
            taken = size - len(piece)
            piece += rest[:taken]
            rest = rest[taken:]
            if len(piece) < size:
                continue
            yield bytes(piece)
            piece.clear()
        while len(rest) >= size:
            yield rest[:size] if fixed else bytes(rest[:size])
            rest = rest[size:]
        piece += rest
    if piece:
        yield bytes(piece)

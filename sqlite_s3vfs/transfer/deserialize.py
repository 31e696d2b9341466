"""A plain SQLite file into the store, as one commit.

Blocks from 1 on are uploaded as the bytes come, many at once. Block 0 goes last, in a segment of its
own: its header may have to be raised above that of the content which is replaced (invariant I9),
and which content that is shows only when the manifest is put. A source that fails, or bytes that are
no database, leave the old content; what was uploaded is removed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial

from sqlite_s3vfs.database import Database, Version
from sqlite_s3vfs.errors import ConflictError, InvalidArgumentError
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
from sqlite_s3vfs.planning.interior import gather_interior
from sqlite_s3vfs.planning.segments import Segment, SegmentBuilder, build_segments, locators_of
from sqlite_s3vfs.planning.successor import Prepared
from sqlite_s3vfs.progress import OnProgress, Progress, no_progress
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.uploads import Uploads, check_born

PART_SIZE = 4 << 20
"""Bytes of the file that one task encodes and uploads."""
PARTS_AHEAD = 8
"""Parts under way at once: with their encoded copies about 64 MiB."""
_ATTEMPTS_MAX = 20


def deserialize_iter(
    database: Database, bytes_iter: Iterable[bytes], *, on_progress: OnProgress = no_progress
) -> None:
    """Replace the database by the plain SQLite file whose bytes ``bytes_iter`` gives, in one commit.

    Chunks may have any sizes. Readers see the old content or the new one whole. On a new name the
    bytes are kept exactly; on an existing one the change counter and schema cookie are raised above
    those replaced, so that open connections notice. A header in WAL mode is turned to rollback
    mode, because WAL cannot be used here. About one PUT for 4 MiB, several at once, then history
    and block 0, then the manifest.

    Raises:
        InvalidArgumentError: the bytes are not a whole SQLite database.
        ConflictError: others keep committing, or made the database meanwhile.
        StoreUnavailableError, AccessDeniedError, UnsafeStoreError: the store did not serve.
        CommitUnknownError: it may have been replaced; after all others it was not.
    """
    base = database.version()
    database.committer.check_writable(base.origin.manifest)
    uploads = Uploads(database.engine)
    incoming = _Import(database, base.origin.manifest, uploads, on_progress)
    try:
        incoming.consume(bytes_iter)
        incoming.check()
        _publish(database, base, incoming)
    except BaseException:
        uploads.abandon()
        raise
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
        check_born(newest.origin.manifest, incoming.uploads.born_ms)
        try:
            database.publish_content(newest, incoming.prepared, incoming.uploads)
        except ConflictError:
            if attempt + 1 == _ATTEMPTS_MAX:
                raise
            newest = database.version()
        else:
            return


@dataclass(frozen=True, slots=True)
class _Part:
    """Blocks that were uploaded: their segments (without data), and the interior pages in them."""

    segments: tuple[Segment, ...]
    interior: tuple[InteriorPage, ...]
    size: int


class _Import:
    """The content that comes in."""

    def __init__(
        self, database: Database, base: Manifest, uploads: Uploads, on_progress: OnProgress
    ) -> None:
        self.size = 0
        self.uploads = uploads
        self._database = database
        self._base = base
        self._on_progress = on_progress
        self._started: deque[Future[_Part]] = deque()
        self._parts: list[_Part] = []
        self._first_block = b""
        self._header: SQLiteHeader | None = None
        self._done = 0

    @property
    def page_size(self) -> int:
        """Bytes of a page; 0 for an empty file."""
        return self._header.page_size if self._header else 0

    def consume(self, bytes_iter: Iterable[bytes]) -> None:
        """Take the whole file; all but block 0 is uploaded when this returns."""
        block_size = self._base.block_size
        part_blocks = max(1, PART_SIZE // block_size)
        try:
            parts = _resliced(bytes_iter, block_size, part_blocks * block_size)
            self._take_first(next(parts, b""))
            for index, content in enumerate(parts):
                self._start(1 + index * part_blocks, content)
            while self._started:
                self._finish_one()
        finally:
            wait(self._started)

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
        first = self._settled_first_block(snapshot)
        parts = list(self._parts)
        if first:
            parts.append(self._upload(0, first, uploads))
        return replace(
            skeleton,
            page_size=self.page_size,
            size=self.size,
            pages_written=unit_count(self.size, self.page_size) if self.page_size else 0,
            written=locators_of(
                (segment for part in parts for segment in part.segments), base.version + 1
            ),
            interior=tuple(page for part in parts for page in part.interior),
        )

    def _settled_first_block(self, snapshot: Snapshot) -> bytes:
        first = self._first_block
        if self._header and self._header.uses_wal:
            first = without_wal(first)
        replaced = parse_header(snapshot.read(0, HEADER_SIZE)) if snapshot.size else None
        return raised_above(first, replaced) if first and replaced else first

    def _take_first(self, content: bytes) -> None:
        self.size = len(content)
        self._first_block = content
        self._header = parse_header(content[:HEADER_SIZE])
        if content and self._header is None:
            self.check()

    def _start(self, first: int, content: bytes) -> None:
        self.size += len(content)
        while len(self._started) >= PARTS_AHEAD:
            self._finish_one()
        task = partial(self._upload, first, content, self.uploads)
        self._started.append(self._database.engine.pool.submit(task))

    def _finish_one(self) -> None:
        part = self._started.popleft().result()
        self._parts.append(part)
        self._done += part.size
        self._on_progress(Progress("deserialize", self._done, None))

    def _upload(self, first: int, content: bytes, uploads: Uploads) -> _Part:
        engine = self._database.engine
        version = self._base.version + 1
        block_size = self._base.block_size
        builder = SegmentBuilder(
            self._base.database_id,
            engine.settings.segment_size,
            lambda: ObjectName(version, engine.ids.new_id()),
        )
        view = memoryview(content)
        blocks = (
            (first + index, view[index * block_size : (index + 1) * block_size])
            for index in range(unit_count(len(content), block_size))
        )
        segments = []
        for segment in build_segments(builder, blocks):
            uploads.create(self._database.keys.segment(segment.name), segment.data)
            segments.append(segment._replace(data=b""))
        pages = dict(_whole_pages(first * block_size, content, self.page_size))
        return _Part(tuple(segments), gather_interior(pages), len(content))


def _resliced(bytes_iter: Iterable[bytes], first: int, size: int) -> Iterator[bytes]:
    """The same bytes: ``first`` of them, then pieces of ``size``, the last one shorter."""
    pending = bytearray()
    wanted = first
    for chunk in bytes_iter:
        pending += chunk
        while len(pending) >= wanted:
            yield bytes(pending[:wanted])
            del pending[:wanted]
            wanted = size
    if pending:
        yield bytes(pending)


def _whole_pages(offset: int, content: bytes, page_size: int) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of the pages that lie in ``content`` altogether."""
    start = -offset % page_size
    for position in range(start, len(content) - page_size + 1, page_size):
        yield (offset + position) // page_size + 1, content[position : position + page_size]

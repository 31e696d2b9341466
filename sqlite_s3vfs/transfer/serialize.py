"""A version as the plain SQLite file: many requests under way, bytes in order, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.progress import OnProgress, Progress, no_progress
from sqlite_s3vfs.reader import Snapshot

PART_SIZE = 4 << 20
"""Bytes of the database that one ranged GET, or a few of them, bring."""
PARTS_AHEAD = 12
"""Parts under way or waiting to be consumed."""

_Contents = Mapping[int, Content]


def serialize_iter(
    database: Database, *, on_progress: OnProgress = no_progress
) -> Iterator[bytes]:
    """The newest version as the plain SQLite file, in non-empty chunks of up to about 4 MiB.

    One version throughout, whatever is committed meanwhile; a database that does not exist gives no
    chunk. One conditional GET, then about one ranged GET for 4 MiB, several at once; what is read
    does not push anything out of the cache.

    Raises:
        CorruptError, StoreUnavailableError, …: while iterating, where reading fails.
    """
    yield from serialize_snapshot(database.snapshot(), on_progress=on_progress)


def serialize_snapshot(
    snapshot: Snapshot, *, start: int = 0, on_progress: OnProgress = no_progress
) -> Iterator[bytes]:
    """A version's bytes from ``start`` on, a multiple of its block size; as ``serialize_iter``."""
    assert start % snapshot.block_size == 0, "a transfer begins at a block"
    done = start
    for blocks, contents in _parts(snapshot, start // snapshot.block_size):
        offset = blocks.start * snapshot.block_size
        size = min(len(blocks) * snapshot.block_size, snapshot.size - offset)
        chunk = snapshot.assemble(offset, size, contents)
        done += size
        on_progress(Progress("serialize", done, snapshot.size))
        yield chunk


class SerializedFile:
    """A readable file-like object over chunks, as boto3's ``upload_fileobj`` takes it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int | None = -1) -> bytes:
        """Up to ``size`` bytes (all that are left where it is negative or None); empty at the end."""
        wanted = None if size is None or size < 0 else size
        parts = []
        while wanted is None or wanted > 0:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            part = self._rest[:wanted]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            if wanted is not None:
                wanted -= len(part)
        return b"".join(parts)

    def readable(self) -> bool:
        """True."""
        return True


def serialize_fileobj(
    database: Database, *, on_progress: OnProgress = no_progress
) -> SerializedFile:
    """``serialize_iter`` as a file-like object with ``read``."""
    return SerializedFile(serialize_iter(database, on_progress=on_progress))


def _parts(snapshot: Snapshot, first: int) -> Iterator[tuple[range, _Contents]]:
    """Blocks and their contents, part by part in order, with ``PARTS_AHEAD`` parts under way."""
    started: deque[tuple[range, list[Future[dict[int, Content]]]]] = deque()
    try:
        for blocks in _part_ranges(snapshot, first):
            started.append((blocks, snapshot.start_fetch(blocks)))
            if len(started) >= PARTS_AHEAD:
                yield _finished(*started.popleft())
        while started:
            yield _finished(*started.popleft())
    finally:
        # Not waited for: garbage collection may end this generator in the very thread that reads.
        for _, futures in started:
            for future in futures:
                future.cancel()


def _part_ranges(snapshot: Snapshot, first: int) -> Iterator[range]:
    """The blocks from ``first`` on. Block 0 goes alone: an import writes it last and apart.

    The others go in parts that begin where an import's do.
    """
    count = snapshot.block_count
    step = max(1, PART_SIZE // snapshot.block_size)
    if first == 0 and count:
        yield range(1)
    start = max(1, first)
    while start < count:
        stop = min(start + step - (start - 1) % step, count)
        yield range(start, stop)
        start = stop


def _finished(blocks: range, futures: list[Future[dict[int, Content]]]) -> tuple[range, _Contents]:
    contents: dict[int, Content] = {}
    for future in futures:
        contents.update(future.result())
    return blocks, contents

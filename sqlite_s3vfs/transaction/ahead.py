"""Segments that are uploaded while their blocks still come in: encoded and sent by the pool's threads.

Each is one task, so that compressing and hashing run side by side too. A segment stays in memory until
it is known to be in the store: an outage can be waited out. How many bytes are under way is bounded,
and with it the memory, whatever the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, wait
from functools import partial

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.format.blockmap import PIECE_SPAN, Locator, SegmentSource
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import InteriorPage
from sqlite_s3vfs.format.segment import Placed, room_for
from sqlite_s3vfs.planning.interior import interior_of_blocks
from sqlite_s3vfs.planning.segments import Segment, encode_blocks
from sqlite_s3vfs.uploads import Uploads

UNDER_WAY_MAX = 16 << 20
"""Bytes of blocks that are being encoded and uploaded at once."""


class Part:
    """The blocks of one segment, on their way into the store or there."""

    def __init__(
        self, source: SegmentSource, contents: Mapping[int, bytes | memoryview], page_size: int
    ) -> None:
        self.source = source
        self.page_size = page_size
        self.sizes = {block: len(content) for block, content in contents.items()}
        self.size = sum(self.sizes.values())
        self.interior: tuple[InteriorPage, ...] = ()
        self.named = False
        """Whether a manifest that refers to the segment was ever about to be put."""
        self.contents: Mapping[int, bytes | memoryview] | None = contents
        """None once they are encoded."""
        self._room: bytearray | None = room_for(contents)       # by one thread, for all of them
        self.segment: Segment | None = None
        """None before that, and once it is in the store."""
        self._placed: dict[int, Placed] = {}
        self._task: Future[None] | None = None

    def start(self, task: Future[None]) -> None:
        """``task`` uploads it, for the first time or once more."""
        self._task = task

    def has_failed(self) -> bool:
        """Whether the last try ends with an error; waits for that end."""
        assert self._task is not None, "it was started"
        return self._task.exception() is not None

    def wait(self) -> None:
        """Return when it is in the store.

        Raises:
            StoreUnavailableError, AccessDeniedError: the upload failed; the segment is still here.
        """
        assert self._task is not None, "it was started"
        self._task.result()

    def cancel(self) -> None:
        """Do not upload it if that has not begun; otherwise wait for the end."""
        if self._task is not None and not self._task.cancel():
            wait([self._task])

    def encode(self, database_id: bytes, block_size: int) -> Segment:
        """Turn the contents into the segment, unless an earlier try has done so."""
        contents, segment = self.contents, self.segment
        if segment is None:
            assert contents is not None, "encoded or not"
            self.interior = interior_of_blocks(contents, block_size, self.page_size)
            room, self._room = self._room, None
            segment = encode_blocks(database_id, self.source.name, contents, room)
            self._placed = {row.block: row for row in segment.placed}
            self.segment, self.contents = segment, None
        return segment

    def stored(self) -> None:
        """It is in the store: forget the bytes."""
        self.segment = None

    def locator(self, block: int) -> Locator:
        """Where a block lies, once the segment is stored."""
        placed = self._placed[block]
        return Locator(self.source, placed.offset, placed.length, placed.size)


class SegmentsAhead:
    """Uploads whole blocks as segments that ``version`` will be the first to refer to."""

    def __init__(self, engine: Engine, keys: DatabaseKeys, *, database_id: bytes, version: int,
                 block_size: int, under_way_max: int | None = None) -> None:
        self.uploads = Uploads(engine)
        self.parts: list[Part] = []
        self.part_blocks = max(1, engine.settings.segment_size // block_size)
        """How many blocks make a segment."""
        self._under_way_max = under_way_max or UNDER_WAY_MAX
        self._engine = engine
        self._keys = keys
        self._database_id = database_id
        self._version = version
        self._block_size = block_size
        self._under_way: deque[Part] = deque()

    @property
    def bytes_under_way(self) -> int:
        """Bytes of blocks that are not known to be in the store yet."""
        return sum(part.size for part in self._under_way)

    def put(self, contents: Mapping[int, bytes | memoryview], page_size: int) -> Part:
        """Start to upload these blocks, which ascend; waits while too much is under way. 1 PUT.

        Interior pages are gathered by the way.

        Raises:
            StoreUnavailableError, AccessDeniedError: an earlier one failed; this one was not begun.
        """
        while self.bytes_under_way >= self._under_way_max:
            self._under_way[0].wait()
            self._under_way.popleft()
        name = ObjectName(self._version, self._engine.ids.new_id())
        home = min(contents) // PIECE_SPAN
        part = Part(SegmentSource(name, self._version, len(contents), home), contents, page_size)
        self.parts.append(part)
        self._under_way.append(part)
        self._start(part)
        return part

    def finish(self) -> None:
        """Wait until all are in the store; what has failed is tried once more.

        Raises:
            StoreUnavailableError, AccessDeniedError: it failed again. May be called once more.
        """
        failed = [part for part in self.parts if part.has_failed()]
        for part in failed:
            self._start(part)
        for part in failed:
            part.wait()
        self._under_way.clear()

    def abandon(self) -> None:
        """Remove what was uploaded, unless a manifest may refer to it; see ``Uploads.abandon``."""
        for part in self.parts:
            part.cancel()
        self.uploads.abandon()

    def _start(self, part: Part) -> None:
        part.start(self._engine.pool.submit(partial(self._store, part)))

    def _store(self, part: Part) -> None:
        """Encode and upload, from a thread of the pool."""
        segment = part.encode(self._database_id, self._block_size)
        self.uploads.create(self._keys.segment(segment.name), segment.data)
        part.stored()


"""Blocks by locator: from the cache, or with as few and as parallel requests as the store allows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CorruptError, unreadable
from sqlite_s3vfs.format.blockmap import AncestorSource, Locator, SegmentSource, Source
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Owner
from sqlite_s3vfs.format.segment import decode_frame
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.store.port import Fetched, PreconditionFailedError

RANGE_MAX = (4 << 20) + (256 << 10)
"""Bytes that one ranged GET asks for at most: a segment of 4 MiB of blocks, with what frames add."""
GAP_MAX = 64 << 10
"""Bytes between two wanted blocks that are rather read along than asked for apart."""

Missing = Callable[[str], Exception]


@dataclass(frozen=True, slots=True)
class _Range:
    """Blocks of one segment that are fetched by one request."""

    source: SegmentSource
    start: int
    stop: int
    blocks: tuple[tuple[int, Locator], ...]


class BlockReader:
    """The stored blocks that a version refers to."""

    def __init__(self, engine: Engine, keys: DatabaseKeys, owners: Sequence[Owner]) -> None:
        """``owners`` are the databases whose objects a fork refers to, as its manifest names them."""
        self._engine = engine
        self._keys = (keys, *(DatabaseKeys(owner.prefix) for owner in owners))

    def cached(self, block: int, locator: Locator) -> bytes | None:
        """The content of a block, where it is in memory."""
        return self._engine.blocks.get(self._cache_key(block, locator))

    def keep(self, block: int, locator: Locator, content: bytes) -> None:
        """Have the content of a block in memory; ``locator.valid`` bytes."""
        self._engine.blocks.put(self._cache_key(block, locator), content, len(content))

    def _cache_key(self, block: int, locator: Locator) -> Hashable:
        """By place, which never changes its content: not by the version that refers to it."""
        source = locator.source
        if isinstance(source, SegmentSource):
            return (source.name, block, locator.valid)
        return (self._keys_of(source).prefix, block, source.etag, locator.valid)

    def _keys_of(self, source: Source) -> DatabaseKeys:
        if source.owner >= len(self._keys):
            raise CorruptError(f"the map refers to an unknown owner. owner={source.owner}")
        return self._keys[source.owner]

    def fetch(self, wanted: Mapping[int, Locator], missing: Missing) -> dict[int, bytes]:
        """The contents of blocks (each ``locator.valid`` bytes), by the fewest ranged GETs, in parallel.

        Raises:
            CorruptError: a frame is not what was written.
        """
        found: dict[int, bytes] = {}
        lacking = {}
        for block, locator in wanted.items():
            content = self.cached(block, locator)
            self._engine.metrics.count_cache(hit=content is not None)
            if content is None:
                lacking[block] = locator
            else:
                found[block] = content
        tasks = self._tasks(lacking, missing, keep=True)
        read = [tasks[0]()] if len(tasks) == 1 else run_all(self._engine.pool, tasks)
        for contents in read:
            found.update(contents)
        return found

    def start(
        self, wanted: Mapping[int, Locator], missing: Missing
    ) -> list[Future[dict[int, bytes]]]:
        """Start reading blocks by the fewest ranged GETs, past the cache."""
        submit = self._engine.pool.submit
        return [submit(task) for task in self._tasks(wanted, missing, keep=False)]

    def _tasks(
        self, wanted: Mapping[int, Locator], missing: Missing, *, keep: bool
    ) -> list[Callable[[], dict[int, bytes]]]:
        """One request each."""
        tasks: list[Callable[[], dict[int, bytes]]] = [
            partial(self._read_range, part, missing, keep=keep) for part in _ranges(wanted)
        ]
        return tasks + [
            partial(self._read_ancestor, block, locator, missing, keep=keep)
            for block, locator in wanted.items()
            if isinstance(locator.source, AncestorSource)
        ]

    def _read_range(self, part: _Range, missing: Missing, *, keep: bool) -> dict[int, bytes]:
        key = self._keys_of(part.source).segment(part.source.name)
        fetched = self._engine.store.get(key, byte_range=(part.start, part.stop))
        if not isinstance(fetched, Fetched):
            raise missing(key)
        body = memoryview(fetched.body)
        contents = {}
        for block, locator in part.blocks:
            start = locator.offset - part.start
            frame = body[start : start + locator.length]
            try:
                content = decode_frame(frame, part.source.name.random, block)
            except CorruptError as error:
                raise unreadable("a segment", key, error) from error
            contents[block] = self._checked(block, locator, content, keep=keep)
        return contents

    def _read_ancestor(
        self, block: int, locator: Locator, missing: Missing, *, keep: bool
    ) -> dict[int, bytes]:
        assert isinstance(locator.source, AncestorSource), "an old block"
        key = self._keys_of(locator.source).ancestor_block(block)
        try:
            fetched = self._engine.store.get(key, if_match=locator.source.etag)
        except PreconditionFailedError as error:
            raise CorruptError(
                "a block of the old layout was overwritten by a process that still runs "
                f"sqlite-s3vfs 0.0.x: stop it, then open the database again. key={key!r}"
            ) from error
        if not isinstance(fetched, Fetched):
            raise missing(key)
        return {block: self._checked(block, locator, fetched.body, keep=keep)}

    def _checked(self, block: int, locator: Locator, content: bytes, *, keep: bool) -> bytes:
        if len(content) < locator.valid:
            raise CorruptError(
                f"a block is shorter than its map says. block={block} "
                f"size={len(content)} expected={locator.valid}"
            )
        valid = content[: locator.valid]
        if keep:
            self.keep(block, locator, valid)
        return valid


def _ranges(wanted: Mapping[int, Locator]) -> Iterator[_Range]:
    """Blocks of segments, joined to ranges of neighbours."""
    in_segments = (
        (locator.source, locator.offset, block, locator)
        for block, locator in wanted.items()
        if isinstance(locator.source, SegmentSource)
    )
    source: SegmentSource | None = None
    start = stop = 0
    blocks: list[tuple[int, Locator]] = []
    for own, offset, block, locator in sorted(in_segments):
        end = offset + locator.length
        if own != source or offset - stop > GAP_MAX or end - start > RANGE_MAX:
            if source is not None:
                yield _Range(source, start, stop, tuple(blocks))
            source, start, blocks = own, offset, []
        stop = end
        blocks.append((block, locator))
    if source is not None:
        yield _Range(source, start, stop, tuple(blocks))

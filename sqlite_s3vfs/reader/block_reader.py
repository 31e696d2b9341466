"""Blocks by locator: from the cache, or with as few and as parallel requests as the store allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from sqlite_s3vfs.cache import CachedBlock, Content, DiskCache, Slab
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CorruptError, unreadable
from sqlite_s3vfs.fetching import Flight, Key
from sqlite_s3vfs.format.blockmap import AncestorSource, Locator, SegmentSource, Source
from sqlite_s3vfs.format.envelope import Unpacker
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Owner
from sqlite_s3vfs.format.many_frames import FramePlace, opened_frames
from sqlite_s3vfs.format.segment import opened_frame
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.store.port import Fetched, PreconditionFailedError

RANGE_MAX = (4 << 20) + (256 << 10)
"""Bytes that one ranged GET asks for at most: a segment of 4 MiB of blocks, with what frames add."""
GAP_MAX = 256 << 10
"""Bytes between two wanted blocks that are rather read along than asked for apart."""

AT_ONCE_MIN = 8
"""Blocks that come by one request, are opened all at once, and share a piece of memory."""

Missing = Callable[[str], Exception]


@dataclass(frozen=True, slots=True)
class Range:
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

    def cached(self, block: int, locator: Locator) -> CachedBlock | None:
        """A block, where it is in memory."""
        return self._engine.blocks.get(self.key_of(block, locator))

    def peek(self, block: int, locator: Locator) -> CachedBlock | None:
        """The same, where it is looked at once more for one and the same read."""
        return self._engine.blocks.peek(self.key_of(block, locator))

    def keep(self, block: int, locator: Locator, content: bytes) -> None:
        """Have the content of a block in memory; ``locator.valid`` bytes."""
        self._engine.blocks.put(self.key_of(block, locator), content)

    def retire(self, locators: Mapping[int, Locator]) -> None:
        """The newest version has these blocks elsewhere: of all in memory they go first."""
        self._engine.blocks.retire(self.key_of(block, found) for block, found in locators.items())

    def key_of(self, block: int, locator: Locator) -> Key:
        """By place, which never changes its content: not by the version that refers to it."""
        source = locator.source
        if isinstance(source, SegmentSource):
            return (block, source.name, locator.valid)
        return (block, source.etag, locator.valid, self._keys_of(source).prefix)

    def _keys_of(self, source: Source) -> DatabaseKeys:
        if source.owner >= len(self._keys):
            raise CorruptError(f"the map refers to an unknown owner. owner={source.owner}")
        return self._keys[source.owner]

    def fetch(self, wanted: Mapping[int, Locator], missing: Missing) -> dict[int, Content]:
        """The contents of blocks (each ``locator.valid`` bytes), by the fewest ranged GETs, in parallel.

        Blocks that another thread is fetching are waited for.

        Raises:
            CorruptError: a frame is not what was written.
        """
        found: dict[int, Content] = {}
        lacking = {}
        for block, locator in wanted.items():
            cached = self.cached(block, locator)
            self._engine.metrics.count_cache(hit=cached is not None)
            if cached is None:
                lacking[block] = locator
            else:
                found[block] = cached.content
        while lacking:
            found.update(self._fetch_or_wait(lacking, missing))
            lacking = {block: lacking[block] for block in lacking if block not in found}
        return found

    def _fetch_or_wait(
        self, wanted: Mapping[int, Locator], missing: Missing
    ) -> dict[int, Content]:
        """Blocks that nobody is fetching, then those that others bring, as far as they did."""
        flights, flight = self._engine.flights, Flight()
        keys = {self.key_of(block, locator): block for block, locator in wanted.items()}
        found: dict[int, Content] = {}
        try:
            others = flights.claim(flight, keys)
            own = {}
            for key in flight.keys:
                came = self._engine.blocks.peek(key)        # since it was looked for
                if came is None:
                    own[keys[key]] = wanted[keys[key]]
                else:
                    found[keys[key]] = came.content
            tasks = self.tasks(own, missing, keep=True)
            read = [tasks[0]()] if len(tasks) == 1 else run_all(self._engine.pool, tasks)
            for contents in read:
                found.update(contents)
            flight.contents = {key: found[keys[key]] for key in flight.keys}
        finally:
            flight.end()
            flights.forget(flight)
        for key, other in others.items():
            brought = other.wait().get(key)
            if brought is not None:
                found[keys[key]] = brought
        return found

    def start(
        self, wanted: Mapping[int, Locator], missing: Missing
    ) -> list[Future[dict[int, Content]]]:
        """Start reading blocks by the fewest ranged GETs, past the cache.

        What is stored as it is comes as a part of the answer, which stays in memory as long.
        """
        submit = self._engine.pool.submit
        return [submit(task) for task in self.tasks(wanted, missing, keep=False)]

    def tasks(
        self, wanted: Mapping[int, Locator], missing: Missing, *, keep: bool, fresh: bool = False
    ) -> list[Callable[[], dict[int, Content]]]:
        """One request each. What is to be kept may be ``fresh``: not asked for yet."""
        tasks: list[Callable[[], dict[int, Content]]] = [
            partial(self._read_range, part, missing, keep=keep, fresh=fresh)
            for part in ranges_of(wanted)
        ]
        return tasks + [
            partial(self._read_ancestor, block, locator, missing, keep=keep, fresh=fresh)
            for block, locator in wanted.items()
            if isinstance(locator.source, AncestorSource)
        ]

    def _read_range(
        self, part: Range, missing: Missing, *, keep: bool, fresh: bool
    ) -> dict[int, Content]:
        """What is not on the local disk is asked for."""
        if self._engine.disk is None:
            contents = self._request(part, missing, keep=keep)
        else:
            contents = self._from_disk(self._engine.disk, part)
            if keep:
                contents = _copied(contents, list(contents))
            lacking = {block: locator for block, locator in part.blocks if block not in contents}
            for rest in ranges_of(lacking):
                contents.update(self._request(rest, missing, keep=keep))
        if keep:
            keys = ((self.key_of(block, locator), contents[block]) for block, locator in part.blocks)
            self._engine.blocks.put_all(keys, fresh=fresh)
        return contents

    def _request(self, part: Range, missing: Missing, *, keep: bool) -> dict[int, Content]:
        key = self._keys_of(part.source).segment(part.source.name)
        fetched = self._engine.store.get(key, byte_range=(part.start, part.stop))
        if not isinstance(fetched, Fetched):
            raise missing(key)
        contents = self._opened(part, key, fetched.body)
        if keep:                            # what is kept does not keep the answer
            contents = _copied(contents, _parts_of(fetched.body, contents))
        disk, body = self._engine.disk, memoryview(fetched.body)
        if disk is not None:
            for block, locator in part.blocks:
                start = locator.offset - part.start
                frame = body[start : start + locator.length]
                disk.put(_disk_key(self._engine, key, block, locator), frame)
        return contents

    def _opened(self, part: Range, key: str, body: bytes) -> dict[int, Content]:
        """The blocks of an answer; what is stored as it is stays a part of that."""
        random = part.source.name.random
        places = [
            FramePlace(block, locator.offset - part.start, locator.length)
            for block, locator in part.blocks
        ]
        opened: Sequence[Content] | None = None
        if len(places) >= AT_ONCE_MIN:
            opened = self._engine.decoders.submit(partial(opened_frames, body, random, places)).result()
        if opened is None:
            try:
                opened = _opened_one_by_one(memoryview(body), random, places)
            except CorruptError as error:
                raise unreadable("a segment", key, error) from error
        return {
            block: _checked(block, locator, content)
            for (block, locator), content in zip(part.blocks, opened, strict=True)
        }

    def _from_disk(self, disk: DiskCache, part: Range) -> dict[int, Content]:
        key = self._keys_of(part.source).segment(part.source.name)
        contents: dict[int, Content] = {}
        for block, locator in part.blocks:
            frame = disk.get(_disk_key(self._engine, key, block, locator))
            if frame is not None:
                content = opened_frame(frame, part.source.name.random, block)
                contents[block] = _checked(block, locator, content)
        return contents

    def _read_ancestor(
        self, block: int, locator: Locator, missing: Missing, *, keep: bool, fresh: bool
    ) -> dict[int, Content]:
        assert isinstance(locator.source, AncestorSource), "an old block"
        key, etag = self._keys_of(locator.source).ancestor_block(block), locator.source.etag
        disk, place = self._engine.disk, f"{self._engine.store.identity}/{key} {etag}"
        kept = disk.get(place) if disk is not None else None
        body = _ancestor_body(self._engine, key, etag, missing) if kept is None else kept
        content = _checked(block, locator, body)
        if disk is not None and kept is None:
            disk.put(place, body)
        if keep:
            self._engine.blocks.put(self.key_of(block, locator), content, fresh=fresh)
        return {block: content}


def _ancestor_body(engine: Engine, key: str, etag: str, missing: Missing) -> bytes:
    try:
        fetched = engine.store.get(key, if_match=etag)
    except PreconditionFailedError as error:
        raise CorruptError(
            "a block of the old layout was overwritten by a process that still runs "
            f"sqlite-s3vfs 0.0.x: stop it, then open the database again. key={key!r}"
        ) from error
    if not isinstance(fetched, Fetched):
        raise missing(key)
    return fetched.body


def _opened_one_by_one(
    body: memoryview, random: bytes, places: Sequence[FramePlace]
) -> list[Content]:
    unpacker = Unpacker()
    return [
        opened_frame(body[start : start + length], random, block, unpacker)
        for block, start, length in places
    ]


def _parts_of(body: bytes, contents: Mapping[int, Content]) -> list[int]:
    """The blocks among ``contents`` that are parts of ``body``."""
    return [
        block
        for block, content in contents.items()
        if isinstance(content, memoryview) and content.obj is body
    ]


def _copied(contents: Mapping[int, Content], blocks: Sequence[int]) -> dict[int, Content]:
    """The same, some blocks of it copied: side by side, where these are many."""
    copy: Callable[[Content], Content] = bytes
    if len(blocks) >= AT_ONCE_MIN:
        copy = Slab(sum(len(contents[block]) for block in blocks)).add
    return {**contents, **{block: copy(contents[block]) for block in blocks}}


def _disk_key(engine: Engine, key: str, block: int, locator: Locator) -> str:
    """What names a frame on the local disk: store, object and place."""
    return f"{engine.store.identity}/{key} {block} {locator.offset} {locator.length}"


def _checked(block: int, locator: Locator, content: Content) -> Content:
    """The bytes of the content that count."""
    if len(content) < locator.valid:
        raise CorruptError(
            f"a block is shorter than its map says. block={block} "
            f"size={len(content)} expected={locator.valid}"
        )
    return content if len(content) == locator.valid else content[: locator.valid]


def ranges_of(wanted: Mapping[int, Locator]) -> Iterator[Range]:
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
                yield Range(source, start, stop, tuple(blocks))
            source, start, blocks = own, offset, []
        stop = end
        blocks.append((block, locator))
    if source is not None:
        yield Range(source, start, stop, tuple(blocks))

"""Blocks by locator: from the cache, or with as few and as parallel requests as the store allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from sqlite_s3vfs.cache import CachedBlock, Content, DiskCache
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.fetching import Key
from sqlite_s3vfs.format.blockmap import AncestorSource, Locator, SegmentSource, Source
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Owner
from sqlite_s3vfs.format.segment import opened_frame
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.reader.answers import Range, checked, copied, opened, parts_of
from sqlite_s3vfs.store.port import Fetched, PreconditionFailedError

RANGE_MAX = (4 << 20) + (256 << 10)
"""Bytes that one ranged GET asks for at most: a segment of 4 MiB of blocks, with what frames add."""
GAP_MAX = 256 << 10
"""Bytes between two wanted blocks that are rather read along than asked for apart."""

Missing = Callable[[str], Exception]


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
        keys = {self.key_of(block, locator): block for block, locator in wanted.items()}

        def fetch(claimed: Sequence[Key]) -> dict[Key, Content]:
            came = {key: self._engine.blocks.peek(key) for key in claimed}     # since it was looked for
            found = {key: cached.content for key, cached in came.items() if cached is not None}
            own = {keys[key]: key for key in claimed if key not in found}
            tasks = self.tasks({block: wanted[block] for block in own}, missing, keep=True)
            for contents in [tasks[0]()] if len(tasks) == 1 else run_all(self._engine.pool, tasks):
                found.update((own[block], content) for block, content in contents.items())
            return found

        brought, others = self._engine.flights.bring(keys, fetch)
        found = {keys[key]: content for key, content in brought.items()}
        for key, other in others.items():
            content = other.wait().get(key)
            if content is not None:
                found[keys[key]] = content
        return found

    def start(
        self, wanted: Mapping[int, Locator], missing: Missing
    ) -> list[Future[dict[int, Content]]]:
        """Start reading blocks by the fewest ranged GETs, past the cache.

        What is stored as it is comes as a part of the answer, and what is compressed as a part of what
        was unpacked with it: either stays in memory as long.
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
                contents = copied(contents, list(contents))
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
        contents = opened(part, key, fetched.body, self._engine.decoders)
        if keep:                            # what is kept does not keep the answer
            contents = copied(contents, parts_of(fetched.body, contents))
        disk, body = self._engine.disk, memoryview(fetched.body)
        if disk is not None:
            for block, locator in part.blocks:
                start = locator.offset - part.start
                frame = body[start : start + locator.length]
                disk.put(_disk_key(self._engine, key, block, locator), frame)
        return contents

    def _from_disk(self, disk: DiskCache, part: Range) -> dict[int, Content]:
        key = self._keys_of(part.source).segment(part.source.name)
        contents: dict[int, Content] = {}
        for block, locator in part.blocks:
            frame = disk.get(_disk_key(self._engine, key, block, locator))
            if frame is not None:
                content = opened_frame(frame, part.source.name.random, block)
                contents[block] = checked(block, locator, content)
        return contents

    def _read_ancestor(
        self, block: int, locator: Locator, missing: Missing, *, keep: bool, fresh: bool
    ) -> dict[int, Content]:
        assert isinstance(locator.source, AncestorSource), "an old block"
        key, etag = self._keys_of(locator.source).ancestor_block(block), locator.source.etag
        disk, place = self._engine.disk, f"{self._engine.store.identity}/{key} {etag}"
        kept = disk.get(place) if disk is not None else None
        body = _ancestor_body(self._engine, key, etag, missing) if kept is None else kept
        content = checked(block, locator, body)
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


def _disk_key(engine: Engine, key: str, block: int, locator: Locator) -> str:
    """What names a frame on the local disk: store, object and place."""
    return f"{engine.store.identity}/{key} {block} {locator.offset} {locator.length}"


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

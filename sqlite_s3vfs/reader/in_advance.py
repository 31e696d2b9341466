"""Blocks fetched before they are asked for: which are under way, and what becomes of those that wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from sqlite_s3vfs.cache import CachedBlock, Content
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.fetching import Key, quietly
from sqlite_s3vfs.format.blockmap import AncestorSource, Locator
from sqlite_s3vfs.reader.block_reader import BlockReader, Missing, ranges_of


class InAdvance:
    """The blocks of one version; queue and threads are those of the engine."""

    def __init__(self, engine: Engine, blocks: BlockReader, missing: Missing) -> None:
        self._engine = engine
        self._blocks = blocks
        self._missing = missing

    def is_near(self, block: int, locator: Locator) -> bool:
        """Whether a block is in memory, or asked for."""
        key = self._blocks.key_of(block, locator)
        engine = self._engine
        return key in engine.blocks or key in engine.flights or key in engine.advance

    def start(self, wanted: Sequence[tuple[int, Locator]], owner: object) -> None:
        """Have blocks fetched in the background, in this order, by the fewest ranged GETs."""
        for part in _requests(dict(wanted)):
            keys = [self._blocks.key_of(block, locator) for block, locator in part.items()]
            size = sum(locator.valid for locator in part.values())
            fetch = partial(quietly, partial(self._fetch, part))
            self._engine.advance.start(owner, keys, size, fetch)

    def take(self, block: int, locator: Locator) -> Sequence[int]:
        """Take the request that a block is queued in: all its blocks, or none."""
        return [key[0] for key in self._engine.advance.take(self._blocks.key_of(block, locator))]

    def drop(self, owner: object, given_up: Iterable[tuple[int, Locator]]) -> None:
        """Forget what ``owner`` has queued, and that it waits for what came."""
        self._engine.advance.drop(owner)
        for block, locator in given_up:
            self._engine.blocks.give_up(self._blocks.key_of(block, locator))

    def note_use(self, cached: CachedBlock) -> None:
        """A block is asked for, maybe for the first time since it was fetched in advance."""
        if self._engine.blocks.use(cached):
            self._engine.metrics.count_advance(used=len(cached.content))
            self._engine.advance.go_on()

    def _fetch(self, wanted: Mapping[int, Locator]) -> None:
        """What is neither in memory nor under way; waits for nobody."""
        keys = {self._blocks.key_of(block, locator): block for block, locator in wanted.items()}

        def fetch(claimed: Sequence[Key]) -> dict[Key, Content]:
            mine = {keys[key]: key for key in claimed if key not in self._engine.blocks}
            own = {block: wanted[block] for block in mine}
            found: dict[Key, Content] = {}
            for task in self._blocks.tasks(own, self._missing, keep=True, fresh=True):
                found.update((mine[block], content) for block, content in task().items())
            self._engine.metrics.count_advance(fetched=sum(map(len, found.values())))
            return found

        self._engine.flights.bring(keys, fetch)


def _requests(wanted: Mapping[int, Locator]) -> Iterator[dict[int, Locator]]:
    """The blocks of one request each; what is wanted first comes first."""
    place = {block: index for index, block in enumerate(wanted)}
    parts = [dict(part.blocks) for part in ranges_of(wanted)]
    parts += [
        {block: locator}
        for block, locator in wanted.items()
        if isinstance(locator.source, AncestorSource)
    ]
    yield from sorted(parts, key=lambda blocks: min(place[block] for block in blocks))

"""A transaction larger than memory: blocks that go to the store before the commit, under final names.

* Nobody refers to them until the commit does; if it never comes they are garbage, which is removed
  where it is certain that no manifest was sent that names them.
* The newest place of a block counts. A block that is written again later is spilled, or committed, once
  more; the older copy is dead from the start, and a segment of which nothing else is left is removed.
* A spilled block is read back from memory while it is on its way, then from the cache or the store.
* A shrink forgets what lies behind it, and cuts the block in which the file ends (invariant I3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.blockmap import DeadBlocks, Locator
from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import InteriorPage, Manifest
from sqlite_s3vfs.free_memory import give_back
from sqlite_s3vfs.planning.successor import Prepared
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.reader.block_reader import BlockReader
from sqlite_s3vfs.transaction.ahead import Part, SegmentsAhead
from sqlite_s3vfs.uploads import Uploads, remove_unreferenced

_PARTS_BEFORE_GIVING_BACK = 4
"""So many segments are begun before free memory is given back, where no block had to be completed."""


@dataclass(frozen=True, slots=True)
class EarlyBlocks:
    """What a transaction uploaded before its commit.

    ``dead`` counts the blocks of its segments that ``locators`` does not refer to; ``pages`` how many
    pages left memory.
    """

    locators: Mapping[int, Locator]
    dead: Mapping[ObjectName, DeadBlocks]
    interior: tuple[InteriorPage, ...]
    pages: int
    uploads: Uploads

    def added_to(self, prepared: Prepared, base: Manifest, *, page_size: int) -> Prepared:
        """The commit with these blocks; copies of interior pages that lay in them are outdated."""
        stored = self.locators.keys()
        outdated = {
            copy.page
            for copy in base.interior
            if not stored.isdisjoint(overlapping(copy.page - 1, page_size, base.block_size))
        }
        return replace(
            prepared,
            written={**self.locators, **prepared.written},
            born_dead=self.dead,
            changed_pages=prepared.changed_pages | outdated,
            pages_written=prepared.pages_written + self.pages,
            interior=(*self.interior, *prepared.interior),
        )


class Spilling:
    """The spilled blocks of one transaction on ``base``."""

    def __init__(self, engine: Engine, keys: DatabaseKeys, base: Snapshot) -> None:
        manifest = base.manifest
        self.block_size = manifest.block_size
        self._engine = engine
        self._keys = keys
        self._ahead = SegmentsAhead(
            engine,
            keys,
            database_id=manifest.database_id,
            version=manifest.version + 1,
            block_size=manifest.block_size,
        )
        self._reader = BlockReader(engine, keys, manifest.owners)
        self._home: dict[int, Part] = {}
        self._valid: dict[int, int] = {}
        self._brought: dict[int, Content] = {}
        self._pages = 0

    def __contains__(self, block: object) -> bool:
        return block in self._home

    @property
    def blocks(self) -> frozenset[int]:
        """The blocks whose newest content, but for what the overlay holds, has been spilled."""
        return frozenset(self._home)

    @property
    def part_blocks(self) -> int:
        """How many blocks go into one segment."""
        return self._ahead.part_blocks

    def put(self, contents: Mapping[int, bytes], page_size: int) -> None:
        """Spill blocks (ascending). 1 PUT, in the background; waits while too much is under way.

        Raises:
            StoreUnavailableError, AccessDeniedError: an earlier one failed; these were not begun.
        """
        if self._brought or len(self._ahead.parts) % _PARTS_BEFORE_GIVING_BACK == 0:
            self._brought = {}
            give_back()
        part = self._ahead.put(contents, page_size)
        for block, content in contents.items():
            self._home[block] = part
            self._valid[block] = len(content)
            self._reader.keep(block, self._whole(part, block, len(content)), content)

    def count_pages(self, pages: int) -> None:
        """Note that so many pages have left memory."""
        self._pages += pages

    def read(self, block: int, start: int, stop: int) -> bytes:
        """Bytes of a spilled block; zeros behind its end. 0 requests while it is at hand."""
        valid = self._valid[block]
        content = self._at_hand(block)
        if content is None:
            content = self._reader.fetch(self._places([block]), _collected)[block]
        return bytes(memoryview(content)[start : min(stop, valid)]).ljust(stop - start, b"\x00")

    def bring(self, blocks: Iterable[int]) -> None:
        """Have these of the blocks, if spilled, at hand until the next ``put``, read in parallel.

        Past the cache: each is about to be spilled as a whole, and its old copy is then dead.
        """
        lacking = [block for block in blocks if block in self._home and self._at_hand(block) is None]
        for future in self._reader.start(self._places(lacking), _collected):
            self._brought.update(future.result())

    def cut(self, size: int) -> None:
        """The file ends at ``size`` now."""
        count = unit_count(size, self.block_size)
        for block in [block for block in self._home if block >= count]:
            del self._home[block], self._valid[block]
        last, inside = divmod(size, self.block_size)
        if inside and last in self._valid:
            self._valid[last] = min(self._valid[last], inside)

    def finish(self, page_size: int) -> EarlyBlocks:
        """Wait for the uploads; what they come to. The blocks of the file as they are now are named.

        Raises:
            StoreUnavailableError, AccessDeniedError: an upload failed; may be called once more.
        """
        self._ahead.finish()
        live: dict[ObjectName, int] = {}
        locators = {}
        for block, part in sorted(self._home.items()):
            locators[block] = part.locator(block)._replace(valid=self._valid[block])
            live[part.source.name] = live.get(part.source.name, 0) + 1
        dead = {}
        for part in self._ahead.parts:
            name, first, blocks, home = part.source[:4]
            part.named |= name in live
            if part.named and live.get(name, 0) < blocks:
                dead[name] = DeadBlocks(home, first, blocks, blocks - live.get(name, 0))
        return EarlyBlocks(locators, dead, self._interior(page_size), self._pages, self._ahead.uploads)

    def close(self) -> None:
        """Remove what no manifest can refer to. Never raises; the deletion runs in the background."""
        self._ahead.abandon()
        unused = [self._keys.segment(part.source.name) for part in self._ahead.parts if not part.named]
        if unused and self._ahead.uploads.may_be_named:
            self._engine.pool.submit(partial(remove_unreferenced, self._engine, unused))

    def _at_hand(self, block: int) -> Content | None:
        part = self._home[block]
        contents = part.contents                # goes at any moment
        if contents is not None:
            return contents[block]
        brought = self._brought.get(block)
        if brought is not None:
            return brought
        cached = self._reader.cached(block, self._whole(part, block, 0))
        return cached.content if cached else None

    def _places(self, blocks: Iterable[int]) -> dict[int, Locator]:
        """Where blocks lie, once they are there."""
        wanted = {}
        for block in blocks:
            self._home[block].wait()
            wanted[block] = self._home[block].locator(block)
        return wanted

    def _whole(self, part: Part, block: int, size: int) -> Locator:
        """A locator that stands for one in the cache, where only source and size matter."""
        return Locator(part.source, 0, 0, size or part.sizes[block])

    def _interior(self, page_size: int) -> tuple[InteriorPage, ...]:
        """Copies of the interior pages that are still the newest."""
        found = []
        for part in (part for part in self._ahead.parts if part.page_size == page_size):
            for copy in part.interior:
                end = copy.page * page_size
                (block, *others) = overlapping(copy.page - 1, page_size, self.block_size)
                newest = not others and self._home.get(block) is part
                if newest and end <= block * self.block_size + self._valid[block]:
                    found.append(copy)
        return tuple(found)


def _collected(key: str) -> Exception:
    return ConflictError(
        "this writer was stalled while the bucket was cleaned: run the transaction again. "
        f"missing={key!r}"
    )

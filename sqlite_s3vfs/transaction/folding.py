"""Folding: the tail's pages are moved into blocks in the background; a later commit adopts the result.

A fold is cut from one snapshot, uploads a segment and that snapshot's history object, and publishes
nothing. The next commits of this process offer it to the planner, which takes along each block that
is still exactly what the fold read (invariant I2). A fold of which nothing can be adopted any more is
dropped, and its objects are removed if no manifest was ever sent that refers to them.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.format.blockmap import PIECE_SPAN, SegmentSource
from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.format.history import encode_history
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.planning.cleaning import WINDOW, blocks_to_clean
from sqlite_s3vfs.planning.commit import TAIL_SOFT_MAX, tail_cost
from sqlite_s3vfs.planning.fold import Fold, FoldedBlock, adoptable, blocks_to_fold, merged_entries
from sqlite_s3vfs.planning.interior import gather_interior, interior_of_blocks
from sqlite_s3vfs.planning.segments import SegmentBuilder, build_segments, locators_of, noted
from sqlite_s3vfs.pool import in_background
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.reader.contents import block_contents
from sqlite_s3vfs.reader.map_objects import MapObjects
from sqlite_s3vfs.uploads import Uploads, is_outdated

COMMITS_BEFORE_FOLDING = 3
"""A process that makes fewer commits leaves the tail to others, and no garbage."""

COMMITS_BEFORE_RETRY_MAX = 1024
"""A fold that failed is tried again after twice as many commits as the last time, up to this."""

FOLD_BYTES_MAX = 32 << 20
"""Bytes of blocks that one fold rewrites; what is left of the tail goes with the next one."""

CLEAN_BYTES_MAX = 32 << 20
"""Bytes of blocks that one fold takes along though nothing changed in them."""

HOMES_MAX = 8
"""Pieces of the map that one fold looks into for counts of dead blocks."""

_log = logging.getLogger(__name__)


class Folding:
    """At most one fold of one database in this process: under way, or waiting to be adopted.

    The objects of a fold are removed only while no commit holds it (and then only where no manifest
    may refer to them, which ``Uploads`` knows).
    """

    def __init__(self, engine: Engine, keys: DatabaseKeys) -> None:
        self._engine = engine
        self._keys = keys
        # Re-entrant: garbage collection may close a database while this thread holds it.
        self._state_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._ready: tuple[Fold, Uploads] | None = None
        self._loans = 0
        self._dropped: list[Uploads] = []
        self._commits = 0
        self._commits_needed = COMMITS_BEFORE_FOLDING

    @contextmanager
    def lend(self, base: Manifest) -> Iterator[tuple[Fold, Uploads] | None]:
        """Have the waiting fold, if any, for a commit on ``base``. Nobody removes it meanwhile."""
        with self._state_lock:
            ready = self._ready
            outdated = ready is not None and is_outdated(base, ready[0].born_ms)
            lent = None if outdated else ready
            self._loans += lent is not None
        if outdated:
            self._replace(None)
        try:
            yield lent
        finally:
            with self._state_lock:
                self._loans -= lent is not None
            self._remove_dropped()

    def after_commit(self, snapshot: Snapshot) -> None:
        """Drop a fold that is adopted or outdated; start one where the tail has become long."""
        manifest = snapshot.manifest
        self._drop_if_useless(manifest, snapshot)
        cost = tail_cost(manifest)
        with self._state_lock:
            self._commits += 1
            idle = self._thread is None and self._ready is None
            if not idle or self._commits < self._commits_needed or cost <= TAIL_SOFT_MAX:
                return
            self._thread = threading.Thread(
                target=self._run, args=(snapshot,), name="s3vfs-fold", daemon=True
            )
            thread = self._thread
        try:
            thread.start()
        except RuntimeError:                      # the interpreter is shutting down: no fold
            self._thread = None

    def fold(self, snapshot: Snapshot) -> None:
        """Fold the snapshot's tail now, in this thread. Segment and history: 2 PUTs or more.

        Raises:
            StoreUnavailableError, AccessDeniedError: nothing is left behind.
        """
        uploads = Uploads(self._engine)
        try:
            fold = prepare_fold(self._engine, self._keys, snapshot, uploads)
            uploads.finish()
        except BaseException:
            uploads.abandon()
            raise
        self._replace((fold, uploads))

    def close(self) -> None:
        """Wait for a fold that is under way, and remove what nobody will adopt."""
        thread = self._thread
        if thread is not None and thread.is_alive() and not in_background():
            thread.join()
        self._replace(None)

    def _run(self, snapshot: Snapshot) -> None:
        try:
            self.fold(snapshot)
        except S3VFSError:
            _log.warning("a fold failed; a later commit starts another one", exc_info=True)
            with self._state_lock:
                pause = min(2 * self._commits_needed, COMMITS_BEFORE_RETRY_MAX)
                self._commits, self._commits_needed = 0, pause
        else:
            self._commits_needed = COMMITS_BEFORE_FOLDING
        finally:
            with self._state_lock:
                self._thread = None

    def _drop_if_useless(self, manifest: Manifest, snapshot: Snapshot) -> None:
        with self._state_lock:
            fold = self._ready[0] if self._ready else None
        if fold is None or fold.version > manifest.version:
            return
        inside = [block for block in fold.blocks if block < manifest.block_count]
        if not adoptable(manifest, snapshot.locators(inside), fold):
            self._replace(None)

    def _replace(self, ready: tuple[Fold, Uploads] | None) -> None:
        """Have another fold wait, or none."""
        with self._state_lock:
            old, self._ready = self._ready, ready
            if old is not None:
                self._dropped.append(old[1])
        self._remove_dropped()

    def _remove_dropped(self) -> None:
        with self._state_lock:
            if self._loans:
                return
            dropped, self._dropped = self._dropped, []
        for uploads in dropped:
            uploads.abandon()


def prepare_fold(
    engine: Engine, keys: DatabaseKeys, snapshot: Snapshot, uploads: Uploads
) -> Fold:
    """Write the blocks that the tail touches, and the history object of the snapshot, as uploads."""
    base = snapshot.manifest
    changed = blocks_to_fold(base)[: max(1, FOLD_BYTES_MAX // base.block_size)]
    map_objects = MapObjects(
        engine, keys, base.database_id, base.blocks, snapshot.missing_object
    )
    blocks = tuple(sorted({*changed, *_taken_along(base, changed, map_objects)}))
    locators = snapshot.locators(blocks)
    builder = SegmentBuilder(
        base.database_id,
        engine.settings.segment_size,
        lambda: ObjectName(base.version + 1, engine.ids.new_id()),
    )
    folded, counts = {}, {}
    contents: dict[int, bytes] = {}
    copies: list[InteriorPage] = []
    found = block_contents(
        snapshot, blocks, size=base.size, read=snapshot.read, needs_old=lambda block: True
    )
    for segment in build_segments(builder, noted(found, contents)):
        uploads.put(keys.segment(segment.name), segment.data)
        snapshot.keep(locators_of([segment], base.version + 1), contents)
        copies += interior_of_blocks(contents, base.block_size, base.page_size, size=base.size)
        contents.clear()
        counts[segment.name] = len(segment.placed)
        for placed in segment.placed:
            folded[placed.block] = FoldedBlock(
                locators.get(placed.block), merged_entries(base, placed.block), segment.name, placed
            )
    history = ObjectName(base.version, engine.ids.new_id())
    uploads.put(keys.history(history), encode_history(base, history))
    return Fold(
        version=base.version,
        blocks=folded,
        segments=counts,
        interior=(*copies, *gather_interior(_folded_pages(snapshot, base, frozenset(blocks)))),
        history=history,
        born_ms=uploads.born_ms,
    )


def _taken_along(
    base: Manifest, changed: Sequence[int], map_objects: MapObjects
) -> tuple[int, ...]:
    """Blocks of mostly dead segments, and of ranges that lie in too many, in one piece of the map.

    Each fold looks at another piece; the version tells which, so that processes that come and go get
    round as well. Up to a few GETs of map pieces.
    """
    pieces = unit_count(base.block_count, PIECE_SPAN)
    index = base.version % pieces
    covered = range(index * PIECE_SPAN, (index + 1) * PIECE_SPAN)
    recent = {block: found for block, found in base.blocks.recent.items() if block in covered}
    locators = {**map_objects.load_pieces([index])[index].locators, **recent}
    homes = Counter(
        locator.source.home
        for locator in locators.values()
        if isinstance(locator.source, SegmentSource) and not locator.source.owner
    )
    dead = dict(base.dead)
    wanted = [home for home, _ in homes.most_common(HOMES_MAX)]
    for piece in map_objects.load_pieces(wanted).values():
        for name, count in piece.dead.items():
            more = dead[name].dead if name in dead else 0
            dead[name] = count._replace(dead=count.dead + more)
    return blocks_to_clean(
        locators,
        dead,
        skip=frozenset(changed),
        room=min(2 * len(changed) + 16, CLEAN_BYTES_MAX // base.block_size),
        start=base.version * WINDOW % PIECE_SPAN,
    )


def _folded_pages(
    snapshot: Snapshot, base: Manifest, blocks: frozenset[int]
) -> dict[int, bytes]:
    """The tail's pages that lie in the folded blocks altogether, but in more than one."""
    if not base.block_size % base.page_size:
        return {}
    pages = {}
    for page in {entry.page for entry in base.tail}:
        content = snapshot.pages.tail_page(page)
        inside = blocks.issuperset(overlapping(page - 1, base.page_size, base.block_size))
        if content is not None and inside:
            pages[page] = content
    return pages

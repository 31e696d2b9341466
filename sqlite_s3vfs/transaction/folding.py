"""Folding: the tail's pages are moved into blocks in the background; a later commit adopts the result.

A fold is cut from one snapshot, uploads a segment and that snapshot's history object, and publishes
nothing. The next commits of this process offer it to the planner, which takes along each block that
is still exactly what the fold read (invariant I2). A fold of which nothing can be adopted any more is
dropped, and its objects are removed if no manifest was ever sent that refers to them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.format.history import encode_history
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.planning.cleaning import ALONG
from sqlite_s3vfs.planning.commit import TAIL_SOFT_MAX, tail_cost
from sqlite_s3vfs.planning.fold import Fold, FoldedBlock, adoptable, blocks_to_fold, merged_entries
from sqlite_s3vfs.planning.interior import gather_interior, interior_of_blocks
from sqlite_s3vfs.planning.segments import SegmentBuilder, build_segments, locators_of, noted
from sqlite_s3vfs.pool import in_background
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.reader.contents import contents_past_the_cache
from sqlite_s3vfs.transaction.cleaning import CLEAN_BYTES_MAX, blocks_to_take_along
from sqlite_s3vfs.uploads import Uploads, is_outdated

COMMITS_BEFORE_FOLDING = 3
"""A process that makes fewer commits leaves the tail to others, and no garbage."""

COMMITS_BEFORE_RETRY_MAX = 1024
"""A fold that failed is tried again after twice as many commits as the last time, up to this."""

FOLD_BYTES_MAX = 32 << 20
"""Bytes of blocks that one fold rewrites; what is left of the tail goes with the next one."""

CLEAN_AFTER_BYTES = 8 << 20
"""Where commits write blocks and leave the tail short, a fold cleans after so many bytes of them."""

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
        self._blocks_written = 0

    @property
    def is_left_to_commits(self) -> bool:
        """Whether this process has made too few commits to fold: they clean themselves."""
        return self._commits < COMMITS_BEFORE_FOLDING and self._commits_needed == COMMITS_BEFORE_FOLDING

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

    def after_commit(self, snapshot: Snapshot, blocks_written: int) -> None:
        """Drop a fold that is adopted or outdated; start one where the tail has become long.

        Or where commits have written many blocks themselves, which leaves something to clean as well.
        """
        manifest = snapshot.manifest
        self._drop_if_useless(manifest, snapshot)
        cost = tail_cost(manifest)
        with self._state_lock:
            self._commits += 1
            self._blocks_written += blocks_written
            idle = self._thread is None and self._ready is None
            much = self._blocks_written * manifest.block_size >= CLEAN_AFTER_BYTES
            due = cost > TAIL_SOFT_MAX or much
            if not idle or self._commits < self._commits_needed or not due:
                return
            written, self._blocks_written = self._blocks_written, 0
            self._thread = threading.Thread(
                target=self._run, args=(snapshot, written), name="s3vfs-fold", daemon=True
            )
            thread = self._thread
        try:
            thread.start()
        except RuntimeError:                      # the interpreter is shutting down: no fold
            self._thread = None

    def fold(self, snapshot: Snapshot, blocks_written: int = 0) -> None:
        """Fold the snapshot's tail now, in this thread. Segment and history: 2 PUTs or more.

        ``blocks_written`` by commits since the last fold allow as much more to be cleaned. 0 PUTs where
        there is neither a tail nor anything to clean.

        Raises:
            StoreUnavailableError, AccessDeniedError: nothing is left behind.
        """
        uploads = Uploads(self._engine)
        try:
            fold = prepare_fold(self._engine, self._keys, snapshot, uploads, blocks_written)
            uploads.finish()
        except BaseException:
            uploads.abandon()
            raise
        self._replace((fold, uploads) if fold else None)

    def close(self) -> None:
        """Wait for a fold that is under way, and remove what nobody will adopt."""
        thread = self._thread
        if thread is not None and thread.is_alive() and not in_background():
            thread.join()
        self._replace(None)

    def _run(self, snapshot: Snapshot, blocks_written: int) -> None:
        try:
            self.fold(snapshot, blocks_written)
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
    engine: Engine,
    keys: DatabaseKeys,
    snapshot: Snapshot,
    uploads: Uploads,
    blocks_written: int = 0,
) -> Fold | None:
    """Write the blocks that the tail touches, and the history object of the snapshot, as uploads.

    None, and nothing written, where there are no such blocks and nothing is to be cleaned. What is only
    cleaned comes and goes past the cache: nobody has asked for it.
    """
    base = snapshot.manifest
    changed = blocks_to_fold(base)[: max(1, FOLD_BYTES_MAX // base.block_size)]
    room = ALONG * (len(changed) + blocks_written) + 16
    room = min(room, CLEAN_BYTES_MAX // base.block_size)
    along = blocks_to_take_along(snapshot, written=frozenset(changed), room=room)
    blocks = tuple(sorted({*changed, *along}))
    if not blocks:
        return None
    locators = snapshot.locators(blocks)
    builder = SegmentBuilder(
        base.database_id,
        engine.settings.segment_size,
        lambda: ObjectName(base.version + 1, engine.ids.new_id()),
    )
    folded, counts = {}, {}
    contents: dict[int, bytes] = {}
    copies: list[InteriorPage] = []
    at_hand = set(changed) | snapshot.contents_at_hand(along).keys()
    found = contents_past_the_cache(snapshot, blocks, at_hand)
    for segment in build_segments(builder, noted(found, contents)):
        uploads.put(keys.segment(segment.name), segment.data)
        places = locators_of([segment], base.version + 1)
        kept = {block: places[block] for block in at_hand.intersection(places)}
        snapshot.keep(kept, contents)
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

"""One commit: plan, upload, publish, in the one safe order.

1. Plan (pure): do the pages ride in the tail, or are blocks written?
2. Upload segments, map pieces and the base's history object, in parallel, under unique names.
3. One conditional put of the manifest. That put is the commit.

Whatever fails before 3 leaves the database as it was, and the uploads are removed. A refusal in 3 is
settled first (``manifests``); maintenance alone makes the same commit be computed on the moved base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlite_s3vfs.adoption import check_unchanged, settled_in_segments
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, ReadOnlyError
from sqlite_s3vfs.format.blockmap import Locator
from sqlite_s3vfs.format.envelope import ObjectKind, seal
from sqlite_s3vfs.format.geometry import overlapping, unit_count
from sqlite_s3vfs.format.history import encode_history
from sqlite_s3vfs.format.interior import InteriorPage
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.manifests import BaseMovedError, ManifestStore, Published, check_replaceable
from sqlite_s3vfs.origin import Origin, check_restored, moved
from sqlite_s3vfs.planning.commit import Changes, CommitPlan, plan_commit, room_to_clean
from sqlite_s3vfs.planning.fold import Fold, adoptable, blocks_to_fold
from sqlite_s3vfs.planning.interior import gather_interior, interior_of_blocks
from sqlite_s3vfs.planning.segments import SegmentBuilder, build_segments, locators_of, noted
from sqlite_s3vfs.planning.successor import Adoption, Prepared, successor
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.reader.contents import ReadBytes, block_contents
from sqlite_s3vfs.store.probe import probe_conditions
from sqlite_s3vfs.transaction.cleaning import blocks_to_take_along
from sqlite_s3vfs.transaction.condemning import NOTHING, Offer
from sqlite_s3vfs.transaction.map_folding import fold_map_of
from sqlite_s3vfs.transaction.spilling import EarlyBlocks, Spilling
from sqlite_s3vfs.uploads import Uploads, check_born

_REBASES_MAX = 100
OWN_CLEAN_BYTES_MAX = 16 << 20
"""Bytes of blocks that a commit takes along though nothing changed in them: SQLite waits for it."""

PrepareContent = Callable[[Manifest, Snapshot, Prepared, Uploads], Prepared]
"""Completes a skeleton to the commit of a whole new content, uploading what is missing."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be committed: on which origin, which pages, and how to read the new content.

    ``fold`` waits to be adopted, with its uploads; ``offer`` tells what to do about condemned objects.
    ``early`` are the blocks that are stored already (``changes.spilled``). ``cleans``: where it writes
    blocks, it takes along others that are to be cleaned.
    """

    origin: Origin
    snapshot: Snapshot
    changes: Changes
    read: ReadBytes
    fold: tuple[Fold, Uploads] | None = None
    offer: Offer = NOTHING
    early: EarlyBlocks | None = None
    cleans: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """A commit that only lacks its manifest; ``ahead`` are uploads that were made before it."""

    origin: Origin
    prepared: Prepared
    uploads: Uploads
    ahead: tuple[Uploads, ...] = ()

    @property
    def named(self) -> tuple[Uploads, ...]:
        """All uploads that hold objects which the manifest is the first to name."""
        return (self.uploads, *self.ahead)


class Committer:
    """Commits to one database."""

    def __init__(self, engine: Engine, keys: DatabaseKeys, manifests: ManifestStore) -> None:
        self._engine = engine
        self._keys = keys
        self._manifests = manifests

    def spilling(self, base: Snapshot) -> Spilling:
        """Where a transaction on ``base`` puts what is too much for its memory. 0 requests, or a probe.

        Raises:
            UnsafeStoreError, ReadOnlyError: the database may not be written.
        """
        self.check_writable(base.manifest)
        return Spilling(self._engine, self._keys, base)

    def prepare(self, work: Work) -> Ready:
        """Plan and upload: everything but the manifest. Nobody can see it yet.

        Raises:
            StoreUnavailableError, AccessDeniedError, UnsafeStoreError, CorruptError: not committed,
                and the uploads are removed.
        """
        ready = self._prepare(
            work.origin,
            work.offer,
            lambda origin, skeleton, uploads: self._upload(
                replace(work, origin=origin), skeleton, uploads
            ),
        )
        ahead = [work.early.uploads] if work.early else []
        if work.fold and ready.prepared.adoption is not None:
            ahead.append(work.fold[1])
        return replace(ready, ahead=tuple(ahead))

    def prepare_content(
        self,
        origin: Origin,
        snapshot: Snapshot,
        offer: Offer,
        content: PrepareContent,
        ahead: Uploads,
    ) -> Ready:
        """Prepare a commit that replaces the whole content, most of which is uploaded; likewise."""

        def fill(origin: Origin, skeleton: Prepared, uploads: Uploads) -> Prepared:
            base = origin.manifest
            prepared = replace(content(base, snapshot, skeleton, uploads), anew=True)
            map_fold = fold_map_of(self._engine, self._keys, base, prepared, snapshot, uploads)
            history = self._keep_history(base, uploads) if base.commits else None
            return replace(prepared, map_fold=map_fold, history=history)

        return replace(self._prepare(origin, offer, fill), ahead=(ahead,))

    def _prepare(
        self,
        origin: Origin,
        offer: Offer,
        fill: Callable[[Origin, Prepared, Uploads], Prepared],
    ) -> Ready:
        mark = self.check_writable(origin.manifest)
        uploads = Uploads(self._engine)
        try:
            origin, condemned = settled_in_segments(self._engine, self._keys, origin, uploads)
            skeleton = Prepared(
                commit_id=self._engine.ids.new_id(),
                writer=self._engine.writer,
                page_size=origin.manifest.page_size,
                size=origin.manifest.size,
                cleared=offer.cleared,
                condemned=condemned,
                condemning=offer.plan,
                conditions_proven=mark,
            )
            prepared = fill(origin, skeleton, uploads)
            uploads.finish()
        except BaseException:
            uploads.abandon()
            raise
        return Ready(origin, prepared, uploads)

    def publish(self, ready: Ready) -> Published:
        """Put the manifest; on a base that maintenance moved, compute it once more and put that.

        Raises:
            ConflictError: not committed, and the uploads are removed.
            AccessDeniedError, NotFoundError, StoreUnavailableError: not committed; the uploads stay.
            ReadOnlyError: likewise; the newest manifest has what only a newer release can keep.
            CommitUnknownError: it may have been committed; nothing is removed.
        """
        try:
            return self._publish(ready)
        except BaseException:
            ready.uploads.abandon()
            raise

    def _publish(self, ready: Ready) -> Published:
        origin = ready.origin
        for _ in range(_REBASES_MAX):
            check_born(origin.manifest, min(uploads.born_ms for uploads in ready.named))
            if ready.prepared.restored:
                check_restored(origin.manifest, ready.prepared.restored)
            if origin.layout:
                check_unchanged(self._engine, origin.layout)
            time_ms = origin.head.time_ms if origin.head else 0
            manifest = successor(origin.manifest, ready.prepared, time_ms)
            try:
                return self._put(origin, manifest, ready.named)
            except BaseMovedError as error:
                origin = moved(origin, error.head)
        raise CommitUnknownError(f"the manifest never stood still. key={self._keys.manifest!r}")

    def _put(self, origin: Origin, manifest: Manifest, named: Sequence[Uploads]) -> Published:
        for uploads in named:
            uploads.note_sent()
        try:
            return self._manifests.publish(origin.head, manifest)
        except (ConflictError, ReadOnlyError):      # settled; after anything else nothing is certain
            for uploads in named:
                uploads.note_refused()
            raise

    def check_writable(self, manifest: Manifest) -> bytes:
        """The mark of this store, once it is known to honour conditions; probes where it is not.

        Raises:
            UnsafeStoreError: the store ignores conditions.
            ReadOnlyError: a newer release keeps something there that a commit of this one would lose.
        """
        check_replaceable(manifest, self._keys.prefix)
        engine = self._engine
        mark = hashlib.blake2b(engine.store.identity.encode(), digest_size=16).digest()
        if engine.settings.locking == "none" or manifest.conditions_proven == mark:
            return manifest.conditions_proven
        if not engine.conditions_proven:
            name = ObjectName(0, engine.ids.new_id())
            sealed = partial(seal, ObjectKind.PROBE, manifest.database_id, payload=b"")
            probe_conditions(engine.store, self._keys.probe(name), engine.ids, sealed)
            engine.conditions_proven = True
        return mark

    def _upload(self, work: Work, prepared: Prepared, uploads: Uploads) -> Prepared:
        base, snapshot = work.origin.manifest, work.snapshot
        plan = plan_commit(
            base if base.commits else None,
            work.changes,
            version=base.version + 1,
            block_size=base.block_size,
            tail_page=snapshot.pages.tail_page,
            block_page=snapshot.page_at_hand,
        )
        prepared = replace(
            prepared,
            page_size=work.changes.page_size,
            size=work.changes.size,
            pages_written=len(work.changes.pages),
            entries=plan.entries,
            adoption=_adoption(base, plan, work),
        )
        blocks = sorted({*plan.blocks, *self._taken_along(work, plan)})
        if blocks:
            copies: list[InteriorPage] = []
            written = self._write_blocks(work, blocks, uploads, copies)
            across = _interior(work, frozenset(plan.blocks))
            prepared = replace(
                prepared, written=written, changed_pages=plan.pages, interior=(*copies, *across)
            )
        if work.origin.layout:
            own = (*prepared.interior, *_interior_at_hand(work, prepared.written))
            prepared = replace(prepared, interior=own)
        if work.early:
            prepared = work.early.added_to(prepared, base, page_size=work.changes.page_size)
        prepared = _with_replaced(work, prepared)
        map_fold = fold_map_of(self._engine, self._keys, base, prepared, snapshot, uploads)
        keeps = base.commits and (plan.drops or map_fold or work.origin.layout)
        history = self._keep_history(base, uploads) if keeps else None
        return replace(prepared, map_fold=map_fold, history=history)

    def _write_blocks(
        self, work: Work, blocks: Sequence[int], uploads: Uploads, copies: list[InteriorPage]
    ) -> dict[int, Locator]:
        """Upload blocks; the interior pages that lie in one of them go into ``copies``."""
        base = work.origin.manifest
        version = base.version + 1
        builder = SegmentBuilder(
            base.database_id,
            self._engine.settings.segment_size,
            lambda: ObjectName(version, self._engine.ids.new_id()),
        )
        found: dict[int, Locator] = {}
        contents: dict[int, bytes] = {}
        for segment in build_segments(builder, noted(_block_contents(work, blocks), contents)):
            uploads.put(self._keys.segment(segment.name), segment.data)
            locators = locators_of([segment], version)
            work.snapshot.keep(locators, contents)
            found.update(locators)
            copies += interior_of_blocks(
                contents, base.block_size, work.changes.page_size, size=work.changes.size
            )
            contents.clear()
        return found

    def _taken_along(self, work: Work, plan: CommitPlan) -> tuple[int, ...]:
        """The blocks that are written though the transaction left them alone (``planning.cleaning``)."""
        base, changes = work.origin.manifest, work.changes
        count = len(plan.blocks) + len(changes.spilled)
        same = changes.page_size == base.page_size and base.size <= min(changes.size, changes.base_limit)
        if not work.cleans or not count or work.fold or work.origin.layout or not same:
            return ()
        return blocks_to_take_along(
            work.snapshot,
            written=changes.spilled | frozenset(plan.blocks),
            skip=frozenset(blocks_to_fold(base)),
            room=min(room_to_clean(base, count), OWN_CLEAN_BYTES_MAX // base.block_size),
        )

    def _keep_history(self, base: Manifest, uploads: Uploads) -> ObjectName:
        """Keep the base readable after it is replaced (invariant I4). 1 PUT, in parallel."""
        name = ObjectName(base.version, self._engine.ids.new_id())
        uploads.put(self._keys.history(name), encode_history(base, name))
        return name


def _adoption(base: Manifest, plan: CommitPlan, work: Work) -> Adoption | None:
    """The blocks of a finished fold that this commit takes along."""
    changes = work.changes
    if work.fold is None or changes.page_size != base.page_size or changes.size < base.size:
        return None
    if changes.base_limit < base.size:
        return None
    fold, _ = work.fold
    locators = work.snapshot.locators(block for block in fold.blocks if block < base.block_count)
    blocks = adoptable(base, locators, fold) - set(plan.blocks) - changes.spilled
    return Adoption(fold, blocks) if blocks else None


def _with_replaced(work: Work, prepared: Prepared) -> Prepared:
    """Add the base's locators that this commit replaces, drops or cuts."""
    base, size = work.origin.manifest, prepared.size
    count = unit_count(size, base.block_size)
    cut = {}
    last, inside = divmod(size, base.block_size)
    if size < base.size and inside and last not in prepared.written:
        cut = {
            block: locator._replace(valid=inside)
            for block, locator in _locators(work, [last]).items()
            if locator.valid > inside
        }
    adopted = prepared.adoption.blocks if prepared.adoption else frozenset()
    dropped = range(count, base.block_count)
    touched = [*prepared.written, *adopted, *dropped]
    replaced = _locators(work, (block for block in touched if block < base.block_count))
    return replace(prepared, cut=cut, replaced=replaced)


def _locators(work: Work, blocks: Iterable[int]) -> dict[int, Locator]:
    """The base's locators; where the old layout's adoption has just moved a block, its new one."""
    found = work.snapshot.locators(blocks)
    return {block: work.origin.moved.get(block, locator) for block, locator in found.items()}


def _block_contents(work: Work, blocks: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The new content of blocks; old ones are needed where pages of theirs were not written."""
    block_size, page_size = work.snapshot.block_size, work.changes.page_size
    pages = work.changes.pages

    def needs_old(block: int) -> bool:
        return any(page + 1 not in pages for page in overlapping(block, block_size, page_size))

    return block_contents(
        work.snapshot, blocks, size=work.changes.size, read=work.read, needs_old=needs_old
    )


def _interior(work: Work, written: frozenset[int]) -> tuple[InteriorPage, ...]:
    """Copies of the interior pages that went from the transaction or the tail into written blocks.

    Only those that lie in more than one block.
    """
    base, page_size = work.origin.manifest, work.changes.page_size
    if not base.block_size % page_size:
        return ()
    pages = dict(work.changes.pages)
    for entry in base.tail if base.page_size == page_size else ():
        blocks = overlapping(entry.page - 1, page_size, base.block_size)
        content = work.snapshot.pages.tail_page(entry.page)
        cut_off = entry.page * page_size > work.changes.base_limit
        if cut_off or entry.page in pages:
            continue
        if content is not None and written.issuperset(blocks):
            pages[entry.page] = content
    return gather_interior(pages)


def _interior_at_hand(work: Work, written: Container[int]) -> tuple[InteriorPage, ...]:
    """Of an old database: copies of the interior pages in memory whose blocks stay as they are.

    Its blocks may never be written again; those of a database of our own gave theirs as they were.
    """
    base, page_size = work.origin.manifest, work.changes.page_size
    if page_size != base.page_size:
        return ()
    kept = min(work.changes.base_limit, work.changes.size)
    whole = range(min(kept, base.size) // base.block_size)
    contents = work.snapshot.contents_at_hand(block for block in whole if block not in written)
    return interior_of_blocks(contents, base.block_size, page_size)

"""Databases of sqlite-s3vfs 0.0.x: read as they are, and adopted by their first commit.

Invariant I10. Reading writes nothing: the listing gives the map (each old block with its ETag), the
header the size, and a hot journal's original pages are laid over the blocks as if they were a tail.
The first commit publishes that state as version 1 (in history) and itself as version 2. Old blocks
stay where they are and are referenced until they are rewritten; only block 0 is copied into a
segment, because it and the journal are then deleted: without block 0 a process that still runs the
old release fails cleanly instead of writing over ours. Such processes must be stopped first; one in
mid-transaction can still write over our objects, which is noticed by the ETags when they are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import ConflictError, CorruptError
from sqlite_s3vfs.format.ancestor import (
    AncestorFile,
    AncestorLayout,
    assemble_journal,
    describe_file,
    is_journal,
    read_layout,
)
from sqlite_s3vfs.format.blockmap import AncestorSource, BlockMap, Locator, Piece
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import Commit, Condemned, Manifest
from sqlite_s3vfs.format.rollback_journal import (
    JournalPlayback,
    parse_journal_header,
    played_back,
)
from sqlite_s3vfs.format.segment import encode_frame, encode_segment
from sqlite_s3vfs.format.tail import TailEntry, encode_page
from sqlite_s3vfs.origin import Origin
from sqlite_s3vfs.planning.mapfold import fold_map, must_fold, pieces_to_write
from sqlite_s3vfs.planning.segments import Segment, locators_of
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.store.port import Fetched, PreconditionFailedError
from sqlite_s3vfs.uploads import Uploads

WRITER = "sqlite-s3vfs 0.0.x"
_LAST_BLOCK_NAME = "9999999999"


@dataclass(frozen=True, slots=True)
class Found:
    """What a listing under the prefix shows: the old layout, and whether anything else lies there."""

    layout: AncestorLayout | None
    others: bool


def find_layout(engine: Engine, keys: DatabaseKeys) -> Found:
    """The old layout's objects under the prefix. 1 LIST a 1 000 blocks, and 1 for their journal."""
    rows = []
    others = False
    prefix = f"{keys.prefix}/"
    for row in engine.store.list(prefix):
        if row.key.removeprefix(prefix) > _LAST_BLOCK_NAME:
            others = True
            break                                # digits sort before every name of our own layout
        rows.append((row.key, row.size, row.etag))
    if read_layout(keys.prefix, rows) is None:
        return Found(None, others or bool(rows))
    journal = engine.store.list(keys.ancestor_journal_prefix)
    rows += [(row.key, row.size, row.etag) for row in journal]
    return Found(read_layout(keys.prefix, rows), others)


def check_unchanged(engine: Engine, layout: AncestorLayout) -> None:
    """Compare the listing once more, just before the first manifest is put.

    Raises:
        ConflictError: an old-release process has written since.
    """
    found = find_layout(engine, DatabaseKeys(layout.prefix)).layout
    if found is None or found.identity != layout.identity:
        raise ConflictError(
            "a process that still runs sqlite-s3vfs 0.0.x wrote to the database: stop it, then run "
            f"the transaction again. prefix={layout.prefix!r}"
        )


def old_origin(engine: Engine, keys: DatabaseKeys, layout: AncestorLayout) -> tuple[Origin, bytes]:
    """The state that old objects hold, as version 1 in memory, and the content of block 0.

    Costs the GETs of the header and of the journal.

    Raises:
        CorruptError: no SQLite database, or objects of it are missing.
    """
    journal = _journal(engine, keys, layout)
    playback = _playback(engine, journal)
    heads = [(keys.ancestor_block(block.index), block.etag) for block in layout.header_blocks]
    bodies = _fetch(engine, heads)
    file = describe_file(layout, b"".join(bodies), playback=playback)
    block_size = file.block_size_for(engine.settings.block_size)
    if playback and playback.page_count == 0:
        block_size = engine.settings.block_size
    manifest = Manifest(
        database_id=engine.ids.new_id() + engine.ids.new_id(),
        page_size=file.page_size,
        size=file.size,
        block_size=block_size,
        retention_seconds=engine.settings.retention_seconds,
        version=1,
        commits=(Commit(1, layout.identity[:8], 0, WRITER, file.size, 0),),
        blocks=BlockMap(recent=dict(_locators(file))),
        tail=tuple(_restored(playback, file)),
    )
    origin = Origin(manifest, None, layout, has_journal=is_journal(journal))
    return origin, bodies[0] if bodies else b""


def settled_in_segments(
    engine: Engine, keys: DatabaseKeys, origin: Origin, uploads: Uploads
) -> tuple[Origin, Condemned | None]:
    """The origin that the first commit on an old database builds on; any other as it is.

    Block 0 is copied into a segment, a long map is put into pieces, and what has to go is condemned.
    1 PUT; for more than 2 048 blocks 1 more for each 4 096, and 1 round trip.
    """
    if origin.layout is None:
        return origin, None
    moved = _moved_first_block(engine, keys, origin.manifest, uploads)
    blocks = origin.manifest.blocks.with_blocks(moved)
    if must_fold(blocks, {}):
        empty = {piece: Piece({}, {}) for piece in pieces_to_write(blocks, {})}
        map_fold = fold_map(
            origin.manifest.database_id, blocks, {}, empty, {}, lambda: _new_name(engine)
        )
        for name, body in map_fold.objects:
            uploads.put(keys.map_piece(name), body)
        uploads.finish()                         # the commit itself is going to read them
        blocks = map_fold.blocks
    journal = origin.layout.journal if origin.has_journal else ()
    gone = (ObjectRef(Role.OLD_JOURNAL, block.index) for block in journal)
    condemned = Condemned(engine.ids.new_id(), (ObjectRef(Role.OLD_BLOCK, 0), *gone))
    manifest = replace(origin.manifest, blocks=blocks)
    return replace(origin, manifest=manifest, moved=moved), condemned


def _moved_first_block(
    engine: Engine, keys: DatabaseKeys, base: Manifest, uploads: Uploads
) -> dict[int, Locator]:
    """Block 0 copied into a segment."""
    first = base.blocks.recent.get(0)
    if first is None or not isinstance(first.source, AncestorSource):
        return {}
    content = _first_block(engine, keys, first.source.etag)
    name = _new_name(engine)
    frame = encode_frame(name.random, 0, content[: first.valid])
    data, placed = encode_segment(base.database_id, name, [frame])
    uploads.put(keys.segment(name), data)
    return locators_of([Segment(name, data, tuple(placed))], 1)


def _new_name(engine: Engine) -> ObjectName:
    return ObjectName(1, engine.ids.new_id())


def _first_block(engine: Engine, keys: DatabaseKeys, etag: str) -> bytes:
    key = keys.ancestor_block(0)
    try:
        return _fetch_block(engine, key, etag)
    except CorruptError as error:
        raise ConflictError(
            f"another writer adopted or changed the database: run the transaction again. key={key!r}"
        ) from error


def _journal(engine: Engine, keys: DatabaseKeys, layout: AncestorLayout) -> bytes:
    """What lies where the database's journal would be."""
    wanted = zip(layout.journal_keys, layout.journal, strict=True)
    bodies = _fetch(engine, [(key, block.etag) for key, block in wanted])
    indexes = (block.index for block in layout.journal)
    return assemble_journal(dict(zip(indexes, bodies, strict=True)))


def _playback(engine: Engine, journal: bytes) -> JournalPlayback | None:
    """What an unfinished transaction's journal restores; None where there is nothing to undo."""
    header = parse_journal_header(journal, page_size=0)
    playback = played_back(journal, page_size=header.page_size if header else 0)
    if playback and playback.super_journal and not _exists(engine, playback.super_journal):
        return None
    return playback


def _exists(engine: Engine, name: str) -> bool:
    return any(True for _ in engine.store.list(f"{name}/", limit=1))


def _fetch(engine: Engine, wanted: Iterable[tuple[str, str]]) -> list[bytes]:
    return run_all(
        engine.pool, [partial(_fetch_block, engine, key, etag) for key, etag in wanted]
    )


def _fetch_block(engine: Engine, key: str, etag: str) -> bytes:
    try:
        found = engine.store.get(key, if_match=etag)
    except PreconditionFailedError as error:
        raise _changed(key) from error
    if not isinstance(found, Fetched):
        raise _changed(key)
    return found.body


def _changed(key: str) -> CorruptError:
    return CorruptError(
        "an object of the old layout changed while it was read: stop the processes that still run "
        f"sqlite-s3vfs 0.0.x. key={key!r}"
    )


def _locators(file: AncestorFile) -> Iterable[tuple[int, Locator]]:
    for block in file.blocks:
        if block.size:
            yield block.index, Locator(AncestorSource(block.etag), 0, block.size, block.size)


def _restored(playback: JournalPlayback | None, file: AncestorFile) -> Iterable[TailEntry]:
    """The original pages of an unfinished transaction, as if version 1 had just written them."""
    for page, content in sorted(playback.pages.items()) if playback else ():
        if (page - 1) * file.page_size < file.size:
            yield encode_page(page, 1, content, None)

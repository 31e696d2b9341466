"""Objects under a database's prefix that nothing needs: found by listing, and deleted.

Looked at is only what matches the grammar of keys exactly, so that ``sales`` never harms a database
``sales/2024``; deleted only what carries the database's own id, or that of the one it replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.format.blockmap import AncestorSource
from sqlite_s3vfs.format.envelope import HEADER_SIZE, database_id_of
from sqlite_s3vfs.format.keys import parse_object_name
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.past.histories import read_history
from sqlite_s3vfs.past.maintenance import maintain, manifest_head
from sqlite_s3vfs.past.references import (
    history_names,
    kept_manifests,
    locators_of_map,
    references,
)
from sqlite_s3vfs.planning.maintenance import without_pins
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.progress import OnProgress, Progress
from sqlite_s3vfs.store.port import Fetched, Listed

_FOLDERS = ("segments/", "maps/", "history/")
_OLD_BLOCK = re.compile(r"[0-9]{10}")
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Garbage:
    """An object that nothing needs, and why."""

    key: str
    size: int
    last_modified_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """``found`` may be deleted; ``kept`` objects are needed, ``too_young`` and ``foreign`` are left.

    ``borrowed`` are the pin ids of databases whose objects are needed.
    """

    found: tuple[Garbage, ...]
    kept: int
    too_young: int
    foreign: int
    borrowed: frozenset[bytes]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of what may be deleted, by key."""
        return {garbage.key: garbage.size for garbage in self.found}


def list_objects(database: Database) -> list[Listed]:
    """Every object under the prefix that may be one of the database's. 3 LISTs, or 1 a 1 000 objects."""
    store, prefix = database.engine.store, f"{database.prefix}/"
    found = []
    for folder in _FOLDERS:
        rows = store.list(prefix + folder)
        found += [row for row in rows if parse_object_name(row.key[len(prefix + folder) :])]
    return found


def find_garbage(
    database: Database,
    newest: Manifest,
    *,
    born_before_ms: int | None,
    listed: Sequence[Listed] | None = None,
) -> Found:
    """What nothing needs, as ``newest`` and the history have it; with a limit only what is older.

    ``listed`` was listed before the floor was published, where there is one (invariant I6). Reads the
    maps of the readable past, and the first bytes of each object that seems to be garbage.

    Raises:
        CorruptError: what would have to be read is damaged or gone; nothing can be told then.
    """
    rows = list_objects(database) if listed is None else listed
    kept = kept_manifests(database, newest, history_names(database))
    needed = references(database, kept)
    doomed = {database.keys.of(ref) for ref in newest.condemned.refs} if newest.condemned else set()
    needed.keys.difference_update(doomed)
    needed.keys.update(database.keys.history(row.name) for row in newest.history)
    loose = [row for row in rows if row.key not in needed.keys]
    old = [
        row for row in loose if born_before_ms is None or row.last_modified * 1000 < born_before_ms
    ]
    own = _own(database, newest, old)
    removed = newest.state is not State.LIVE
    garbage = tuple(
        Garbage(
            row.key,
            row.size,
            int(row.last_modified * 1000),
            _reason(row.key, removed=removed, doomed=row.key in doomed),
        )
        for row in own
    )
    return Found(
        garbage,
        len(rows) - len(loose),
        len(loose) - len(old),
        len(old) - len(own),
        frozenset(needed.borrowed),
    )


def delete_all(
    database: Database, sizes: Mapping[str, int], phase: str, on_progress: OnProgress
) -> int:
    """Delete objects (``sizes`` by key), history last: until then it tells what is the database's."""
    prefix = database.keys.history_prefix
    ordered = sorted(sizes, key=lambda key: key.startswith(prefix))
    done, total = 0, sum(sizes.values())
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        database.engine.store.delete(part)
        done += sum(sizes[key] for key in part)
        on_progress(Progress(phase, done, total))
    return len(ordered)


def unpin_parent(database: Database, manifest: Manifest) -> str | None:
    """Let the parent of a fork go that does not need it any more; the parent's prefix. 1 GET, 1 PUT.

    The pins of grandparents are their children's to remove: these have a pin for this one.
    """
    for owner in manifest.owners:
        if owner.pin_id == manifest.fork_id:
            parent = Database(database.engine, owner.prefix)
            return owner.prefix if unpin(parent, frozenset([owner.pin_id])) else None
    return None


def unpin(database: Database, pin_ids: frozenset[bytes]) -> bool:
    """Remove pins; whether there were such. 1 GET, and 1 PUT where there were."""
    head = manifest_head(database)
    if not any(pin.pin_id in pin_ids for pin in head.manifest.pins):
        return False
    maintain(database, lambda base: without_pins(base, pin_ids), head=head)
    return True


def _own(database: Database, newest: Manifest, rows: Sequence[Listed]) -> list[Listed]:
    """Those that carry the database's id, or that of the one it replaced. 1 GET of 64 bytes each."""
    ids = {newest.database_id, newest.predecessor}
    found = []
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        tasks = [partial(_database_id, database, row.key) for row in part]
        read = run_all(database.engine.pool, tasks)
        found += [row for row, owner in zip(part, read, strict=True) if owner and owner in ids]
    return found


def _database_id(database: Database, key: str) -> bytes | None:
    fetched = database.engine.store.get(key, byte_range=(0, HEADER_SIZE))
    return database_id_of(fetched.body) if isinstance(fetched, Fetched) else None


def _reason(key: str, *, removed: bool, doomed: bool) -> str:
    if removed:
        return "the database was removed"
    if doomed:
        return "condemned, and not deleted yet"
    if "/history/" in key:
        return "no version that is kept is read from it"
    return "no version that is kept refers to it"


def old_blocks(database: Database, removed: Manifest) -> dict[str, int]:
    """What is left of the old layout, as a removed database's history refers to it, with its bytes.

    1 LIST; where there are such objects, what it takes to read the maps of its past.
    """
    engine, keys = database.engine, database.keys
    prefix = f"{database.prefix}/"
    rows = {}
    for row in engine.store.list(prefix):
        if not _OLD_BLOCK.fullmatch(row.key.removeprefix(prefix)):
            break                               # digits sort before every name of our own layout
        rows[row.key] = row
    if not rows:
        return {}
    found = {}
    pinned = references(database, kept_manifests(database, removed, history_names(database)))
    for name in history_names(database):
        manifest = read_history(database, name, removed.database_id)
        for block, locator in locators_of_map(database, manifest) if manifest else ():
            key, source = keys.ancestor_block(block), locator.source
            own = isinstance(source, AncestorSource) and not source.owner
            if own and key in rows and rows[key].etag == source[0] and key not in pinned.keys:
                found[key] = rows[key].size
    return found

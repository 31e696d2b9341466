"""The manifest: everything that one version of a database is, as one frozen value.

Times are milliseconds of the store's clock; 0 means "not known yet" (the time of the newest commit is
stamped by the manifest after it, invariant I8).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from sqlite_s3vfs.format.blockmap import BlockMap, DeadBlocks, SegmentSource
from sqlite_s3vfs.format.geometry import unit_count
from sqlite_s3vfs.format.interior import InteriorPage as InteriorPage
from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.tail import TailEntry

KNOWN_WRITE_FEATURES: frozenset[str] = frozenset()

RECENT_COMMITS = 32
"""Commits that a manifest remembers at least; more while the tail holds their pages."""
HISTORY_NAMES = 64
"""History objects that a manifest names; older ones are named by those."""

_PAGE_SIZES = frozenset({0, *(1 << power for power in range(9, 17))})


class State(enum.Enum):
    """Whether the manifest stands for a database (invariant I7); the others read as absent."""

    LIVE = "live"
    PENDING = "pending"
    ABORTED = "aborted"
    TOMBSTONE = "tombstone"


class Commit(NamedTuple):
    """One commit: its version, random id, store time (0: not known yet) and who made it.

    ``size`` is the size of the file after it, in bytes; ``pages`` how many pages it wrote.
    """

    version: int
    commit_id: bytes
    time_ms: int
    writer: str
    size: int
    pages: int


class Died(NamedTuple):
    """An object that no version from ``died`` on refers to; versions from ``first`` to before do."""

    ref: ObjectRef
    first: int
    died: int


class HistoryName(NamedTuple):
    """A history object and the store time at which the commit after it was made (0: unknown)."""

    name: ObjectName
    time_ms: int


class Pin(NamedTuple):
    """A version that must stay readable: a checkpoint (by name) or a fork (by the child's prefix).

    ``database_id`` is that of the pinned version: pins outlive a removal under the same key.
    """

    pin_id: bytes
    database_id: bytes
    version: int
    name: str
    child_prefix: str


class Owner(NamedTuple):
    """A database whose objects a fork refers to: where it lies, and the pin there that keeps them."""

    prefix: str
    database_id: bytes
    pin_id: bytes
    version: int


class Restore(NamedTuple):
    """Version ``version`` was made by restoring ``restored``."""

    restored: int
    version: int


class Condemned(NamedTuple):
    """Objects about to be deleted (invariant I5)."""

    batch_id: bytes
    refs: tuple[ObjectRef, ...]


def _no_dead() -> Mapping[ObjectName, DeadBlocks]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of a database.

    ``predecessor`` is the database id of the tombstone that was replaced when the database was made;
    empty where its key did not exist, which can have been so only once (I7).
    ``owners`` are the databases that a fork borrows from; rows are never changed or removed.
    Who does not know all ``features`` must not read; who does not know all ``write_features`` must
    not commit.
    ``dead`` counts, by segment, blocks that no locator refers to any more, as far as the segment's
    home piece has not counted them; a segment whose blocks are all dead moves to ``died``, the list
    of what died since the newest history object.
    """

    database_id: bytes
    page_size: int
    size: int
    block_size: int
    retention_seconds: int
    version: int
    commits: tuple[Commit, ...]
    blocks: BlockMap = field(default_factory=BlockMap)
    tail: tuple[TailEntry, ...] = ()
    interior: tuple[InteriorPage, ...] = ()
    dead: Mapping[ObjectName, DeadBlocks] = field(default_factory=_no_dead)
    died: tuple[Died, ...] = ()
    history: tuple[HistoryName, ...] = ()
    pins: tuple[Pin, ...] = ()
    restores: tuple[Restore, ...] = ()
    oldest_readable: int = 1
    condemned: Condemned | None = None
    floor_ms: int = 0
    conditions_proven: bytes = b""
    state: State = State.LIVE
    fork_id: bytes = b""
    predecessor: bytes = b""
    owners: tuple[Owner, ...] = ()
    features: tuple[str, ...] = ()
    write_features: tuple[str, ...] = ()

    @property
    def commit_id(self) -> bytes:
        """The id of the commit that made this version; empty before the first."""
        return self.commits[-1].commit_id if self.commits else b""

    @property
    def block_count(self) -> int:
        """Blocks of the database file."""
        return unit_count(self.size, self.block_size)

    def commit_id_of(self, version: int) -> bytes | None:
        """The commit id of a recent version; None where it is not remembered here."""
        index = version - self.version - 1 + len(self.commits)
        return self.commits[index].commit_id if 0 <= index < len(self.commits) else None


class RuleBrokenError(AssertionError):
    """A manifest breaks a rule of the format: our own mistake, or a foreign object."""


def check_manifest(manifest: Manifest) -> None:
    """The rules of a single manifest, checked before writing and after reading.

    Raises:
        RuleBrokenError: a rule is broken; the reader turns it into ``CorruptError``.
    """
    versions = [commit.version for commit in manifest.commits]
    _rule(bool(versions), "the newest commit is named")
    _rule(versions[-1] == manifest.version, "the newest commit is the last")
    _rule(versions == list(range(versions[0], versions[0] + len(versions))), "commits have no gaps")
    _rule(manifest.block_size > 0, "blocks have a size")
    _rule(manifest.page_size > 0 or not manifest.size, "a database with content has a page size")
    _rule(manifest.page_size in _PAGE_SIZES, "page sizes are powers of two from 512 to 65536")
    if manifest.tail:                   # all at once: there may be hundreds, at each commit
        pages, wrote, _, _ = zip(*manifest.tail, strict=True)
        in_file = (max(pages) - 1) * manifest.page_size < manifest.size
        _rule(in_file, "tail pages lie in the file (I3)")
        named = versions[0] <= min(wrote) and max(wrote) <= manifest.version
        _rule(named, "tail commits are named (I2)")
    copies = [copy.page for copy in manifest.interior]
    in_file = not copies or (min(copies) > 0 and max(copies) * manifest.page_size <= manifest.size)
    _rule(in_file, "interior copies are whole pages of the file")
    recent = manifest.blocks.recent
    _rule(not recent or max(recent) < manifest.block_count, "mapped blocks lie in the file")
    whole = all(0 < found.valid <= manifest.block_size for found in recent.values())
    _rule(whole, "valid bytes lie in the block")
    _rule(1 <= manifest.oldest_readable <= manifest.version, "the newest version is readable")
    _rule(manifest.commits[-1].size == manifest.size, "the newest commit has the file's size")
    condemned = manifest.condemned.refs if manifest.condemned else ()
    single = all(ref.role is not Role.CONTENT for ref in condemned)
    _rule(single, "objects are condemned one by one (I5)")
    _rule(not condemned or _named(manifest).isdisjoint(condemned), "the condemned is not in use (I5)")


def _named(manifest: Manifest) -> set[ObjectRef]:
    """The database's own objects that the manifest itself names, but for those that died."""
    sources = {found.source for found in manifest.blocks.recent.values() if not found.source.owner}
    named = {
        Role.SEGMENT: [source.name for source in sources if isinstance(source, SegmentSource)],
        Role.MAP_PIECE: [ref.name for ref in manifest.blocks.pieces.values()],
        Role.MAP_NODE: [ref.name for ref in manifest.blocks.nodes.values()],
        Role.HISTORY: [row.name for row in manifest.history],
    }
    return {ObjectRef.named(role, name) for role, names in named.items() for name in names}


def unknown_write_features(manifest: Manifest) -> list[str]:
    """What the manifest holds that this release would lose if it replaced it."""
    return [name for name in manifest.write_features if name not in KNOWN_WRITE_FEATURES]


def check_successor(base: Manifest | None, new: Manifest) -> None:
    """The rules between a manifest and the one that replaces it.

    Raises:
        RuleBrokenError: a rule is broken.
    """
    check_manifest(new)
    if base is None:
        return
    if base.state in (State.TOMBSTONE, State.ABORTED) and new.database_id != base.database_id:
        _check_made_anew(base, new)
        return
    _rule(new.state is base.state or new.version > base.version, "states change with versions (I7)")
    _rule(new.database_id == base.database_id, "a database keeps its id")
    _rule(new.block_size == base.block_size, "a database keeps its block size")
    _rule(new.version in (base.version, base.version + 1), "versions have no gaps")
    _rule(new.oldest_readable >= base.oldest_readable, "condemnation is final (I5)")
    _rule(new.floor_ms >= base.floor_ms, "the floor never falls (I6)")
    fresh = [made.restored for made in new.restores if made not in base.restores]
    fresh += [
        pin.version
        for pin in new.pins
        if pin not in base.pins and pin.database_id == new.database_id
    ]
    held = {pin.version for pin in base.pins if pin.database_id == new.database_id}
    readable = all(version >= new.oldest_readable or version in held for version in fresh)
    _rule(readable, "what is pinned or restored can be read (I5)")
    maintenance = new.version == base.version
    _rule(not maintenance or new.commit_id == base.commit_id, "maintenance makes no version")


def _check_made_anew(removed: Manifest, new: Manifest) -> None:
    """The rules for the manifest that takes the place of a removed database (I7)."""
    _rule(new.predecessor == removed.database_id, "what is made anew names what it replaces")
    _rule(new.version == removed.version + 1, "versions have no gaps")
    _rule(new.oldest_readable == new.version, "what was removed cannot be read")
    _rule(new.floor_ms >= removed.floor_ms, "the floor never falls (I6)")
    _rule(set(new.pins) >= set(removed.pins), "pins outlive a removal (I7)")


def _rule(holds: bool, rule: str) -> None:
    if not holds:
        raise RuleBrokenError(rule)

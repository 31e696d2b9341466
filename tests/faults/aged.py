"""A database of which much fell out of retention, those who commit to it, and a store that watches.

Twelve versions: a checkpoint holds the fifth, a fork the sixth; up to the ninth they are too old, the
others are not. The bytes of a version are known from its number, of later ones, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from unittest.mock import patch

from past.world import FIRST_PAGE, PAGE_SIZE

from faults.trials import NAME, Told, body_of, engine_on, require
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CommitUnknownError, S3VFSError
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.past import Moment, checkpoint_create, fork, open_at, set_retention, verify
from sqlite_s3vfs.planning import commit as planning
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, Stored
from sqlite_s3vfs.testing import At, FaultyStore, ManualClock, SeededIds, WriterDiedError

CHILD = "some/child"
SETTINGS = Settings(block_size=2048, segment_size=64 << 10, retention_seconds=86_400)
RETENTION = 60
PAGES = 24
NEWEST, FIRST_YOUNG, PINNED, FORKED = 12, 10, 5, 6
LATER = 400.0
"""Seconds after the start at which the tests begin."""
FOLLOW_UPS = 5


def page_of(number: int, version: int) -> bytes:
    return Random(f"{number} {version}").randbytes(PAGE_SIZE)


def pages_written(version: int) -> Sequence[int]:
    """Version 1 writes all pages, each later one some of them; the first page always."""
    return range(1, PAGES + 1) if version == 1 else (1, *range(2 + version % 3, PAGES + 1, 4))


@functools.cache
def file_of(version: int) -> bytes:
    """The bytes of a version."""
    if version == 0:
        return bytes(PAGES * PAGE_SIZE)
    file = bytearray(file_of(version - 1))
    for number in pages_written(version):
        file[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] = page_of(number, version)
    file[:PAGE_SIZE] = FIRST_PAGE
    file[24:28] = file[92:96] = version.to_bytes(4, "big")
    file[28:32] = PAGES.to_bytes(4, "big")
    return bytes(file)


def commit(
    database: Database, *, in_blocks: bool = False, begun: Callable[[], object] = lambda: None
) -> None:
    """The next version; ``begun`` is called when the transaction has begun."""
    transaction = database.begin(database.snapshot())
    version = transaction.base.version + 1
    file = file_of(version)
    try:
        begun()
        for number in pages_written(version):
            offset = (number - 1) * PAGE_SIZE
            transaction.write(offset, file[offset : offset + PAGE_SIZE])
        with patch.object(planning, "TAIL_COMMIT_MAX", 50 if in_blocks else 32 << 10):
            transaction.commit(len(file))
    finally:
        transaction.close()


def database_on(store: object, name: str = NAME, *, seed: str) -> Database:
    engine = engine_on(store, SETTINGS, seed)  # type: ignore[arg-type]
    engine.conditions_proven = True
    return Database(engine, name)


@functools.cache
def prepared() -> Mapping[str, bytes]:
    clock = ManualClock()
    store = MemoryObjectStore(clock=clock, ids=SeededIds("prepare"))
    database = database_on(store, seed="prepare")
    for version in range(1, NEWEST + 1):
        if version == FIRST_YOUNG + 1:
            clock.advance(LATER - 20)
        clock.advance(1)
        commit(database, in_blocks=version % 3 != 0)
        if version == PINNED:
            checkpoint_create(database, "kept", Moment(version=PINNED))
        if version == FORKED:
            fork(database, Database(database.engine, CHILD), Moment(version=FORKED))
    set_retention(database, RETENTION)                  # only now anything is too old
    return {row.key: body_of(store, row.key) for row in store.list("")}


class WatchedStore(MemoryObjectStore):
    """Notes what may never happen, whoever asks for it: ``wrongs``."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock=clock, ids=SeededIds("store"))
        self.wrongs: list[str] = []
        self.deleted: set[str] = set()
        self._keys = DatabaseKeys(NAME)

    def delete(self, keys: Sequence[str]) -> None:
        found = self.get(self._keys.manifest)
        condemned = _condemned(decode_manifest(found.body)) if isinstance(found, Fetched) else set()
        early = (set(keys) & set(prepared())) - condemned - self.deleted
        if early:
            self.wrongs.append(f"deleted, and not condemned: {sorted(early)}")
        self.deleted.update(keys)
        super().delete(keys)

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        before = self.get(key) if key == self._keys.manifest else None
        stored = super().put(key, body, if_match=if_match, if_absent=if_absent)
        if isinstance(before, Fetched):
            old = _condemned(decode_manifest(before.body))
            left = old - _condemned(decode_manifest(bytes(body)))
            here = sorted(lost for lost in left if isinstance(self.get(lost), Fetched))
            if here:
                self.wrongs.append(f"forgotten, and still there: {here}")
        return stored


def _condemned(manifest: Manifest) -> set[str]:
    refs = manifest.condemned.refs if manifest.condemned else ()
    return {DatabaseKeys(NAME).of(ref) for ref in refs}


class Bench:
    """A copy of the database, and a process that commits to it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.clock.advance(LATER)
        self.store = WatchedStore(self.clock)
        for key, body in prepared().items():
            self.store.put(key, body)
        self.line = FaultyStore(self.store)
        self.process = database_on(self.line, seed="process")
        self.done = 0

    def restart(self) -> None:
        """Another process takes the place of the one that died."""
        self.line = FaultyStore(self.store)
        self.process = database_on(self.line, seed="another")
        self.done = self.fresh().snapshot().version - NEWEST

    def fresh(self, name: str = NAME, *, seed: str = "fresh") -> Database:
        return database_on(self.store, name, seed=seed)

    def commit(self, database: Database, **how: object) -> None:
        self.clock.advance(0.5)
        commit(database, **how)  # type: ignore[arg-type]
        self.done += 1

    def keys(self) -> set[str]:
        return {row.key for row in self.store.list("")}


@dataclass(frozen=True)
class Kind:
    """What a process does, call by call, in one world after the other; ``before`` nothing strikes."""

    act: Callable[[Bench], None]
    before: Callable[[Bench], None] = lambda bench: None


def trial(kind: Kind, *strikes: At) -> tuple[Bench, Told]:
    """Have the process do it, struck or not; what it was told of its last commit."""
    bench = Bench()
    kind.before(bench)
    bench.line.plan(*strikes)
    try:
        kind.act(bench)
    except WriterDiedError:
        return bench, "died"
    except CommitUnknownError:
        return bench, "unknown"
    except S3VFSError:
        return bench, "refused"
    return bench, "committed"


def judge(bench: Bench, told: Told, doomed: frozenset[str]) -> None:
    """Every promise holds; and others go on until what is ``doomed`` is gone."""
    check(bench)
    newest = bench.fresh().snapshot().version
    least = NEWEST + bench.done
    most = least + (told in ("unknown", "died"))
    require(least <= newest <= most, f"told {told}, and version {newest} is the newest")
    bench.line.heal()
    bench.line.deliver()
    other = bench.fresh(seed="other")
    for _ in range(FOLLOW_UPS):
        bench.commit(other)
    check(bench)
    require(not bench.store.wrongs, "; ".join(bench.store.wrongs))
    left = doomed & bench.keys()
    require(not left, f"nobody deletes {sorted(left)}")


def check(bench: Bench) -> None:
    """A reader who knows nothing reads every version that is promised, and everything is whole."""
    fresh = bench.fresh()
    manifest = fresh.snapshot().manifest
    require(manifest.oldest_readable <= FIRST_YOUNG, "a version within retention is given up")
    pinned = {pin.version for pin in manifest.pins}
    for version in sorted({*range(manifest.oldest_readable, manifest.version + 1), *pinned}):
        snapshot = open_at(fresh, Moment(version=version))
        content = bytes(snapshot.read(0, snapshot.size))
        require(content == file_of(version), f"version {version} is another one")
    child = bench.fresh(CHILD)
    snapshot = child.snapshot()
    require(bytes(snapshot.read(0, snapshot.size)) == file_of(FORKED), "the fork is another version")
    require(verify(fresh).whole and verify(child).whole, "something that is needed is gone")


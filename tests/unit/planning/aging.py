"""The world of ``world`` with time: versions fall out of retention, are pinned, and are got rid of.

After every step: what can be asked for can be read byte for byte, and whatever the manifest of a
readable version refers to is there. At the end nothing is left that nobody needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlite_s3vfs.format.manifest import Manifest, Pin
from sqlite_s3vfs.format.manifestcodec import decode_manifest, encode_manifest
from sqlite_s3vfs.past.moments import Moment
from sqlite_s3vfs.past.restoring import restore
from unit.independent import Version, name_of
from unit.planning.accounting import HISTORY, KINDS, Held, Thing, held_by
from unit.planning.world import (
    NEVER_BY_ITSELF,
    PREFIX,
    RAISED,
    RETENTION,
    SMALL_LIMITS,
    Commit,
    Fold,
    Objects,
    Operation,
    World,
    Write,
    limits,
)

AGING_LIMITS = SMALL_LIMITS | NEVER_BY_ITSELF | {"DIED_DUE_MIN": 1}
LATE = 6
"""Versions whose objects may still be on their way out."""
ROUNDS = 12
"""Commits after which whatever can be got rid of is gone."""


@dataclass(frozen=True)
class Tick:
    """So many seconds go by."""

    seconds: int


@dataclass(frozen=True)
class Plan:
    """What a writer finds in the background; its next commit condemns it."""

    by: int = 0


@dataclass(frozen=True)
class PinOne:
    """A checkpoint of a readable version, told by how far it is back."""

    back: int


@dataclass(frozen=True)
class UnpinAll:
    """All checkpoints go."""


@dataclass(frozen=True)
class Restore:
    """A readable version becomes the newest again, told by how far it is back."""

    back: int
    by: int = 0


Step = Operation | Tick | Plan | PinOne | UnpinAll | Restore


class AgingWorld(World):
    """Two writers, the model with its times, and the checks."""

    def __init__(self, page_size: int, block_size: int) -> None:
        super().__init__(page_size, block_size)
        self._made: dict[int, float] = {}
        self._held: dict[int, Held] = {0: Held()}
        self._lost: set[Thing] = set()
        self._read: set[object] = set()

    def take(self, step: Step) -> None:
        match step:
            case Tick(seconds):
                self.clock.advance(seconds)
            case Plan(by):
                if self.files:
                    self.writers[by].plan_condemning()
            case PinOne(back):
                self._maintain(lambda manifest: _pinned(manifest, back))
            case UnpinAll():
                self._maintain(lambda manifest: replace(manifest, pins=()))
            case Restore(back, by):
                if self.files:
                    self._restore(back, by)
            case Fold(by):
                if self.file:
                    self.writers[by].fold()
            case _:
                self.apply(step)

    def _restore(self, back: int, by: int) -> None:
        database = self.writers[by]
        oldest = database.snapshot().manifest.oldest_readable
        version = max(oldest, self.version - back)
        restore(database, Moment(version=version))
        self.file = bytearray(self.files[version])
        stored = self.stored.newest().file()
        for part in RAISED if self.file else ():
            self.file[part] = stored[part]
        self.page_size = self.stored.newest().fields["page_size"] or self.page_size
        self.files[self.version + 1] = bytes(self.file)
        self.check()

    def check(self) -> None:
        newest = self.stored.newest()
        if newest.version not in self._held:
            self._made[newest.version] = self.clock.now()
            before, held = self._held[newest.version - 1], held_by(newest)
            self._held[newest.version] = held
            gone = before.homes - held.homes
            self._lost |= {thing for thing in before.counted if before.totals[thing][2] in gone}
        self._check_contents(newest)

    def finish(self) -> None:
        """Let everything fall out of retention; then nothing is there that nobody needs."""
        for writer in self.writers:
            writer.close()
        for _ in range(ROUNDS):
            self.take(Tick(2 * RETENTION))
            self.take(Plan())
            self.take(Commit((Write(tuple(range(2, 10))),)))       # too much for the tail
        self._check_bounded()

    def _check_contents(self, newest: Version) -> None:
        oldest = newest.fields["oldest_readable"]
        pinned = {row[2] for row in newest.fields["pins"]}
        named = {("history", row[0], row[1]) for row in newest.fields["history"]}
        assert named <= self._things_here(), "a history object is named, and gone"
        by_age = [v for v in self.files if self._age(v) < RETENTION]
        assert oldest <= min(by_age), f"version {min(by_age)} is within retention, {oldest} the oldest"
        here = self._things_here()
        for version in range(oldest, self.version + 1):
            lacking = self._held[version].things - here
            assert not lacking, f"a reader of version {version} needs {lacking}, which is gone"
        kept = [*self.stored.history(), newest]
        for version in sorted({*pinned, *range(oldest, self.version + 1)}):
            self._check_version(version, next(one for one in kept if one.version >= version), here)

    def _check_version(self, version: int, serving: Version, here: set[Thing]) -> None:
        """It can be rebuilt; what was read once is not read again, but has to be there."""
        place = (serving.version, len(serving.fields["tail"]))
        lacking = self._held[serving.version].things - here
        assert not lacking, f"version {version} needs {lacking}, which is gone"
        if (version, place) not in self._read:
            assert serving.file(version) == self.files[version], f"version {version} is another file"
            self._read.add((version, place))

    def _age(self, version: int) -> float:
        made = self._made.get(version + 1)
        return 0 if made is None else self.clock.now() - made

    def _check_bounded(self) -> None:
        newest = self.stored.newest()
        oldest = newest.fields["oldest_readable"]
        pinned = {row[2] for row in newest.fields["pins"]}
        serving = {self.stored.serving(version).version for version in pinned}
        counted = self._held[self.version].counted
        # Counted whole, but in two places that the next fold of the map adds up.
        needed = self._lost | {t for t in counted if counted[t] == self._held[self.version].totals[t][1]}
        for version, held in self._held.items():
            if version >= min(oldest, self.version - LATE) or version in serving:
                needed |= held.things
        for ref in (newest.fields["condemned"] or (b"", []))[1]:
            needed.add(("history" if ref[0] == HISTORY else KINDS[ref[0]], ref[1], ref[2]))
        for row in newest.fields["history"]:
            needed.add(("history", row[0], row[1]))
        if newest.fields["restores"]:
            return     # what came and went twice may count as needed in between
        left = self._things_here() - needed
        assert not left, f"nobody needs {sorted(left)[:3]}, and it is there"
        assert not [row for row in newest.fields["history"] if row[0] < oldest and not pinned]

    def _things_here(self) -> set[Thing]:
        kinds = {"segments": "segment", "maps": "map", "history": "history"}
        found = set()
        for key in Objects(self.store):
            kind, _, name = key.removeprefix(f"{PREFIX}/").partition("/")
            if kind in kinds:
                version, _, random = name.partition("-")
                assert name == name_of(int(version), bytes.fromhex(random))
                found.add((kinds[kind], int(version), bytes.fromhex(random)))
        return found

    def _maintain(self, change) -> None:
        if not self.files:
            return
        found = self.store.get(f"{PREFIX}/manifest")
        changed = change(decode_manifest(found.body))
        nonce = len(self.files).to_bytes(4, "big") + int(self.clock.now()).to_bytes(4, "big")
        self.store.put(f"{PREFIX}/manifest", encode_manifest(changed, nonce), if_match=found.etag)


def _pinned(manifest: Manifest, back: int) -> Manifest:
    version = max(manifest.oldest_readable, manifest.version - back)
    pin = Pin(len(manifest.pins).to_bytes(8, "big"), manifest.database_id, version, f"v{version}", "")
    return replace(manifest, pins=(*manifest.pins, pin))


def live(steps: Sequence[Step], page_size: int = 4096, block_size: int = 65536) -> AgingWorld:
    """A history of a database from its first commit to where all of it has aged."""
    with limits(AGING_LIMITS):
        world = AgingWorld(page_size, block_size)
        for step in steps:
            world.take(step)
        if world.files:
            world.finish()
    return world

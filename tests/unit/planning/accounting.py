"""The dead and the died, recounted from the maps of all versions (I5)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from unit.independent import Row, Stored, Version

Thing = tuple[str, int, bytes]
"""Kind, number and random part of an object."""

SEGMENT, MAP_PIECE, MAP_NODE, HISTORY, OLD_BLOCK, OLD_JOURNAL, CONTENT = range(7)
KINDS = {SEGMENT: "segment", MAP_PIECE: "map", MAP_NODE: "map", OLD_BLOCK: "old"}


@dataclass
class Held:
    """What one version refers to."""

    live: Counter[Thing] = field(default_factory=Counter)
    maps: set[Thing] = field(default_factory=set)
    below: dict[Thing, set[Thing]] = field(default_factory=dict)
    totals: dict[Thing, tuple[int, int, int]] = field(default_factory=dict)
    counted: Counter[Thing] = field(default_factory=Counter)
    homes: set[int] = field(default_factory=set)

    def first(self, thing: Thing) -> int:
        """The first version that refers to an object, as this one tells."""
        kind, number, _ = thing
        return {"map": number, "old": 1}.get(kind) or self.totals[thing][0]

    @cached_property
    def things(self) -> set[Thing]:
        return set(self.live) | self.maps


def held_by(version: Version) -> Held:
    held = Held()
    for block, (source, *_) in version.locators.items():
        if source[0] == 1:
            held.live[("old", block, b"")] += 1
        else:
            thing = ("segment", source[2], source[3])
            held.live[thing] += 1
            held.totals[thing] = tuple(source[4:7])          # first, blocks, home
    for row, inner in version.nodes:
        own = ("map", row[1], row[2])
        held.maps.add(own)
        held.below[own] = {("map", ref[1], ref[2]) for ref in inner}
    held.maps |= {("map", row[1], row[2]) for row in version.fields["map"]["pieces"]}
    held.maps |= {thing for inner in held.below.values() for thing in inner}
    held.homes = set(version.pieces)
    for row in version.fields["dead"]:
        _count(held, row)
    for _, payload in version.pieces.values():
        for row in payload["dead"]:
            _count(held, row)
    return held


def _count(held: Held, row: Row) -> None:
    thing = ("segment", row[0], row[1])
    held.counted[thing] += row[5]
    held.totals.setdefault(thing, (row[3], row[4], row[2]))


class Accounts:
    """Every version's references, taken down as it is published."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {0: Held()}
        self._lost: set[Thing] = set()

    def check(self, stored: Stored) -> None:
        """Take down the newest version and compare all that is counted."""
        newest = stored.newest()
        self._held[newest.version] = held_by(newest)
        self._note_lost(newest.version)
        gone = self._gone(stored)
        self._check_safe(gone)
        self._check_served(stored, gone)
        self._check_complete(newest.version, gone)

    def _note_lost(self, version: int) -> None:
        """A home piece that was dropped takes its counts along: that may leak, and only that."""
        before, after = self._held[version - 1], self._held[version]
        dropped = before.homes - after.homes
        self._lost |= {
            thing for thing in before.counted if before.totals[thing][2] in dropped
        }

    def _gone(self, stored: Stored) -> dict[Thing, tuple[int, int]]:
        """First and died of every object that is recorded as dead, in history or in the manifest."""
        rows: dict[tuple[object, ...], Row] = {}
        for version in (*stored.history(), stored.newest()):
            for row in version.fields["died"]:
                assert row[2] <= version.version
                rows[(*row[0], row[2])] = row
        found: dict[Thing, tuple[int, int]] = {}
        for (role, number, random), first, died in rows.values():
            for thing, own_first in self._expanded(role, number, random, first, died).items():
                found.setdefault(thing, (own_first, died))
        return found

    def _expanded(
        self, role: int, number: int, random: bytes, first: int, died: int
    ) -> dict[Thing, int]:
        """The objects that a row stands for, each with the first version that refers to it."""
        if role == CONTENT:
            held = self._held[number]
            left = (held.things | set(held.counted)) - self._held[died].things
            return {thing: held.first(thing) for thing in left}
        thing = (KINDS[role], number, random)
        if role == MAP_NODE:
            below = self._held[died - 1].below[thing] - self._held[died].things
            return {inner: inner[1] for inner in below} | {thing: first}
        return {thing: first}

    def _check_safe(self, gone: dict[Thing, tuple[int, int]]) -> None:
        """Nothing that is referred to counts as dead, and ``first`` is not too late."""
        for thing, (first, died) in gone.items():
            holders = [version for version, held in self._held.items() if thing in held.things]
            assert all(version < died for version in holders), f"{thing} died {died}, held {holders}"
            assert all(version >= first for version in holders), f"{thing} from {first}, {holders}"

    def _check_served(self, stored: Stored, gone: dict[Thing, tuple[int, int]]) -> None:
        """What a version is read through counts as its own: first ≤ version < died."""
        serving = [*stored.history(), stored.newest()]
        for version in range(1, serving[-1].version + 1):
            through = next(kept.version for kept in serving if kept.version >= version)
            held = self._held[through]
            for thing in held.things:
                first, died = gone.get(thing, (held.first(thing), version + 1))
                assert first <= version < died, f"{thing} of {first} to {died} serves {version}"

    def _check_complete(self, version: int, gone: dict[Thing, tuple[int, int]]) -> None:
        """What is dead is recorded, or counted up to the last block in the manifest and its home."""
        held = self._held[version]
        for thing in set().union(*(other.things for other in self._held.values())):
            if thing in held.things or thing in gone or thing in self._lost:
                continue
            assert thing[0] == "segment", f"{thing} is dead, and nothing records it"
            counted = thing in held.totals and held.counted[thing] == held.totals[thing][1]
            assert counted, f"{thing} is dead, and not counted"
        for thing in held.totals.keys() - self._lost - gone.keys():
            _, blocks, _ = held.totals[thing]
            dead = blocks - held.live[thing]
            assert held.counted[thing] == dead, f"{thing}: {held.counted[thing]} of {dead} counted"

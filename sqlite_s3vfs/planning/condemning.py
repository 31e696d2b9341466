"""What to condemn of that which fell out of retention (invariant I5); pure.

Each history object lists what died since the one before it. When every version that it serves is too
old, so is all that it lists: these objects and then the history object itself are condemned, the
oldest first, a bounded number at a time. What a pin needs stays, and the history object that lists it
stays, too, so that it is found when the pin is gone. What a restore brought back is in use again and
will be listed once more when it dies again.

A plan is made in the background from one manifest and carried by a later commit. There it is held
against the manifest that is replaced, whose pins and restores decide. Where somebody else has
condemned since, or the retention is another, the plan counts for nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from sqlite_s3vfs.format.keys import ObjectName, ObjectRef, Role
from sqlite_s3vfs.format.manifest import (
    HISTORY_NAMES,
    Condemned,
    Died,
    HistoryName,
    Manifest,
    Restore,
)

BATCH_MAX = 500
"""References in one batch: one DELETE, and about 8 KiB in the manifests that carry it."""
DIED_DUE_MIN = 8
"""Dead objects that no history object lists yet are worth a batch of their own from this many on."""
_TIME = attrgetter("time_ms")


@dataclass(frozen=True, slots=True)
class Expired:
    """A history object that serves no version within retention, and what it lists, one by one.

    It serves the versions above ``after``. ``listed`` is false while not all that it lists is known.
    """

    row: HistoryName
    after: int
    died: tuple[Died, ...]
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What may be condemned next, and the state of the manifest that this rests on.

    ``oldest_readable`` is the new one; ``expired`` ascends.
    """

    batch_id: bytes
    database_id: bytes
    oldest_before: int
    retention_seconds: int
    oldest_readable: int
    expired: tuple[Expired, ...]


def first_in_retention(manifest: Manifest, time_ms: int, now_ms: int) -> int:
    """The smallest version that may still be asked for, pins aside; never below what it was.

    ``time_ms`` is the store time of the newest version, ``now_ms`` the store's now. A version's age
    counts from the time of its successor: where a version itself is of age, all before it go.
    """
    latest = now_ms - manifest.retention_seconds * 1000
    before = manifest.commits[:-1]                # their times rise (I8); there may be hundreds
    count = bisect_right(before, latest, key=_TIME)
    commits = (*before[max(0, count - 1) : count], *manifest.commits[-1:])
    times = [(commit.version, commit.time_ms) for commit in commits]
    times += [(row.name.version + 1, row.time_ms) for row in manifest.history]
    times.append((manifest.version, time_ms))
    of_age = (version for version, made_ms in times if 0 < made_ms <= latest)
    return max((manifest.oldest_readable, *of_age))


def first_of_age(rows: Iterable[HistoryName], manifest: Manifest, now_ms: int) -> int:
    """Likewise, as the times of history objects tell that the manifest may not name."""
    latest = now_ms - manifest.retention_seconds * 1000
    of_age = (row.name.version + 1 for row in rows if 0 < row.time_ms <= latest)
    return max((manifest.oldest_readable, *of_age))


def is_due(manifest: Manifest, first_wanted: int, held: Collection[ObjectName]) -> bool:
    """Whether there is something to condemn. ``held`` are history objects that are known to stay."""
    if any(row.name.version < first_wanted and row.name not in held for row in manifest.history):
        return True
    return len(_unlisted(manifest, first_wanted)) >= DIED_DUE_MIN


def is_valid(plan: Plan, base: Manifest) -> bool:
    """Whether the plan still holds for a commit on ``base``."""
    return (plan.database_id, plan.oldest_before, plan.retention_seconds) == (
        base.database_id,
        base.oldest_readable,
        base.retention_seconds,
    )


def with_condemned(
    base: Manifest, plan: Plan | None, *, cleared: bytes = b"", condemned: Condemned | None = None
) -> Manifest:
    """``base`` as far as condemning changes it: no other field, and nothing that can be read.

    ``cleared`` is the batch of which every DELETE was answered; another one is carried on, and nothing
    condemned beside it. ``condemned`` goes before ``plan``.
    """
    if base.condemned and base.condemned.batch_id == cleared:
        base = replace(base, condemned=None)
    if condemned:
        assert base.condemned is None, "one batch at a time"
        return replace(base, condemned=condemned)
    if plan is None or base.condemned or not is_valid(plan, base):
        return base
    return _condemn(base, plan)


def _condemn(base: Manifest, plan: Plan) -> Manifest:
    refs: dict[ObjectRef, None] = {}
    gone: set[ObjectName] = set()
    for expired in plan.expired:
        refs.update((row.ref, None) for row in _free(expired.died, base, plan.oldest_readable))
        if len(refs) >= BATCH_MAX:
            break
        if expired.listed and not is_held(expired, base):
            refs[ObjectRef.named(Role.HISTORY, expired.row.name)] = None
            gone.add(expired.row.name)
    refs.update((row.ref, None) for row in _unlisted(base, plan.oldest_readable))
    if not refs:
        return base
    batch = Condemned(plan.batch_id, tuple(refs)[:BATCH_MAX])
    known = {row.name: row for row in (*(found.row for found in plan.expired), *base.history)}
    left = tuple(row for name, row in sorted(known.items()) if name not in gone)
    chosen = frozenset(batch.refs)
    return replace(
        base,
        oldest_readable=plan.oldest_readable,
        condemned=batch,
        history=named_history(left, plan.oldest_readable),
        died=tuple(row for row in base.died if row.ref not in chosen),
    )


def named_history(
    rows: Sequence[HistoryName], oldest_readable: int
) -> tuple[HistoryName, ...]:
    """Those of all known history objects, ascending, that a manifest names.

    The newest, and the oldest of those that stay though nothing from ``oldest_readable`` on is read
    from them: whoever condemns looks there first.
    """
    below = [row for row in rows if row.name.version < oldest_readable]
    return (*below[:HISTORY_NAMES], *rows[len(below) :][-HISTORY_NAMES:])


def is_held(expired: Expired, base: Manifest) -> bool:
    """Whether a pin keeps a history object: its version is read from it, or it lists what that needs."""
    pins = _pinned_versions(base)
    if any(expired.after < pin <= expired.row.name.version for pin in pins):
        return True
    return any(_is_pinned(row, pins) for row in expired.died)


def _unlisted(base: Manifest, oldest_readable: int) -> list[Died]:
    """What is free of that which no history object lists yet, single objects only."""
    single = (row for row in base.died if row.ref.role not in (Role.CONTENT, Role.MAP_NODE))
    return _free(single, base, oldest_readable)


def _free(died: Iterable[Died], base: Manifest, oldest_readable: int) -> list[Died]:
    """Those of ``died`` that neither a pin needs nor any version from ``oldest_readable`` on."""
    pins = _pinned_versions(base)
    return [
        row
        for row in died
        if row.died <= oldest_readable
        and not _is_pinned(row, pins)
        and not _is_void(row, base.restores)
    ]


def _pinned_versions(base: Manifest) -> list[int]:
    return [pin.version for pin in base.pins if pin.database_id == base.database_id]


def _is_pinned(row: Died, pins: Iterable[int]) -> bool:
    return any(row.first <= pin < row.died for pin in pins)


def _is_void(row: Died, restores: Iterable[Restore]) -> bool:
    return any(row.first <= made.restored < row.died < made.version for made in restores)

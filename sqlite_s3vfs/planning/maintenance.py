"""What maintenance changes in a manifest: everything but the content (docs/format.md, 12.3, rule 2).

Each of these is a pure function of the manifest that is replaced, so that it is computed once more
where another one has come first.
"""

from __future__ import annotations

from dataclasses import replace

from sqlite_s3vfs.format.manifest import Manifest, Pin


def stamped(manifest: Manifest, time_ms: int) -> Manifest:
    """The manifest with its newest commit's time; ``time_ms`` is when the store took it (I8)."""
    if not manifest.commits:
        return manifest
    newest = manifest.commits[-1]
    before = manifest.commits[-2].time_ms if len(manifest.commits) > 1 else 0
    made = newest._replace(time_ms=newest.time_ms or max(time_ms, before))
    history = tuple(
        row._replace(time_ms=made.time_ms)
        if row.name.version + 1 == made.version and not row.time_ms
        else row
        for row in manifest.history
    )
    return replace(manifest, commits=(*manifest.commits[:-1], made), history=history)


def with_pin(manifest: Manifest, pin: Pin) -> Manifest:
    """One more pin; the same manifest where it is there already."""
    return manifest if pin in manifest.pins else replace(manifest, pins=(*manifest.pins, pin))


def without_pins(manifest: Manifest, pin_ids: frozenset[bytes]) -> Manifest:
    """Fewer pins."""
    kept = tuple(pin for pin in manifest.pins if pin.pin_id not in pin_ids)
    return manifest if kept == manifest.pins else replace(manifest, pins=kept)


def with_floor(manifest: Manifest, floor_ms: int) -> Manifest:
    """The collection floor raised; it never falls (I6)."""
    return replace(manifest, floor_ms=max(manifest.floor_ms, floor_ms))


def holds_pin(manifest: Manifest, pin_id: bytes) -> bool:
    """Whether the manifest has the pin."""
    return any(pin.pin_id == pin_id for pin in manifest.pins)


def readable(manifest: Manifest, version: int) -> bool:
    """Whether a version is kept: above the condemned, or held by a pin of this very database (I5)."""
    pinned = any(
        pin.version == version and pin.database_id == manifest.database_id for pin in manifest.pins
    )
    return pinned or manifest.oldest_readable <= version <= manifest.version

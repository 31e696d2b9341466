"""Checkpoints: names for versions, which keep them readable past the retention."""

from __future__ import annotations

from dataclasses import dataclass

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.format.manifest import Manifest, Pin
from sqlite_s3vfs.past.histories import Histories, checkpointed, head_of, manifest_at
from sqlite_s3vfs.past.maintenance import maintain
from sqlite_s3vfs.past.moments import NEWEST, Moment
from sqlite_s3vfs.planning.maintenance import holds_pin, readable, with_pin, without_pins

NAME_SIZE_MAX = 255
"""Bytes of UTF-8 in a checkpoint's name."""
PINS_MAX = 1000
"""More would make every manifest large."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A name for a version."""

    name: str
    version: int
    pin_id: bytes


def checkpoint_create(database: Database, name: str, moment: Moment = NEWEST) -> Checkpoint:
    """Name a version, and keep it until the checkpoint is removed. 1 GET, 1 PUT; of the past 2 more.

    Raises:
        InvalidArgumentError: the name is taken, or cannot be one; or there are too many.
        NotFoundError: no such version. SnapshotTooOldError: it is not kept any more.
        CommitUnknownError: it may have been done.
    """
    _check_name(name)
    kept, head = manifest_at(database, moment)
    version = kept.version
    pin = Pin(database.engine.ids.new_id(), head.manifest.database_id, version, name, "")

    def change(base: Manifest) -> Manifest:
        if holds_pin(base, pin.pin_id):
            return base
        if any(checkpoint.name == name for checkpoint in _checkpoints(base)):
            raise InvalidArgumentError(
                "the name is taken: remove the other checkpoint or choose another name. "
                f"prefix={database.prefix!r} checkpoint={name!r}"
            )
        check_pinnable(database, base, version)
        return with_pin(base, pin)

    maintain(database, change, head=head)
    return Checkpoint(name, version, pin.pin_id)


def checkpoint_list(database: Database) -> tuple[Checkpoint, ...]:
    """The checkpoints, by version. 1 conditional GET.

    Raises:
        NotFoundError: there is no such database.
    """
    found = _checkpoints(head_of(database).manifest)
    return tuple(sorted(found, key=lambda checkpoint: (checkpoint.version, checkpoint.name)))


def checkpoint_remove(database: Database, name: str) -> None:
    """Remove a checkpoint; its version goes when it is older than the retention. 1 GET, 1 PUT.

    Raises:
        NotFoundError: there is none of that name. CommitUnknownError: it may have been done.
    """
    head = head_of(database)
    checkpointed(head.manifest, name, database.prefix)
    gone = frozenset(found.pin_id for found in _checkpoints(head.manifest) if found.name == name)
    maintain(database, lambda base: without_pins(base, gone), head=head)


def check_pinnable(database: Database, base: Manifest, version: int) -> None:
    """Refuse to pin what may be gone already, or one pin too many.

    Raises:
        SnapshotTooOldError, NotFoundError, InvalidArgumentError: one of these.
    """
    if not readable(base, version):
        Histories(database, head_of(database)).check_readable(version)
    if len(base.pins) >= PINS_MAX:
        raise InvalidArgumentError(
            "there are too many checkpoints and forks: remove some. "
            f"prefix={database.prefix!r} pins={len(base.pins)}"
        )


def _checkpoints(manifest: Manifest) -> list[Checkpoint]:
    return [
        Checkpoint(pin.name, pin.version, pin.pin_id)
        for pin in manifest.pins
        if not pin.child_prefix and pin.database_id == manifest.database_id
    ]


def _check_name(name: str) -> None:
    if not name or not name.isprintable() or len(name.encode(errors="replace")) > NAME_SIZE_MAX:
        raise InvalidArgumentError(
            f"a checkpoint's name is printable text of at most {NAME_SIZE_MAX} bytes. name={name!r:.80}"
        )

"""A version into a local file that appears when it is whole, over a connection that may break.

What was written so far lies beside the target, under a name with the version and its commit id. Whoever
finds such a file of the very same version goes on at its end: blocks never change, so the bytes
fit. Whole blocks only are kept: a process that was killed may have written a part of one. Whoever
writes to such a file holds its lock: a second export of the version to the target is refused, and
one of another version leaves the file alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from sqlite_s3vfs.cli.partials import claimed, publish, remove_abandoned
from sqlite_s3vfs.clock import Clock
from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.progress import OnProgress
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.transfer import serialize_snapshot

ATTEMPTS_IN_VAIN = 5
"""Attempts in a row that bring no byte before the download gives up: with boto3's own, minutes."""
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Download:
    """What goes where; ``clock`` waits between attempts."""

    snapshot: Snapshot
    target: Path
    clock: Clock

    @property
    def partial(self) -> Path:
        """Where the bytes lie until they are all there."""
        version = f"v{self.snapshot.version}-{self.snapshot.manifest.commit_id.hex()}"
        return self.target.with_name(f".{self.target.name}.{version}.partial")


@dataclass(frozen=True, slots=True)
class Done:
    """How it went: the bytes that were there already, and how often the connection broke."""

    resumed_at: int
    interruptions: int


def download(wanted: Download, on_progress: OnProgress) -> Done:
    """Write the version to its target.

    Raises:
        StoreUnavailableError: nothing came for a while. What came is kept, and the next call goes on.
        CorruptError, SnapshotTooOldError, AccessDeniedError: as any reading.
        ConflictError: another process writes the same version to the same target.
        OSError: the file cannot be written.
    """
    snapshot, partial = wanted.snapshot, wanted.partial
    with claimed(partial) as file:
        resumed_at = position = _whole_blocks(file.tell(), snapshot)
        file.truncate(position)
        in_vain = interruptions = 0
        while position < snapshot.size:
            before = position
            try:
                for chunk in serialize_snapshot(snapshot, start=position, on_progress=on_progress):
                    file.write(chunk)
                    position += len(chunk)
            except StoreUnavailableError as error:
                interruptions += 1
                in_vain = in_vain + 1 if position == before else 0
                if in_vain == ATTEMPTS_IN_VAIN:
                    raise StoreUnavailableError(
                        "the export broke off: give the same command again, and it goes on where it "
                        f"stopped. file={str(wanted.target)!r} done={position} size={snapshot.size}"
                    ) from error
                wanted.clock.sleep(_PAUSE_SECONDS * 2**in_vain)
        file.flush()
        os.fsync(file.fileno())
        publish(file, partial, wanted.target)
    for other in wanted.target.parent.glob(f".{escape(wanted.target.name)}.v*.partial"):
        remove_abandoned(other)                     # of other versions, which nobody goes on with
    return Done(resumed_at, interruptions)


def _whole_blocks(size: int, snapshot: Snapshot) -> int:
    """How much of a partial file counts."""
    if size > snapshot.size:
        return 0
    return size - size % snapshot.block_size

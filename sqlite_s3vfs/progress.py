"""How far a long call has come. Drawing it is the caller's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """``done_bytes`` of ``total_bytes`` (None: unknown) of the phase ``phase`` are done."""

    phase: str
    done_bytes: int
    total_bytes: int | None


OnProgress = Callable[[Progress], None]


def no_progress(progress: Progress) -> None:
    """The default receiver: nobody watches."""

"""A clock that moves only when it is told to, so that no test waits."""

from __future__ import annotations

import threading


class ManualClock:
    """A ``Clock`` whose time stands still until ``advance`` or ``sleep``, which returns at once.

    ``now`` starts at ``start`` seconds since the epoch and ``monotonic`` at 0; both move together.
    Safe to share between threads.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._elapsed_lock = threading.Lock()

    def now(self) -> float:
        return self._start + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move time forward by ``seconds``, which must not be negative."""
        if seconds < 0:
            raise ValueError(f"time does not go back. seconds={seconds}")
        with self._elapsed_lock:
            self._elapsed += seconds

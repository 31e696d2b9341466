"""Somebody else acts at the worst moment."""

from __future__ import annotations

from collections.abc import Callable

from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.faults import At, Attempt, CallFilter, FaultyStore, Line, StoreCall, T


class _Act:
    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        self._act()
        return attempt()


class BeforeCall(FaultyStore):
    """Once armed, runs ``act`` just before the next call that ``among`` counts."""

    def __init__(self, store: ObjectStore, among: CallFilter, act: Callable[[], object]) -> None:
        super().__init__(store)
        self._strike = At(0, _Act(act), among)

    def arm(self) -> None:
        self.plan(self._strike)

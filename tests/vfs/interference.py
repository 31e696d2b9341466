"""Somebody else acts at the worst moment."""

from __future__ import annotations

import itertools
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import sqlite_s3vfs.vfs
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing.faults import At, Attempt, CallFilter, FaultyStore, Line, StoreCall, T

PACKAGE = str(Path(sqlite_s3vfs.vfs.__file__).parent)


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


@contextmanager
def keyboard_interrupt_at(
    step: int, *, within: str | tuple[str, ...] = PACKAGE, not_at: tuple[str, ...] = ()
) -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt at the line number ``step`` that this thread runs in these files.

    Lines are not where Python looks for signals: it would strike between the body of a ``with lock`` and
    the release, where no signal can. Lines that begin with one of ``not_at`` are left out for that.

    Yields a question: has it been raised?
    """
    steps = itertools.count()
    raised = False

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal raised
        if not frame.f_code.co_filename.startswith(within):
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if line.startswith(not_at):
            return trace
        if event == "line" and not raised and next(steps) == step:
            raised = True
            raise KeyboardInterrupt
        return trace

    assert threading.current_thread() is threading.main_thread()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: raised
    finally:
        sys.settrace(before)

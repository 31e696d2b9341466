"""Steps that a KeyboardInterrupt must not cut in two.

Python raises it in the main thread, between any two instructions. A step that has to end with a clear
outcome (the publish of a commit, invariant I1) therefore runs in a thread of its own while the main
thread waits; the interrupt is delivered when the step has ended. The thread is never joined: a
``join`` that an interrupt cuts short takes a running thread for an ended one (Python 3.11).
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class _Outcome(Generic[T]):
    """What became of a step, handed from one thread to another."""

    def __init__(self) -> None:
        self.ended = False
        # Locks of the interpreter itself: an interrupt inside ``Event`` may leave that locked.
        self.signal = _thread.allocate_lock()
        self.signal.acquire()
        self._value: T | None = None
        self._error: BaseException | None = None
        self._claim = _thread.allocate_lock()

    def settle_by(self, step: Callable[[], T]) -> None:
        """Run ``step``, unless it has been run already: an interrupt may hide that a thread started."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._value = step()
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread as it is
            self._error = error
        self.ended = True
        self.signal.release()

    def result(self) -> T:
        """The value of the step, or its error."""
        # The error's traceback will refer to the callers' variables: kept here it would keep them, and
        # the connections among them, until garbage collection finds the cycle.
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error
        return cast(T, self._value)


def run_uninterrupted(step: Callable[[], T]) -> T:
    """Run ``step`` to its end, once; an interrupt that arrives meanwhile is raised after it.

    An error of the step wins over the interrupt, so that no outcome is hidden.
    """
    # A thread that is started while the interpreter is finalized never runs (before Python 3.12).
    if threading.current_thread() is not threading.main_thread() or sys.is_finalizing():
        return step()
    outcome: _Outcome[T] = _Outcome()
    started = False
    interrupt: BaseException | None = None
    while not outcome.ended:
        try:
            if not started:
                # Not by ``_thread``: what asks for the current thread there (logging does) leaves a
                # dummy in ``threading.enumerate()`` for ever. A start that an interrupt cuts short may
                # have worked or not; it is repeated, and the step is run by the first to claim it.
                threading.Thread(
                    target=outcome.settle_by, args=(step,), name="s3vfs-step", daemon=True
                ).start()
                started = True
            outcome.signal.acquire()        # interrupted or not: ``ended`` tells, not the lock
        except RuntimeError:                      # no thread can be started any more
            outcome.settle_by(step)
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error
    value = outcome.result()
    if interrupt is not None:
        raise interrupt
    return value

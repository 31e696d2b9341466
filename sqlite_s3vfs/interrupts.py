"""Steps that a KeyboardInterrupt must not cut in two.

Python raises it in the main thread, between any two instructions. A step that has to end with a clear
outcome (the publish of a commit, invariant I1) therefore runs in a thread of its own while the main
thread waits; the interrupt is delivered when the step has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def run_uninterrupted(step: Callable[[], T]) -> T:
    """Run ``step`` to its end; an interrupt that arrives meanwhile is raised after it.

    An error of the step wins over the interrupt, so that no outcome is hidden.
    """
    if threading.current_thread() is not threading.main_thread():
        return step()
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(step())
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread as it is
            future.set_exception(error)

    thread = threading.Thread(target=run, name="s3vfs-publish")
    try:
        thread.start()
    except RuntimeError:                          # the interpreter is shutting down
        return step()
    interrupt: BaseException | None = None
    while True:
        try:
            thread.join()
            break
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error
    result = future.result()
    if interrupt is not None:
        raise interrupt
    return result

"""Bounded pools of threads, for requests that may run side by side and for what they bring.

A task is a single request (with the encoding or decoding of its bytes) and never waits for another
task of its pool, so that cannot lock up. Threads are started when they are first needed; a forked
child has none of its parent's and starts its own. At interpreter exit no thread can be started any
more: tasks then run in the calling thread, one after another, so that commits and closes still work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

THREAD_NAMES = "s3vfs"
"""How the names of the library's own threads begin."""

T = TypeVar("T")
Task = Callable[[], T]


def in_background() -> bool:
    """Whether this is a thread of the library's own, which must not wait for others of its pool."""
    return threading.current_thread().name.startswith(THREAD_NAMES)


class Pool(Protocol):
    """Runs independent tasks."""

    @property
    def size(self) -> int:
        """Tasks that may run at once."""

    def submit(self, task: Task[T]) -> Future[T]:
        """Start one task."""

    def close(self) -> None:
        """Wait for what was started, and stop the threads; later tasks start new ones."""

    def forget_locks(self) -> None:
        """In a forked child: another thread of the parent may have held a lock at the fork."""


class ThreadPool:
    """Up to ``size`` threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._executor_lock = threading.RLock()
        self._executor: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    @property
    def size(self) -> int:
        return self._size

    def submit(self, task: Task[T]) -> Future[T]:
        future: Future[T] = Future()
        claim = threading.Lock()

        def run() -> None:
            if claim.acquire(blocking=False) and future.set_running_or_notify_cancel():
                _settle(future, task)

        try:
            self._living_executor().submit(run)
        except RuntimeError:
            # Dismissed this moment, or no thread can be started; the executor may have queued it.
            run()
        return future

    def close(self) -> None:
        with self._executor_lock:
            executor, self._executor = self._executor, None
            inherited = self._process != os.getpid()
        if executor is not None and not inherited:
            executor.shutdown(wait=not in_background())

    def _living_executor(self) -> ThreadPoolExecutor:
        with self._executor_lock:
            executor = self._executor
            if executor is None or self._process != os.getpid():
                executor = ThreadPoolExecutor(self._size, thread_name_prefix=THREAD_NAMES)
                self._executor = executor
                self._process = os.getpid()
            return executor

    def forget_locks(self) -> None:
        self._executor_lock = threading.RLock()


class InlinePool:
    """Runs every task at once in the calling thread: for tests that order requests themselves."""

    @property
    def size(self) -> int:
        return 1

    def submit(self, task: Task[T]) -> Future[T]:
        return run_inline(task)

    def close(self) -> None:
        pass

    def forget_locks(self) -> None:
        pass


def run_inline(task: Task[T]) -> Future[T]:
    """A finished future of ``task``, run in the calling thread."""
    future: Future[T] = Future()
    _settle(future, task)
    return future


def _settle(future: Future[T], task: Task[T]) -> None:
    try:
        future.set_result(task())
    except Exception as error:  # noqa: BLE001 - handed to whoever waits, as it is
        future.set_exception(error)


def run_all(pool: Pool, tasks: Iterable[Task[T]]) -> list[T]:
    """The results of all tasks in order. All have ended when this returns or raises the first error."""
    futures = [pool.submit(task) for task in tasks]
    if len(futures) > 1:
        wait(futures)
    try:
        return [future.result() for future in futures]
    finally:
        del futures                 # an error's traceback would keep them, and all callers' variables

"""One bounded pool of threads per store, for requests that may run side by side.

A task is a single request (with the encoding or decoding of its bytes) and never waits for another
task, so the pool cannot lock up. Threads are started when they are first needed; a forked child has
none of its parent's and starts its own. At interpreter exit no thread can be started any more:
tasks then run in the calling thread, one after another, so that commits and closes still work.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

T = TypeVar("T")
Task = Callable[[], T]


class Pool(Protocol):
    """Runs independent tasks."""

    @property
    def size(self) -> int:
        """Tasks that may run at once."""

    def submit(self, task: Task[T]) -> Future[T]:
        """Start one task."""

    def rest(self) -> None:
        """Let the threads end when they have done what was started; later tasks start new ones."""

    def close(self) -> None:
        """The same, and wait for it."""

    def forget_locks(self) -> None:
        """In a forked child: another thread of the parent may have held a lock at the fork."""


class ThreadPool:
    """Up to ``size`` threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._executor_lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    @property
    def size(self) -> int:
        return self._size

    def submit(self, task: Task[T]) -> Future[T]:
        try:
            return self._living_executor().submit(task)
        except RuntimeError:                      # dismissed this moment, or the interpreter ends
            return run_inline(task)

    def rest(self) -> None:
        self._dismiss(wait_for_tasks=False)

    def close(self) -> None:
        self._dismiss(wait_for_tasks=True)

    def _dismiss(self, *, wait_for_tasks: bool) -> None:
        with self._executor_lock:
            executor, self._executor = self._executor, None
            inherited = self._process != os.getpid()
        if executor is not None and not inherited:
            executor.shutdown(wait=wait_for_tasks)

    def _living_executor(self) -> ThreadPoolExecutor:
        with self._executor_lock:
            if self._executor is None or self._process != os.getpid():
                self._executor = ThreadPoolExecutor(self._size, thread_name_prefix="s3vfs")
                self._process = os.getpid()
            return self._executor

    def forget_locks(self) -> None:
        self._executor_lock = threading.Lock()


class InlinePool:
    """Runs every task at once in the calling thread: for tests that order requests themselves."""

    @property
    def size(self) -> int:
        return 1

    def submit(self, task: Task[T]) -> Future[T]:
        return run_inline(task)

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass

    def forget_locks(self) -> None:
        pass


def run_inline(task: Task[T]) -> Future[T]:
    """A finished future of ``task``, run in the calling thread."""
    future: Future[T] = Future()
    try:
        future.set_result(task())
    except BaseException as error:
        if not isinstance(error, Exception):
            raise
        future.set_exception(error)
    return future


def run_all(pool: Pool, tasks: Iterable[Task[T]]) -> list[T]:
    """The results of all tasks in order. All have ended when this returns or raises the first error."""
    futures = [pool.submit(task) for task in tasks]
    if len(futures) > 1:
        wait(futures)
    return [future.result() for future in futures]


def run_ahead(pool: Pool, tasks: Iterable[Task[T]], window: int) -> Iterator[T]:
    """The results in order, with at most ``window`` tasks started and not yet consumed."""
    started: deque[Future[T]] = deque()
    try:
        for task in tasks:
            started.append(pool.submit(task))
            if len(started) >= window:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()
    finally:
        if started:
            wait(started)

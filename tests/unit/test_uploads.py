"""What uploads hold in memory is bounded, and what they let go is given back to the system."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from sqlite_s3vfs.engine import GIVEN_BACK_AFTER, Engine
from sqlite_s3vfs.pool import T, Task, run_inline
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.uploads import UNDER_WAY_MAX, Uploads

SEGMENT = bytes(4 << 20)
COUNT = 20


class WaitedFor(Future[T]):
    """Runs its task when somebody waits for the result."""

    def __init__(self, task: Task[T]) -> None:
        super().__init__()
        self._task = task

    def result(self, timeout: float | None = None) -> T:
        if not self.done():
            self.set_result(run_inline(self._task).result())
        return super().result(timeout)


class SlowPool:
    """Many threads, none of which gets on with anything before it must."""

    size = 16

    def __init__(self) -> None:
        self.started: list[Future[object]] = []

    @property
    def waiting(self) -> int:
        """How many tasks were not run yet."""
        return sum(not future.done() for future in self.started)

    def submit(self, task: Task[T]) -> Future[T]:
        future = WaitedFor(task)
        self.started.append(future)     # type: ignore[arg-type]
        return future

    def close(self) -> None:
        """Nothing to stop."""

    def forget_locks(self) -> None:
        """There are none."""


def most_under_way() -> int:
    """Bytes that were handed over and not uploaded yet, at most."""
    pool = SlowPool()
    uploads = Uploads(Engine(MemoryObjectStore(), pool=pool))
    most = 0
    for number in range(COUNT):
        uploads.put(f"segment {number}", SEGMENT)
        most = max(most, pool.waiting * len(SEGMENT))
    for future in pool.started:
        future.result()
    return most


@pytest.mark.parametrize("mistaken", [False, True])
def test_what_is_under_way_is_bounded_in_bytes(mistaken: bool, monkeypatch: pytest.MonkeyPatch):
    """Not by the number of threads: each segment has 4 MiB."""
    if mistaken:
        monkeypatch.setattr("sqlite_s3vfs.uploads.UNDER_WAY_MAX", 1 << 40)

    assert (most_under_way() > UNDER_WAY_MAX + len(SEGMENT)) == mistaken


def test_free_memory_is_given_back_after_each_so_many_bytes(monkeypatch: pytest.MonkeyPatch):
    given_back: list[None] = []
    monkeypatch.setattr("sqlite_s3vfs.free_memory.give_back", lambda: given_back.append(None))
    engine = Engine(MemoryObjectStore())

    for commit in range(COUNT):         # each commit and each fold has uploads of its own
        uploads = Uploads(engine)
        uploads.put(f"segment {commit}", SEGMENT)
        uploads.finish()
    engine.close()

    assert len(given_back) == COUNT * len(SEGMENT) // GIVEN_BACK_AFTER

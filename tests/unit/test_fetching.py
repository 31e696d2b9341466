"""What is fetched in advance: bounded, dropped when nobody wants it, and counted as used once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from sqlite_s3vfs.cache import BlockCache
from sqlite_s3vfs.cache.blocks import FRESH_CHANCES
from sqlite_s3vfs.fetching import Advance
from sqlite_s3vfs.pool import T, Task, run_inline

KIB = 1024


class HeldPool:
    """Tasks run when the test says so."""

    size = 16

    def __init__(self) -> None:
        self.tasks: list[tuple[Task[object], Future[object]]] = []

    def submit(self, task: Task[T]) -> Future[T]:
        future: Future[T] = Future()
        self.tasks.append((task, future))  # type: ignore[arg-type]
        return future

    def run_first(self) -> None:
        task, future = self.tasks.pop(0)
        future.set_result(run_inline(task).result())

    def close(self) -> None:
        """Nothing to stop."""

    def forget_locks(self) -> None:
        """There are none."""


def nothing() -> None:
    """A request that brings nothing."""


def advance(pool: HeldPool, *, unused: Callable[[], int] = lambda: 0) -> Advance:
    return Advance(pool, 100 * KIB, unused)


def start(queue: Advance, *sizes: int) -> None:
    for number, size in enumerate(sizes):
        queue.start("owner", [(number,)], size * KIB, nothing)


def test_what_is_under_way_stays_within_the_bound():
    pool = HeldPool()
    queue = advance(pool)

    start(queue, 40, 40, 40, 40)
    before = len(pool.tasks)
    pool.run_first()

    assert before == 2, "two of forty are under way, a third would be too much"
    assert len(pool.tasks) == 2, "one has ended, another has begun"
    assert (3,) in queue
    assert (2,) not in queue


def test_a_request_above_the_bound_is_made_alone():
    pool = HeldPool()
    queue = advance(pool)

    start(queue, 300, 300)

    assert len(pool.tasks) == 1
    pool.run_first()
    assert len(pool.tasks) == 1


def test_what_came_and_was_not_used_counts_until_it_is_used():
    pool, unused = HeldPool(), [90 * KIB]
    queue = advance(pool, unused=lambda: unused[0])

    start(queue, 20)
    before = len(pool.tasks)
    unused[0] = 50 * KIB
    queue.go_on()

    assert (before, len(pool.tasks)) == (0, 1)


def test_what_waits_can_be_taken_by_whoever_needs_it_sooner():
    pool = HeldPool()
    queue = advance(pool, unused=lambda: 100 * KIB)
    start(queue, 20, 20)

    assert queue.take((1,)) == ((1,),)
    assert queue.take((1,)) == ()
    assert not pool.tasks


def test_a_block_that_came_in_advance_is_used_once():
    cache = BlockCache(100 * KIB)
    cache.put("a", bytes(10 * KIB), fresh=True)
    cache.put("b", bytes(10 * KIB))
    found = cache.get("a")
    assert found is not None

    assert cache.fresh_weight == 10 * KIB
    assert [cache.use(found), cache.use(found)] == [True, False]
    assert cache.fresh_weight == 0


def test_what_nobody_waits_for_any_more_is_counted_as_unused():
    unused: list[int] = []
    cache = BlockCache(100 * KIB, on_unused=unused.append)
    cache.put("a", bytes(10 * KIB), fresh=True)

    for _ in range(2):
        cache.give_up("a")
    cache.give_up("b")

    assert unused == [10 * KIB]
    assert cache.fresh_weight == 0
    assert "a" in cache


def test_fresh_blocks_that_are_pushed_out_or_replaced_do_not_count_any_more():
    unused: list[int] = []
    cache = BlockCache(30 * KIB, on_unused=unused.append)

    for key in "abca":
        cache.put(key, bytes(10 * KIB), fresh=True)
    assert cache.fresh_weight == 30 * KIB
    cache.put("a", bytes(10 * KIB))
    assert cache.fresh_weight == 20 * KIB
    cache.put("d", bytes(10 * KIB))

    assert cache.fresh_weight == 10 * KIB
    assert unused == [10 * KIB]


def test_what_came_in_advance_waits_while_others_come_and_go_but_not_for_ever():
    unused: list[int] = []
    cache = BlockCache(10 * KIB, on_unused=unused.append)
    for key in "abc":
        cache.put(key, bytes(KIB), fresh=True)

    for number in range(10 * FRESH_CHANCES // 2):
        cache.put(number, bytes(KIB))
    waiting = [key for key in "abc" if key in cache]
    for number in range(20 * FRESH_CHANCES):
        cache.put(-number, bytes(KIB))

    assert waiting == ["a", "b", "c"]
    assert not [key for key in "abc" if key in cache]
    assert sum(unused) == 3 * KIB
    assert cache.weight <= 10 * KIB

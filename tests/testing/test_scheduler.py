"""Every order of the actors' store calls is run, and a race that needs a certain order is found."""

from __future__ import annotations

import itertools
import math
import random
import threading

import pytest

from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, ObjectStore, PreconditionFailedError
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.testing.exploration import (
    Exploration,
    NondeterminismError,
    ScheduleFailedError,
    TooManySchedulesError,
    explore,
    replay,
)
from sqlite_s3vfs.testing.faults import (
    At,
    Die,
    FaultyStore,
    HoldBack,
    StoreCall,
    WriterDiedError,
)
from sqlite_s3vfs.testing.histories import HistoryRecorder, Step, operations
from sqlite_s3vfs.testing.ids import SeededIds
from sqlite_s3vfs.testing.scheduler import (
    ActorStuckError,
    Footprint,
    ForeignThreadError,
    Scenario,
    World,
)
from sqlite_s3vfs.testing.serializability import check_history


def memory_store() -> MemoryObjectStore:
    return MemoryObjectStore(clock=ManualClock(), ids=SeededIds("store"))


def body_of(store: ObjectStore, key: str) -> bytes:
    found = store.get(key)
    assert isinstance(found, Fetched)
    return found.body


def increment_without_condition(store: ObjectStore) -> None:
    """Check, then act: the planted race."""
    store.put("register", b"%d" % (int(body_of(store, "register")) + 1))


def increment_conditionally(store: ObjectStore) -> None:
    while True:
        found = store.get("register")
        assert isinstance(found, Fetched)
        try:
            store.put("register", b"%d" % (int(found.body) + 1), if_match=found.etag)
        except PreconditionFailedError:
            continue
        return


def incrementing(body, count):
    def build(world: World) -> Scenario:
        store = memory_store()
        store.put("register", b"0")

        def check() -> None:
            assert body_of(store, "register") == b"%d" % count

        return Scenario(store, {f"writer {n}": body for n in range(count)}, check)

    return build


@pytest.mark.parametrize("preemptions", [None, 1])
def test_a_planted_race_is_found_and_can_be_replayed(preemptions):
    build = incrementing(increment_without_condition, 2)

    with pytest.raises(ScheduleFailedError) as failure:
        explore(build, preemptions=preemptions)

    with pytest.raises(AssertionError, match="1"):
        replay(build, failure.value.choices)
    assert "writer 0: put register" in str(failure.value)


def test_the_race_needs_a_preemption():
    explored = explore(incrementing(increment_without_condition, 3), preemptions=0)

    assert explored.schedules == math.factorial(3)


@pytest.mark.parametrize(("count", "preemptions"), [(2, None), (3, None), (3, 2)])
def test_the_conditional_register_passes_every_schedule(count, preemptions):
    explored = explore(incrementing(increment_conditionally, count), preemptions=preemptions)

    assert explored.schedules > math.factorial(count)


def putting(keys_of, *, results, preemptions=None) -> Exploration:
    """Actors that put their own marks; ``results`` collects what each schedule left behind."""

    def actor(name, keys):
        def body(store: ObjectStore) -> None:
            for key in keys:
                store.put(key, name.encode())

        return body

    def build(world: World) -> Scenario:
        store = memory_store()

        def check() -> None:
            results.append(tuple((row.key, body_of(store, row.key)) for row in store.list("")))

        return Scenario(store, {name: actor(name, keys) for name, keys in keys_of.items()}, check)

    return explore(build, preemptions=preemptions)


def test_all_orders_of_conflicting_calls_are_run_exactly_once():
    """Steps on one key never commute: the count is the multinomial coefficient of the puts."""
    results: list[object] = []

    explored = putting({"a": ["k", "k"], "b": ["k", "k"], "c": ["k"]}, results=results)

    assert explored.schedules == math.factorial(5) // (2 * 2)


def test_orders_of_independent_calls_are_run_once_in_all():
    results: list[object] = []

    explored = putting({"a": ["a1", "a2"], "b": ["b1", "b2"], "c": ["c1"]}, results=results)

    assert explored.schedules == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys_of",
    [
        {"a": ["x", "y"], "b": ["y", "x"]},
        {"a": ["x", "y", "z"], "b": ["z", "x"], "c": ["y"]},
        {"a": ["x", "y"], "b": ["x", "z"], "c": ["z", "y"]},
    ],
)
def test_pruning_loses_no_outcome(keys_of):
    """The outcomes of the pruned search are those of the unbounded search without pruning."""
    pruned: list[object] = []
    full: list[object] = []

    few = putting(keys_of, results=pruned)
    many = putting(keys_of, results=full, preemptions=100)

    assert set(pruned) == set(full)
    assert few.schedules < many.schedules


def test_a_search_without_pruning_runs_every_order():
    results: list[object] = []

    explored = putting({"a": ["a1", "a2"], "b": ["b1"]}, results=results, preemptions=100)

    assert explored.schedules == math.comb(5, 2)  # each first step runs up to the first call
    assert explored.pruned == 0


def test_a_listing_does_not_commute_with_a_put_under_its_prefix():
    seen: set[tuple[str, ...]] = set()

    def build(world: World) -> Scenario:
        store = memory_store()
        found: list[tuple[str, ...]] = []

        def lister(mine: ObjectStore) -> None:
            found.append(tuple(row.key for row in mine.list("db/")))

        actors = {"putter": lambda mine: mine.put("db/1", b""), "lister": lister}
        return Scenario(store, actors, lambda: seen.update(found))

    explore(build)

    assert seen == {(), ("db/1",)}


def test_footprints_commute_exactly_when_nothing_is_seen_of_the_other():
    def step(reads="", writes="", lists="", began=False, ended=False):
        sets = (frozenset(filter(None, [name])) for name in (reads, writes, lists))
        return Footprint(StoreCall("get", ("k",)), *sets, began=began, ended=ended)

    assert step(reads="k").commutes_with(step(reads="k"))
    assert step(writes="k").commutes_with(step(writes="j"))
    assert step(lists="j/").commutes_with(step(writes="k"))
    assert step(began=True).commutes_with(step(began=True))
    assert step(ended=True).commutes_with(step(ended=True))
    for one, other in [
        (step(writes="k"), step(reads="k")),
        (step(writes="k"), step(writes="k")),
        (step(writes="k/1"), step(lists="k/")),
        (step(began=True), step(ended=True)),
    ]:
        assert not one.commutes_with(other)
        assert not other.commutes_with(one)


def test_real_time_order_survives_pruning():
    """Writer and reader touch different objects; that one ended before the other began is seen."""
    orders: set[str] = set()

    def build(world: World) -> Scenario:
        recorder = HistoryRecorder(listener=world.hear)

        def actor(name: str):
            def body(store: ObjectStore) -> None:
                operation = recorder.invoke(name)
                store.put(name, b"")
                operation.ok(1)

            return body

        def check() -> None:
            orders.add(" ".join(f"{event.process}-{event.kind}" for event in recorder.events))

        return Scenario(memory_store(), {"a": actor("a"), "b": actor("b")}, check)

    explore(build)

    assert "a-invoke a-ok b-invoke b-ok" in orders
    assert "b-invoke b-ok a-invoke a-ok" in orders
    assert any(order.split()[1].endswith("invoke") for order in orders)


def test_what_is_touched_keeps_its_order():
    orders: set[str] = set()

    def build(world: World) -> Scenario:
        shared: list[str] = []

        def actor(name: str):
            def body(store: ObjectStore) -> None:
                store.get(name)
                world.touch("shared")
                shared.append(name)

            return body

        return Scenario(
            memory_store(), {"a": actor("a"), "b": actor("b")}, lambda: orders.add("".join(shared))
        )

    explore(build)

    assert orders == {"ab", "ba"}


def test_a_cached_read_that_is_not_refreshed_is_found_by_the_history_check():
    """The whole kit at once: recorder, explorer and checker against a reader with a stale cache."""

    def scenario(world: World, *, fresh: bool) -> Scenario:
        store = memory_store()
        store.put("register", b"0")
        recorder = HistoryRecorder(listener=world.hear)

        def writer(mine: ObjectStore) -> None:
            operation = recorder.invoke("writer")
            operation.attempt(base=0, steps=[Step("write", "x", 1)])
            mine.put("register", b"1")
            operation.ok(1)

        def reader(mine: ObjectStore) -> None:
            value = int(body_of(mine, "register"))
            for _ in range(2):
                world.pause()
                operation = recorder.invoke("reader")
                if fresh:
                    value = int(body_of(mine, "register"))
                operation.ok(value, [Step("read", "x", value or None)])

        def check() -> None:
            assert check_history(operations(recorder.events)) == ()

        return Scenario(store, {"writer": writer, "reader": reader}, check)

    explore(lambda world: scenario(world, fresh=True))
    with pytest.raises(ScheduleFailedError, match="stale"):
        explore(lambda world: scenario(world, fresh=False))


def test_an_actor_may_die_in_the_middle():
    """Its put was carried out; whether it was refused depends on the order."""
    left: set[bytes] = set()

    def build(world: World) -> Scenario:
        store = memory_store()
        store.put("register", b"0")

        def dying(mine: ObjectStore) -> None:
            with pytest.raises(WriterDiedError):
                increment_conditionally(FaultyStore(mine, At(1, Die(carried_out=True))))

        actors = {"dying": dying, "living": increment_conditionally}
        return Scenario(store, actors, lambda: left.add(body_of(store, "register")))

    explore(build)

    assert left == {b"1", b"2"}


def test_a_request_under_way_may_arrive_at_any_moment():
    """The network is an actor: it delivers the put that a writer has given up."""
    left: set[bytes] = set()

    def build(world: World) -> Scenario:
        store = memory_store()
        store.put("register", b"0")
        faulty: list[FaultyStore] = []

        def impatient(mine: ObjectStore) -> None:
            faulty.append(FaultyStore(mine, At(1, HoldBack())))
            with pytest.raises(StoreUnavailableError):
                increment_without_condition(faulty[0])
            world.touch("wire")
            mine.put("register", b"9")

        def network(mine: ObjectStore) -> None:
            world.pause()
            world.touch("wire")
            for sender in faulty:
                sender.deliver()

        actors = {"impatient": impatient, "network": network}
        return Scenario(store, actors, lambda: left.add(body_of(store, "register")))

    explore(build)

    assert left == {b"1", b"9"}


def test_what_an_actor_raises_fails_the_schedule_with_its_cause():
    def build(world: World) -> Scenario:
        def body(store: ObjectStore) -> None:
            store.get("k")
            raise LookupError("broken actor")

        return Scenario(memory_store(), {"a": body, "b": lambda store: None}, lambda: None)

    with pytest.raises(ScheduleFailedError, match="broken actor") as failure:
        explore(build)

    assert isinstance(failure.value.__cause__, LookupError)


def test_a_scenario_that_is_not_deterministic_is_refused():
    numbers = itertools.count()

    def build(world: World) -> Scenario:
        def body(store: ObjectStore) -> None:
            store.put(f"key {next(numbers)}", b"")
            store.put("k", b"")

        return Scenario(memory_store(), {"a": body, "b": body}, lambda: None)

    with pytest.raises(NondeterminismError):
        explore(build)


def test_a_search_that_is_too_long_does_not_pass_in_silence():
    with pytest.raises(TooManySchedulesError):
        explore(incrementing(increment_conditionally, 3), limit=10)


def test_a_call_from_a_foreign_thread_is_refused():
    def build(world: World) -> Scenario:
        def body(store: ObjectStore) -> None:
            errors: list[Exception] = []

            def call() -> None:
                try:
                    store.get("k")
                except ForeignThreadError as error:
                    errors.append(error)

            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
            raise errors[0]

        return Scenario(memory_store(), {"a": body}, lambda: None)

    with pytest.raises(ScheduleFailedError, match="works inline"):
        explore(build)


def test_an_actor_that_waits_for_another_does_not_hang_the_test():
    lock = threading.Lock()
    world = World()

    def holder(store: ObjectStore) -> None:
        with lock:
            store.get("k")

    world.begin(Scenario(memory_store(), {"holder": holder, "waiter": holder}, lambda: None))
    world.step("holder")

    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(world, "_stuck_seconds", 0.05)
        with pytest.raises(ActorStuckError, match="waiter"):
            world.step("waiter")
    world.end()
    assert not lock.locked()


def random_actor(chance: random.Random, count: int):
    """A program of a few random calls, which goes by what it has read before."""
    script = [
        (chance.choice(["get", "put", "replace", "list"]), chance.choice("xy")) for _ in range(count)
    ]

    def body(store: ObjectStore, seen: list[str]) -> None:
        for action, key in script:
            found = store.get(key) if action in ("get", "replace") else None
            if isinstance(found, Fetched):
                seen.append(f"{key}={found.body!r}")
            if action == "list":
                seen.append(",".join(f"{row.key}:{row.size}" for row in store.list("")))
            elif action == "put":
                store.put(key, "".join(seen).encode()[-3:] + b"p")
            elif isinstance(found, Fetched):
                try:
                    store.put(key, found.body + b"r", if_match=found.etag)
                except PreconditionFailedError:
                    seen.append("refused")

    return body


def outcomes_of_random_actors(seed: int, preemptions: int | None) -> tuple[set[object], int]:
    """What each actor has seen and what is left, over all schedules; and how many were run."""
    found: set[object] = set()
    chance = random.Random(seed)
    counts = (3, 2) if seed % 2 else (1, 1, 1)
    bodies = [random_actor(chance, count) for count in counts]

    def build(world: World) -> Scenario:
        store = memory_store()
        store.put("x", b"0")
        views: list[list[str]] = [[] for _ in bodies]

        def actor(number):
            return lambda mine: bodies[number](mine, views[number])

        def check() -> None:
            left = tuple((row.key, body_of(store, row.key)) for row in store.list(""))
            found.add((tuple(map(tuple, views)), left))

        return Scenario(store, {str(n): actor(n) for n in range(len(bodies))}, check)

    return found, explore(build, preemptions=preemptions).schedules


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_pruning_loses_nothing_that_random_actors_can_see(seed):
    pruned, few = outcomes_of_random_actors(seed, None)
    full, many = outcomes_of_random_actors(seed, 100)

    assert pruned == full
    assert few <= many


def test_pruning_too_much_is_noticed(monkeypatch):
    """The planted mistake: steps are taken to commute that do not."""
    monkeypatch.setattr(Footprint, "commutes_with", lambda self, other: not self.writes)

    pruned, _ = outcomes_of_random_actors(15, None)
    full, _ = outcomes_of_random_actors(15, 100)

    assert pruned < full

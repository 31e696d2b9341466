"""Each fault does to the store and to the caller what it says."""

from __future__ import annotations

import itertools

import pytest

from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import (
    ConflictingRequestError,
    Fetched,
    ObjectStore,
    PreconditionFailedError,
)
from sqlite_s3vfs.testing.faults import (
    FOREVER,
    AnswerConflict,
    At,
    CarryOutTwice,
    Die,
    Fail,
    FaultyStore,
    HoldBack,
    LoseAnswer,
    WriterDiedError,
    every_call,
    mutations,
    puts_of,
)


@pytest.fixture
def store() -> MemoryObjectStore:
    return MemoryObjectStore()


def bodies(store: ObjectStore) -> dict[str, bytes]:
    found = {}
    for row in store.list(""):
        fetched = store.get(row.key)
        assert isinstance(fetched, Fetched)
        found[row.key] = fetched.body
    return found


def test_without_a_fault_calls_pass_through_and_are_listed(store):
    faulty: ObjectStore = FaultyStore(store)

    stored = faulty.put("a/1", b"one", if_absent=True)
    fetched = faulty.get("a/1", byte_range=(1, 2))
    rows = list(faulty.list("a/", limit=5))
    faulty.delete(["a/1", "a/2"])

    assert isinstance(fetched, Fetched)
    assert (fetched.body, fetched.etag) == (b"n", stored.etag)
    assert [row.key for row in rows] == ["a/1"]
    assert faulty.identity == store.identity
    assert bodies(store) == {}
    assert [(call.operation, call.keys) for call in faulty.calls] == [
        ("put", ("a/1",)), ("get", ("a/1",)), ("list", ("a/",)), ("delete", ("a/1", "a/2")),
    ]  # fmt: skip


def test_a_listing_is_a_call_only_when_its_first_row_is_asked_for(store):
    faulty = FaultyStore(store)

    rows = faulty.list("")

    assert faulty.calls == []
    assert list(rows) == []
    assert len(faulty.calls) == 1


@pytest.mark.parametrize("carried_out", [False, True])
def test_the_dead_stay_dead(store, carried_out):
    faulty = FaultyStore(store, At(1, Die(carried_out=carried_out)))
    faulty.put("first", b"1")

    with pytest.raises(WriterDiedError):
        faulty.put("second", b"2")
    faulty.heal()
    with pytest.raises(WriterDiedError):
        faulty.get("first")
    with pytest.raises(WriterDiedError):
        faulty.put("third", b"3")

    assert bodies(store) == {"first": b"1"} | ({"second": b"2"} if carried_out else {})


def test_death_is_not_an_error_that_a_program_handles():
    assert not issubclass(WriterDiedError, Exception)


@pytest.mark.parametrize(("fault", "carried_out"), [(Fail, False), (LoseAnswer, True)])
@pytest.mark.parametrize("silence", [0, 2])
def test_the_store_is_silent_for_as_long_as_it_says(store, fault, carried_out, silence):
    faulty = FaultyStore(store, At(0, fault(silence=silence)))

    for _ in range(1 + silence):
        with pytest.raises(StoreUnavailableError):
            faulty.put("key", b"body")

    assert (bodies(store) == {"key": b"body"}) is carried_out
    assert faulty.get("other") is None


def test_silence_for_ever_ends_only_when_it_is_healed(store):
    faulty = FaultyStore(store, At(0, LoseAnswer(silence=FOREVER)))
    for _ in range(100):
        with pytest.raises(StoreUnavailableError):
            faulty.put("key", b"body")

    faulty.heal()

    assert faulty.get("key") is not None


def test_carried_out_twice_answers_the_second_time(store):
    faulty = FaultyStore(store, At(0, CarryOutTwice()))

    with pytest.raises(PreconditionFailedError):
        faulty.put("key", b"body", if_absent=True)

    assert bodies(store) == {"key": b"body"}


def test_carried_out_twice_without_a_condition_is_unseen(store):
    faulty = FaultyStore(store, At(0, CarryOutTwice(), among=mutations))

    assert faulty.put("key", b"body").etag == store.put("key", b"body").etag


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_conflict_is_answered_once(store, carried_out):
    faulty = FaultyStore(store, At(0, AnswerConflict(carried_out=carried_out)))

    with pytest.raises(ConflictingRequestError):
        faulty.put("key", b"body", if_absent=True)

    assert (bodies(store) == {"key": b"body"}) is carried_out
    faulty.put("key", b"body")


def test_a_held_put_arrives_after_as_many_calls_as_it_says(store):
    faulty = FaultyStore(store, At(0, HoldBack(calls=2)))
    with pytest.raises(StoreUnavailableError):
        faulty.put("late", b"late", if_absent=True)

    seen = [faulty.get("late") is not None for _ in range(4)]

    assert seen == [False, False, True, True]
    assert [held.refused for held in faulty.held] == [False]


def test_a_held_put_waits_for_the_end_of_the_silence(store):
    faulty = FaultyStore(store, At(0, HoldBack(calls=1, silence=3)))
    for _ in range(4):
        with pytest.raises(StoreUnavailableError):
            faulty.put("late", b"late", if_absent=True)

    seen = [faulty.get("late") is not None for _ in range(3)]

    assert seen == [False, True, True]


def test_a_held_put_arrives_when_it_is_delivered_and_only_once(store):
    faulty = FaultyStore(store, At(0, HoldBack()))
    with pytest.raises(StoreUnavailableError):
        faulty.put("late", b"late")
    for _ in range(10):
        assert faulty.get("late") is None

    faulty.deliver()
    store.put("late", b"newer")
    faulty.deliver()

    assert bodies(store) == {"late": b"newer"}


def test_a_held_put_that_meets_its_own_retry_is_refused(store):
    faulty = FaultyStore(store, At(0, HoldBack(retried=True)))

    faulty.put("key", b"body", if_absent=True)
    faulty.deliver()

    assert [held.refused for held in faulty.held] == [True]
    assert bodies(store) == {"key": b"body"}


def test_a_filter_decides_what_is_counted(store):
    faulty = FaultyStore(
        store, At(1, Fail(), among=mutations), At(0, AnswerConflict(), among=puts_of("manifest"))
    )
    faulty.get("db/manifest")
    faulty.put("db/segments/1", b"1")
    faulty.get("db/manifest")

    with pytest.raises(StoreUnavailableError):
        faulty.put("db/segments/2", b"2")
    with pytest.raises(ConflictingRequestError):
        faulty.put("db/manifest", b"3")

    assert faulty.struck
    assert bodies(store) == {"db/segments/1": b"1"}


def test_a_fault_planned_later_counts_from_then_on(store):
    faulty = FaultyStore(store)
    faulty.put("prepared", b"")

    faulty.plan(At(1, Fail()))

    faulty.put("first", b"")
    with pytest.raises(StoreUnavailableError):
        faulty.put("second", b"")


def test_faults_on_one_call_compose_from_the_inside_out(store):
    faulty = FaultyStore(store, At(0, CarryOutTwice()), At(0, LoseAnswer()))

    with pytest.raises(StoreUnavailableError):
        faulty.put("key", b"body", if_absent=True)

    assert bodies(store) == {"key": b"body"}


def publish_last(store: ObjectStore) -> None:
    store.put("part", b"new part")
    store.put("head", b"points to new part")


def publish_first(store: ObjectStore) -> None:
    store.put("head", b"points to new part")
    store.put("part", b"new part")


def torn_after_a_death(writer) -> bool:
    """Cut the writer before and after each call in turn; is there ever a head without its part?"""
    for half_calls in itertools.count():
        number, carried_out = divmod(half_calls, 2)
        store = MemoryObjectStore()
        faulty = FaultyStore(store, At(number, Die(carried_out=bool(carried_out)), among=every_call))
        try:
            writer(faulty)
        except WriterDiedError:
            left = bodies(store)
            if "head" in left and "part" not in left:
                return True
        if not faulty.struck:
            return False
    raise AssertionError("unreachable: the count is endless")


def test_cutting_every_call_in_turn_finds_a_wrong_order():
    """The use that the store is made for: the right order survives all cuts, the wrong one does not."""
    assert not torn_after_a_death(publish_last)
    assert torn_after_a_death(publish_first)

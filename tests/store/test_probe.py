"""A store that honours conditions passes the probe whatever the network does; others are found out."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from sqlite_s3vfs.errors import AccessDeniedError, StoreUnavailableError, UnsafeStoreError
from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.metrics import Metrics, RequestRecord, sequential_round_trips
from sqlite_s3vfs.store.measured import MeasuredStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore, PreconditionFailedError, Stored
from sqlite_s3vfs.store.probe import RACERS, probe_conditions
from sqlite_s3vfs.testing import (
    AnswerConflict,
    At,
    CarryOutTwice,
    Fail,
    Fault,
    FaultyStore,
    HoldBack,
    LoseAnswer,
    SeededIds,
)

REQUESTS = 2 * RACERS + 6


class IgnoresIfNoneMatch(MemoryObjectStore):
    def put(self, key, body, *, if_match=None, if_absent=False):
        return super().put(key, body, if_match=if_match)


class IgnoresIfMatch(MemoryObjectStore):
    def put(self, key, body, *, if_match=None, if_absent=False):
        return super().put(key, body, if_absent=if_absent)


class IgnoresIfMatchOfPresentObjects(MemoryObjectStore):
    """Replaces whatever is there, and refuses only where nothing is."""

    def put(self, key, body, *, if_match=None, if_absent=False):
        if if_match is not None and self.get(key) is None:
            raise PreconditionFailedError("nothing there.")
        return super().put(key, body, if_absent=if_absent)


class ChecksThenActs(MemoryObjectStore):
    """Looks at the condition and writes later; every racer has looked before the first one writes."""

    def __init__(self, racy: str) -> None:
        super().__init__()
        self._racy = racy
        self._all_have_looked = threading.Barrier(RACERS)

    def put(self, key, body, *, if_match=None, if_absent=False):
        asked = "if_absent" if if_absent else "if_match"
        if asked != self._racy:
            return super().put(key, body, if_match=if_match, if_absent=if_absent)
        found = self.get(key)
        if (found is not None) if if_absent else (found is None or found.etag != if_match):
            raise PreconditionFailedError("it does not hold.")
        self._all_have_looked.wait(timeout=60)
        return super().put(key, body)


class RefusesEveryReplacement(MemoryObjectStore):
    def put(self, key, body, *, if_match=None, if_absent=False):
        if if_match is not None:
            raise PreconditionFailedError("it never holds.")
        return super().put(key, body, if_absent=if_absent)


class AcceptsAndDropsRacers(MemoryObjectStore):
    """Tells every racer that it won, and keeps the first: one answer too many is enough to know."""

    def put(self, key, body, *, if_match=None, if_absent=False):
        try:
            return super().put(key, body, if_match=if_match, if_absent=if_absent)
        except PreconditionFailedError:
            return Stored(etag='"accepted"', date=0.0)


class ForgetsWhatWasPut(MemoryObjectStore):
    def get(self, key, **how):
        return None


UNSAFE: dict[str, Callable[[], ObjectStore]] = {
    "ignores If-None-Match": IgnoresIfNoneMatch,
    "ignores If-Match": IgnoresIfMatch,
    "ignores If-Match of present objects": IgnoresIfMatchOfPresentObjects,
    "creates without atomicity": lambda: ChecksThenActs("if_absent"),
    "replaces without atomicity": lambda: ChecksThenActs("if_match"),
    "refuses every replacement": RefusesEveryReplacement,
    "accepts and drops": AcceptsAndDropsRacers,
    "forgets": ForgetsWhatWasPut,
}


def test_a_store_that_honours_conditions_passes(any_store: ObjectStore, prefix: str):
    any_store.put(f"{prefix}neighbour", b"")

    probe_conditions(any_store, f"{prefix}probe", RandomIds())

    assert [row.key for row in any_store.list(prefix)] == [f"{prefix}neighbour"]


@pytest.mark.parametrize("make", UNSAFE.values(), ids=UNSAFE)
def test_a_store_that_does_not_is_found_out(make: Callable[[], ObjectStore]):
    store = make()

    with pytest.raises(UnsafeStoreError) as caught:
        probe_conditions(store, "probe", SeededIds(1))

    assert 'locking="none"' in str(caught.value)
    assert store.identity in str(caught.value)
    assert list(store.list("")) == []


def test_it_costs_what_it_says():
    metrics = Metrics()
    records: list[RequestRecord] = []
    store = MeasuredStore(MemoryObjectStore(), metrics, on_request=records.append)

    probe_conditions(store, "probe", SeededIds(1))

    assert metrics.snapshot().total.requests == REQUESTS
    # Racers overlap or not, as the threads are scheduled; the other six are one after another.
    assert 8 <= sequential_round_trips(records) <= REQUESTS


# A conflict carried out, an answer lost: both are what a silent retry may hide.
FAULTS: list[Fault] = [
    Fail(),
    LoseAnswer(),
    CarryOutTwice(),
    AnswerConflict(),
    AnswerConflict(carried_out=True),
    HoldBack(calls=2),
    HoldBack(calls=2, retried=True),
]


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_lost_answer_is_no_sign_of_an_unsafe_store(fault: Fault):
    """Strike each put in turn; each is asked for again, and what became of it is read."""
    for number in range(RACERS * 2 + 2):
        faulty = FaultyStore(
            MemoryObjectStore(), At(number, fault, lambda call: call.operation == "put")
        )

        probe_conditions(faulty, "probe", SeededIds(number))

        assert faulty.struck


@pytest.mark.parametrize("make", UNSAFE.values(), ids=UNSAFE)
def test_an_unsafe_store_is_found_out_though_answers_are_lost(make: Callable[[], ObjectStore]):
    for number in range(RACERS, RACERS + 2):
        faulty = FaultyStore(make(), At(number, LoseAnswer(), lambda call: call.operation == "put"))

        with pytest.raises(UnsafeStoreError):
            probe_conditions(faulty, "probe", SeededIds(number))


def test_a_store_that_does_not_answer_is_not_called_unsafe():
    for number in range(REQUESTS - 1):
        faulty = FaultyStore(MemoryObjectStore(), At(number, Fail(silence=100)))

        with pytest.raises(StoreUnavailableError):
            probe_conditions(faulty, "probe", SeededIds(number))


def test_a_store_with_nothing_but_conflicts_is_not_called_unsafe():
    class Busy(MemoryObjectStore):
        def put(self, key, body, **how):
            return AnswerConflict().strike(None, None, None)

    with pytest.raises(StoreUnavailableError, match="another request is under way"):
        probe_conditions(Busy(), "probe", SeededIds(1))


def test_what_cannot_be_removed_is_left_and_logged(caplog: pytest.LogCaptureFixture):
    class NeverDeletes(MemoryObjectStore):
        def delete(self, keys):
            raise AccessDeniedError("no right to delete.")

    store = NeverDeletes()

    probe_conditions(store, "probe", SeededIds(1))

    assert [row.key for row in store.list("")] == ["probe"]
    assert "left over" in caplog.text


def test_the_caller_says_what_an_object_looks_like():
    bodies: list[bytes] = []

    class Watching(MemoryObjectStore):
        def put(self, key, body, **condition):
            bodies.append(body)
            return super().put(key, body, **condition)

    probe_conditions(Watching(), "probe", SeededIds(1), lambda random: b"mine " + random)

    assert all(body.startswith(b"mine ") for body in bodies)
    assert len(set(bodies)) == len(bodies) == 2 * RACERS + 2

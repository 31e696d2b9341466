"""The checker accepts what is possible and turns red for each kind of wrong history."""

from __future__ import annotations

import random
import time

import pytest

from sqlite_s3vfs.testing.histories import HistoryRecorder, Operation, Step, operations
from sqlite_s3vfs.testing.serializability import check_history

INFINITE = float("inf")


def read(key, value):
    return Step("read", key, value)


def write(key, value):
    return Step("write", key, value)


def append(key, value):
    return Step("append", key, value)


def done(process, when, version, *steps, base=None):
    """A transaction that committed, or read, during ``when = (invoked, ended)``."""
    if base is None and any(step.action != "read" for step in steps):
        base = version - 1
    return Operation(process, when[0], "ok", *when, base, version, steps)


def failed(process, when, base, *steps):
    return Operation(process, when[0], "fail", *when, base, None, steps)


def unknown(process, invoked, base, *steps):
    return Operation(process, invoked, "info", invoked, INFINITE, base, None, steps)


def kinds(history, **given):
    return [anomaly.kind for anomaly in check_history(history, **given)]


def test_an_empty_history_is_possible():
    assert check_history([]) == ()


def test_a_serial_history_is_possible():
    history = [
        done("a", (0, 1), 1, write("x", 1)),
        done("b", (2, 3), 2, read("x", 1), write("x", 2), read("x", 2)),
        done("c", (4, 5), 2, read("x", 2)),
    ]

    assert check_history(history) == ()


def test_overlapping_transactions_may_take_either_order():
    history = [
        done("a", (0, 9), 2, read("x", 1), write("x", 2)),
        done("b", (1, 8), 1, read("x", None), write("x", 1)),
        done("c", (2, 7), 0, read("x", None)),
        done("d", (3, 6), 2, read("x", 2)),
    ]

    assert check_history(history) == ()


def test_a_later_first_version_and_content_can_be_given():
    history = [
        done("a", (0, 1), 8, read("x", 5), append("l", 3)),
        done("b", (2, 3), 8, read("l", (1, 3))),
    ]

    assert check_history(history, initial={"x": 5, "l": (1,)}, first_version=7) == ()
    assert kinds(history, initial={"x": 5, "l": ()}, first_version=7) == ["wrong read"]


def test_a_list_never_appended_to_reads_as_empty():
    assert check_history([done("a", (0, 1), 0, read("l", ()))]) == ()
    assert kinds([done("a", (0, 1), 0, read("x", 0))]) == ["wrong read"]


def test_two_commits_of_one_version_are_found():
    history = [done("a", (0, 1), 1, write("x", 1)), done("b", (0, 2), 1, write("x", 2))]

    assert "double commit" in kinds(history)


def test_a_lost_update_is_found():
    """Two increments from one base; the second overwrote the first, as version 2."""
    history = [
        done("a", (0, 3), 1, read("x", None), write("x", 1)),
        done("b", (1, 4), 2, read("x", None), write("x", 1), base=0),
        done("c", (5, 6), 2, read("x", 1)),
    ]

    assert kinds(history) == ["lost update"]


def test_a_lost_update_is_found_without_knowing_the_base():
    history = [
        Operation("a", 0, "ok", 0, 3, None, 1, (read("x", None), write("x", 1))),
        Operation("b", 1, "ok", 1, 4, None, 2, (read("x", None), write("x", 1))),
    ]

    assert kinds(history) == ["wrong read"]


def test_an_append_that_took_effect_twice_is_found():
    history = [done("a", (0, 1), 1, append("l", 7)), done("b", (2, 3), 1, read("l", (7, 7)))]

    assert kinds(history) == ["wrong read"]


def test_a_commit_that_made_two_versions_is_found():
    history = [done("a", (0, 1), 1, append("l", 7)), done("b", (2, 3), 2, read("l", (7, 7)))]

    assert kinds(history) == ["missing commit"]


def test_a_failed_transaction_that_committed_is_found_and_named():
    history = [failed("liar", (0, 1), 0, append("l", 7)), done("b", (2, 3), 1, read("l", (7,)))]

    (anomaly,) = check_history(history)

    assert anomaly.kind == "missing commit"
    assert "liar/0" in str(anomaly)


def test_a_failed_transaction_that_shows_up_in_a_later_version_is_found():
    history = [
        failed("liar", (0, 1), 0, append("l", 7)),
        done("b", (2, 3), 1, append("l", 8)),
        done("c", (4, 5), 1, read("l", (7, 8))),
    ]

    assert kinds(history) == ["wrong read"]


def test_a_stale_read_is_found():
    history = [done("a", (0, 1), 1, write("x", 1)), done("b", (2, 3), 0, read("x", None))]

    assert kinds(history) == ["stale"]


def test_reading_what_another_reader_saw_replaced_is_stale():
    """The writer has not ended, but its commit was seen by one reader and then not by the next."""
    history = [
        done("w", (0, 9), 1, write("x", 1)),
        done("r", (1, 2), 1, read("x", 1)),
        done("s", (3, 4), 0, read("x", None)),
    ]

    assert kinds(history) == ["stale"]


def test_a_stale_base_of_a_failed_transaction_is_found():
    history = [done("a", (0, 1), 1, write("x", 1)), failed("b", (2, 3), 0, read("x", None))]

    assert kinds(history) == ["stale"]


def test_a_read_of_the_future_is_found():
    history = [done("r", (0, 1), 1, read("x", 1)), done("w", (2, 3), 1, write("x", 1))]

    assert "stale" in kinds(history)


def test_a_torn_read_is_found():
    """One key of the new version, one of the old: at no version were both so."""
    history = [
        done("w", (0, 1), 1, write("x", 1), write("y", 1)),
        done("v", (2, 9), 2, write("x", 2), write("y", 2)),
        done("r", (3, 8), 2, read("x", 2), read("y", 1)),
    ]

    assert kinds(history) == ["wrong read"]


def test_a_torn_read_by_a_transaction_that_failed_is_found():
    history = [
        done("w", (0, 1), 1, write("x", 1), write("y", 1)),
        failed("r", (3, 8), 1, read("x", 1), read("y", None)),
    ]

    assert kinds(history) == ["wrong read"]


@pytest.mark.parametrize("landed", [True, False])
def test_an_unknown_outcome_may_be_either(landed):
    history = [
        unknown("a", 0, 0, append("l", 7)),
        done("b", (2, 3), 1 + landed, append("l", 8)),
        done("c", (4, 5), 1 + landed, read("l", (7, 8) if landed else (8,))),
    ]

    assert check_history(history) == ()


def test_an_unknown_outcome_takes_effect_once_at_most():
    history = [unknown("a", 0, 0, append("l", 7)), done("c", (4, 5), 2, read("l", (7, 7)))]

    assert kinds(history) == ["missing commit"]


def test_an_unknown_outcome_cannot_be_seen_before_it_began():
    history = [done("c", (0, 1), 1, read("l", (7,))), unknown("a", 2, None, append("l", 7))]

    assert kinds(history) == ["missing commit"]


def test_of_several_unknown_outcomes_the_one_that_fits_is_found():
    """Three lost answers at one version, twice: what was read later says which of them landed."""
    history = [
        *(unknown("a", n, 0, append("l", n)) for n in range(3)),
        *(unknown("b", n + 3, 1, append("l", n)) for n in range(3)),
        done("c", (8, 9), 2, read("l", (2, 1))),
    ]

    assert check_history(history) == ()
    assert kinds([*history[:-1], done("c", (8, 9), 2, read("l", (2, 4)))]) == ["wrong read"]


def test_an_unknown_outcome_of_unknown_base_fits_where_it_is_missing():
    history = [
        done("a", (0, 1), 1, append("l", 1)),
        unknown("b", 2, None, append("l", 2)),
        done("c", (3, 4), 2, read("l", (1, 2))),
    ]

    assert check_history(history) == ()


def random_history(seed: int, count: int) -> tuple[Operation, ...]:
    """Clients over a correct database, interleaved at random, with conflicts and lost answers."""
    chance = random.Random(seed)
    recorder = HistoryRecorder()
    state: dict[str, object] = {f"account {n}": 100 for n in range(8)}
    version = 0
    under_way = []
    for number in range(count):
        process = f"p{number % 4}"
        operation = recorder.invoke(process)
        source, target = chance.sample(sorted(state), 2)
        steps = [read(source, state[source]), read(target, state[target])]
        steps += [write(source, state[source] - 1), write(target, state[target] + 1)]
        under_way.append((operation, version, steps))
        if len(under_way) < 3:
            continue
        operation, base, steps = under_way.pop(chance.randrange(3))
        if chance.random() < 0.3:
            operation.ok(base, steps[:2])
            continue
        operation.attempt(base=base, steps=steps)
        lost = chance.random() < 0.05
        if base != version or (lost and chance.random() < 0.5):
            operation.info() if lost else operation.fail()
            continue
        version += 1
        state.update((step.key, step.value) for step in steps if step.action == "write")
        operation.info() if lost else operation.ok(version)
    recorder.invoke("last").ok(version, [read(key, value) for key, value in state.items()])
    return operations(recorder.events)


BANK = {f"account {n}": 100 for n in range(8)}


@pytest.mark.parametrize("seed", range(20))
def test_what_a_correct_database_does_is_accepted(seed):
    assert check_history(random_history(seed, 200), initial=BANK) == ()


@pytest.mark.parametrize("seed", range(20))
def test_any_single_false_value_in_it_is_found(seed):
    history = list(random_history(seed, 200))
    chance = random.Random(seed)
    candidates = [n for n, one in enumerate(history) if one.outcome == "ok" and one.steps]
    at = chance.choice(candidates)
    spoiled = history[at]
    first = spoiled.steps[0]
    assert isinstance(first.value, int)
    history[at] = Operation(
        spoiled.process, spoiled.number, "ok", spoiled.invoked, spoiled.ended, spoiled.base,
        spoiled.version, (read(first.key, first.value + 1), *spoiled.steps[1:]),
    )  # fmt: skip

    assert kinds(history, initial=BANK) == ["wrong read"]


@pytest.mark.slow
def test_thousands_of_transactions_are_cheap():
    history = random_history(1, 20_000)

    began = time.process_time()
    found = check_history(history, initial=BANK)

    assert found == ()
    assert time.process_time() - began < 5

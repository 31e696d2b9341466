"""A history is written down exactly, survives its process, and is put together again."""

from __future__ import annotations

import io
import threading

import pytest

from sqlite_s3vfs.testing.histories import (
    Event,
    HistoryRecorder,
    Operation,
    Step,
    load_events,
    operations,
)

INFINITE = float("inf")


def test_a_committed_transaction_is_put_together_from_its_events():
    recorder = HistoryRecorder()
    steps = (Step("read", "x", 1), Step("write", "x", 2))

    operation = recorder.invoke("p")
    operation.attempt(base=4, steps=steps)
    operation.ok(5)

    assert operations(recorder.events) == (Operation("p", 0, "ok", 0, 2, 4, 5, steps),)


def test_a_read_names_the_version_that_it_saw():
    recorder = HistoryRecorder()
    steps = (Step("read", "x", (1, 2)),)

    recorder.invoke("p").ok(5, steps)

    (found,) = operations(recorder.events)
    assert (found.base, found.version, found.steps, found.writes) == (None, 5, steps, False)


def test_a_failed_transaction_keeps_what_it_read():
    recorder = HistoryRecorder()
    operation = recorder.invoke("p")
    operation.attempt(base=4, steps=[Step("read", "x", 1)])
    operation.fail()

    (found,) = operations(recorder.events)

    assert (found.outcome, found.base, found.version, found.ended) == ("fail", 4, None, 2)


def test_an_unknown_outcome_has_no_end_in_time():
    recorder = HistoryRecorder()
    told = recorder.invoke("told")
    told.attempt(base=1, steps=[])
    told.info()
    killed_in_commit = recorder.invoke("killed")
    killed_in_commit.attempt(base=1, steps=[])
    recorder.invoke("killed")

    found = operations(recorder.events)

    assert [(one.outcome, one.ended) for one in found] == [
        ("info", INFINITE), ("info", INFINITE), ("fail", INFINITE),
    ]  # fmt: skip


def test_an_operation_ends_once():
    recorder = HistoryRecorder()
    operation = recorder.invoke("p")
    operation.ok(1)
    operation.ok(1)

    with pytest.raises(ValueError, match="one event of a kind"):
        operations(recorder.events)


def test_a_sink_gives_back_every_event_and_drops_a_line_cut_by_a_kill():
    sink = io.StringIO()
    recorder = HistoryRecorder(sink=sink)
    operation = recorder.invoke("p")
    operation.attempt(base=1, steps=[Step("read", "l", (1, 2)), Step("append", "l", 3)])
    operation.ok(2)
    recorder.invoke("p")
    text = sink.getvalue()

    events = load_events(io.StringIO(text))
    cut = load_events(io.StringIO(text[:-5]))

    assert events == recorder.events
    assert cut == recorder.events[:-1]


def test_a_listener_hears_every_event():
    heard: list[Event] = []
    recorder = HistoryRecorder(listener=heard.append)

    recorder.invoke("p").fail()

    assert heard == recorder.events


def test_threads_write_events_in_the_order_of_their_times():
    recorder = HistoryRecorder()

    def client(name: str) -> None:
        for _ in range(200):
            recorder.invoke(name).fail()

    threads = [threading.Thread(target=client, args=(f"p{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [event.time for event in recorder.events] == list(range(4 * 200 * 2))
    assert len(operations(recorder.events)) == 800

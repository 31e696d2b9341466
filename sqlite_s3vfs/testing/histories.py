"""What clients did to one database, written down as it happens, in one process or many.

A client *invokes* an operation (a transaction), reports with ``attempt`` what it has read and is
about to commit, and then one of: ``ok`` (committed, or a read that was completed), ``fail`` (definitely
not committed), ``info`` (nobody knows). An operation without an end, of a killed process say, counts as
``info`` if it came to ``attempt`` and as ``fail`` if not: nothing commits before it was attempted.

Events can be written to a text file, one line each, as they happen (``sink``), so that the history of
a killed process survives; ``load_events`` reads them back, and ``operations`` puts together the events
of all processes. ``check_history`` in ``sqlite_s3vfs.testing.serializability`` is the judge.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TextIO

Value = int | str | None | tuple[int, ...]
Kind = Literal["invoke", "attempt", "ok", "fail", "info"]
Outcome = Literal["ok", "fail", "info"]
Action = Literal["read", "write", "append"]


@dataclass(frozen=True, slots=True)
class Step:
    """One action inside a transaction: ``value`` was read, or written, or appended to the list."""

    action: Action
    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a history.

    ``version`` is the one that the transaction read from (``attempt``), or that it made or saw (``ok``);
    None where it is not known.
    """

    kind: Kind
    process: str
    number: int
    time: float
    version: int | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A transaction from its invocation to its end.

    ``base`` is the version that it read from. ``version`` is the one that it made, or for a
    transaction without a write the one that it read; None when it is not known to have committed.
    ``ended`` is infinite for what nobody saw the end of.
    """

    process: str
    number: int
    outcome: Outcome
    invoked: float
    ended: float
    base: int | None
    version: int | None
    steps: tuple[Step, ...]

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return any(step.action != "read" for step in self.steps)

    def __str__(self) -> str:
        return f"{self.process}/{self.number}"


class HistoryRecorder:
    """Writes down events, from any number of threads.

    ``now`` orders the events; the default numbers them, which is exact within one process. Processes of
    one machine share a history with ``SystemClock().monotonic``. ``listener`` hears every event
    (``World.hear`` does), ``sink`` receives every event as a line, flushed before the call returns.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] | None = None,
        listener: Callable[[Event], None] | None = None,
        sink: TextIO | None = None,
    ) -> None:
        self.events: list[Event] = []
        self._now = now if now is not None else itertools.count().__next__
        self._listener = listener
        self._sink = sink
        self._numbers = itertools.count()
        self._events_lock = threading.Lock()

    def invoke(self, process: str) -> OpenOperation:
        """Begin an operation of ``process``."""
        operation = OpenOperation(self, process, next(self._numbers))
        operation.record("invoke")
        return operation

    def write(
        self, kind: Kind, process: str, number: int, version: int | None, steps: tuple[Step, ...]
    ) -> None:
        """Add an event at this moment."""
        with self._events_lock:
            event = Event(kind, process, number, self._now(), version, steps)
            self.events.append(event)
            if self._sink is not None:
                self._sink.write(json.dumps(asdict(event)) + "\n")
                self._sink.flush()
        if self._listener is not None:
            self._listener(event)


@dataclass(frozen=True, slots=True)
class OpenOperation:
    """An operation under way; exactly one of ``ok``, ``fail`` and ``info`` ends it."""

    recorder: HistoryRecorder
    process: str
    number: int

    def attempt(self, *, base: int | None, steps: Iterable[Step]) -> None:
        """Say what the transaction, begun at version ``base``, has read and is about to commit."""
        self.record("attempt", version=base, steps=tuple(steps))

    def ok(self, version: int, steps: Iterable[Step] = ()) -> None:
        """It committed as ``version``; a transaction that only reads says here what it read there."""
        self.record("ok", version=version, steps=tuple(steps))

    def fail(self) -> None:
        """It did not commit, for certain."""
        self.record("fail")

    def info(self) -> None:
        """It may have committed or not."""
        self.record("info")

    def record(self, kind: Kind, version: int | None = None, steps: tuple[Step, ...] = ()) -> None:
        self.recorder.write(kind, self.process, self.number, version, steps)


def load_events(lines: Iterable[str]) -> list[Event]:
    """Read back what a ``sink`` received; a last line cut short by a kill is left out."""
    events = []
    for line in lines:
        if line.endswith("\n"):
            fields = json.loads(line)
            steps = tuple(
                Step(step["action"], step["key"], _hashable(step["value"]))
                for step in fields.pop("steps")
            )
            events.append(Event(**fields, steps=steps))
    return events


def operations(events: Iterable[Event]) -> tuple[Operation, ...]:
    """Put the events of all processes together, in the order of invocation."""
    by_operation: dict[tuple[str, int], dict[str, Event]] = {}
    for event in events:
        seen = by_operation.setdefault((event.process, event.number), {})
        if event.kind in seen:
            raise ValueError(f"an operation has one event of a kind. event={event}")
        seen[event.kind] = event
    return tuple(sorted(map(_operation, by_operation.values()), key=lambda found: found.invoked))


def _operation(seen: Mapping[str, Event]) -> Operation:
    invoke, attempt = seen["invoke"], seen.get("attempt")
    end = seen.get("ok") or seen.get("fail") or seen.get("info")
    outcome: Outcome = "info" if attempt is not None else "fail"
    version = None
    steps = attempt.steps if attempt is not None else ()
    if end is not None:
        outcome = "ok" if end.kind == "ok" else "fail" if end.kind == "fail" else "info"
        version = end.version
        steps += end.steps
    return Operation(
        process=invoke.process,
        number=invoke.number,
        outcome=outcome,
        invoked=invoke.time,
        ended=end.time if end is not None and outcome != "info" else float("inf"),
        base=attempt.version if attempt is not None else None,
        version=version,
        steps=steps,
    )


def _hashable(value: Value | list[int]) -> Value:
    return tuple(value) if isinstance(value, list) else value

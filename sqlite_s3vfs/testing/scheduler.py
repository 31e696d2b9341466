"""Actors that share nothing but a store, run one store call at a time, in an order given from outside.

An actor stands for a process of its own: it is a function that is handed a store and runs in a thread.
The thread stops in front of every store call until ``World.step`` lets it carry out that one call and
run on to the next, so that between two calls of one actor any calls of the others can be placed.
Nothing runs side by side. Rules, without which an exploration means nothing:

* Each actor makes what it needs itself (engine, connection, clock, seeded ids). Whatever it shares with
  others apart from the store, results and histories included, is reported to the world: ``hear`` for
  the events of a history, ``touch`` for anything else. Results that only ``Scenario.check`` reads
  need no report.
* Time stands still: stores and engines have clocks of their own that the others do not move.
* Store calls come from the thread of the actor whose turn it is; an engine gets a pool that works
  inline. A call from another thread raises ``ForeignThreadError``.
* An actor never waits for another except through the store. One that blocks all the same raises
  ``ActorStuckError`` after a while, rather than hanging the test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlite_s3vfs.store.port import (
    Fetched,
    Listed,
    NotModified,
    ObjectStore,
    PreconditionFailedError,
    Stored,
)
from sqlite_s3vfs.testing.faults import Attempt, StoreCall
from sqlite_s3vfs.testing.histories import Event

T = TypeVar("T")

STUCK_SECONDS = 60.0
"""Real time that an actor may take from one store call to the next."""


class ForeignThreadError(RuntimeError):
    """A store call came from a thread that the scheduler does not know."""


class ActorStuckError(RuntimeError):
    """An actor reached neither a store call nor its end."""


class _AbandonedError(BaseException):
    """Ends the thread of an actor whose schedule is not pursued."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A store, who acts on it, and what must hold when all have ended (it raises when it does not)."""

    store: ObjectStore
    actors: Mapping[str, Callable[[ObjectStore], None]]
    check: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one step did that another actor could notice, and in which order of the two."""

    call: StoreCall | None
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    began: bool = False
    ended: bool = False

    def commutes_with(self, other: Footprint) -> bool:
        """Whether two neighbouring steps of different actors can change places unnoticed.

        They do when neither writes what the other reads, lists or writes, and the order of an
        operation's end and another's beginning stays as it is; two ends, or two beginnings, may
        change places, since real time orders only an end against a beginning.
        """
        return not (
            self._disturbs(other)
            or other._disturbs(self)
            or (self.began and other.ended)
            or (self.ended and other.began)
        )

    def _disturbs(self, other: Footprint) -> bool:
        return bool(self.writes & (other.reads | other.writes)) or any(
            key.startswith(prefix) for key in self.writes for prefix in other.lists
        )


class World:
    """One execution of a scenario, step by step.

    The first step of an actor runs it up to its first store call, each later one carries out the
    call that it stands before and runs on. An operation that is answered from a cache makes no call, and
    so falls into the step before it: ``pause`` gives it a step of its own.
    """

    def __init__(self, *, stuck_seconds: float = STUCK_SECONDS) -> None:
        self._stuck_seconds = stuck_seconds
        self._actors: dict[str, _Actor] = {}
        self._running: _Actor | None = None
        self._ended = False

    def hear(self, event: Event) -> None:
        """Take note of an event that the running actor wrote into a history (``HistoryRecorder``)."""
        if self._running is not None:
            self._running.notes.append(("event", event.kind))

    def touch(self, name: str) -> None:
        """Take note that the running actor read or wrote something shared, called ``name``."""
        if self._running is not None:
            self._running.notes.append(("touch", name))

    def pause(self) -> None:
        """Let the others go on here, in an actor whose next operation may need no store call."""
        if not self._ended:
            self._actor_of(None).wait_for_turn(None)

    def begin(self, scenario: Scenario) -> None:
        """Put the actors in place; none has run yet."""
        store = _ScheduledStore(scenario.store, self)
        for name, body in scenario.actors.items():
            self._actors[name] = _Actor(name, partial(body, store))

    @property
    def runnable(self) -> tuple[str, ...]:
        """The actors that have not ended."""
        return tuple(name for name, actor in self._actors.items() if not actor.ended)

    def step(self, name: str) -> Footprint:
        """Let one actor make one step.

        Raises:
            ActorStuckError: it reached neither a store call nor its end.
            BaseException: what the actor raised, if that ended it.
        """
        actor = self._actors[name]
        self._running = actor
        try:
            actor.step(self._stuck_seconds)
        finally:
            self._running = None
        if actor.error is not None:
            raise actor.error
        return actor.footprint()

    def carry_out(self, call: StoreCall, attempt: Attempt[T]) -> T:
        """Stop the running actor in front of ``call`` until it is its turn again."""
        actor = self._actor_of(call)
        actor.wait_for_turn(call)
        try:
            return attempt()
        except PreconditionFailedError:
            actor.refused = True
            raise

    def _actor_of(self, call: StoreCall | None) -> _Actor:
        if self._ended:
            raise _AbandonedError
        if self._running is None or threading.current_thread() is not self._running.thread:
            raise ForeignThreadError(f"give the engine a pool that works inline. call={call}")
        return self._running

    def end(self) -> None:
        """Let the threads of the actors that have not ended run out without another store call."""
        self._ended = True
        for actor in self._actors.values():
            actor.abandon(self._stuck_seconds)


class _Actor:
    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name = name
        self.ended = False
        self.refused = False
        self.error: BaseException | None = None
        self.notes: list[tuple[str, str]] = []
        self._abandoned = False
        self._waiting_for: StoreCall | None = None
        self._carried_out: StoreCall | None = None
        self._go = _Signal()
        self._back = _Signal()
        self._body = body
        self.thread = threading.Thread(target=self._run, name=f"actor {name}", daemon=True)
        self.thread.start()

    def step(self, stuck_seconds: float) -> None:
        self.notes.clear()
        self._carried_out, self.refused = self._waiting_for, False
        self._go.give()
        if not self._back.take(stuck_seconds):
            raise ActorStuckError(f"no store call and no end in time. actor={self.name}")

    def footprint(self) -> Footprint:
        touched = frozenset(f"touched {name}" for kind, name in self.notes if kind == "touch")
        events = {name for kind, name in self.notes if kind == "event"}
        call = self._carried_out
        keys = frozenset(call.keys) if call is not None else frozenset()
        writing = call is not None and call.mutates and not self.refused
        listing = call is not None and call.operation == "list"
        return Footprint(
            call,
            reads=frozenset() if writing or listing else keys,
            writes=(keys if writing else frozenset()) | touched,
            lists=keys if listing else frozenset(),
            began="invoke" in events,
            ended=bool(events & {"ok", "fail", "info"}),
        )

    def abandon(self, stuck_seconds: float) -> None:
        self._abandoned = True
        if not self.ended:
            self._go.give()
        self.thread.join(stuck_seconds)

    def wait_for_turn(self, call: StoreCall | None) -> None:
        self._waiting_for = call
        self._back.give()
        self._await_turn()
        self._waiting_for = None

    def _run(self) -> None:
        try:
            self._await_turn()
            self._body()
        except _AbandonedError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed over: World.step raises it
            self.error = error
        finally:
            self.ended = True
            self._waiting_for = None
            if not self._abandoned:
                self._back.give()

    def _await_turn(self) -> None:
        self._go.take()
        if self._abandoned:
            raise _AbandonedError


class _Signal:
    """Wakes one thread once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def give(self) -> None:
        self._lock.release()

    def take(self, timeout: float = -1) -> bool:
        return self._lock.acquire(timeout=timeout)


class _ScheduledStore:
    """The store as actors see it: each call waits for the turn of the actor that makes it."""

    def __init__(self, store: ObjectStore, world: World) -> None:
        self._store = store
        self._world = world

    @property
    def identity(self) -> str:
        return self._store.identity

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        return self._world.carry_out(
            StoreCall("get", (key,)),
            lambda: self._store.get(
                key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
            ),
        )

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        condition = "if_absent" if if_absent else f"if_match={if_match}" if if_match else ""
        return self._world.carry_out(
            StoreCall("put", (key,), condition),
            lambda: self._store.put(key, body, if_match=if_match, if_absent=if_absent),
        )

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        yield from self._world.carry_out(
            StoreCall("list", (prefix,)),
            lambda: tuple(self._store.list(prefix, start_after=start_after, limit=limit)),
        )

    def delete(self, keys: Sequence[str]) -> None:
        self._world.carry_out(StoreCall("delete", tuple(keys)), lambda: self._store.delete(keys))

    def close(self) -> None:
        """Nothing: the store is shared."""

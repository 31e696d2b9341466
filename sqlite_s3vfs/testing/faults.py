"""A store that fails on purpose, at a chosen call, in a chosen way.

``FaultyStore(store, At(3, LoseAnswer()))`` stands for one client's connection to ``store``: its fourth
call is carried out and the answer is lost. What goes wrong is a value (``Die``, ``Fail``,
``LoseAnswer``, ``CarryOutTwice``, ``AnswerConflict``, ``HoldBack``), where it goes wrong is another
(``At``), and several ``At`` may strike one store, on the same call too: the later in the list is then
the outer one, nearer to the caller.

Calls are numbered from 0 among those that the ``At`` looks at (``every_call``, ``mutations``,
``puts_of("manifest")`` …). A listing is one call however many rows it has, made when its first row is
asked for. A test that cuts a writer after each call in turn counts up until ``struck`` is false, and
needs a writer that makes its calls in the same order every time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.store.port import (
    ConflictingRequestError,
    Fetched,
    Listed,
    NotModified,
    ObjectStore,
    PreconditionFailedError,
    Stored,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FOREVER = sys.maxsize
"""As a number of calls: until ``FaultyStore.heal``."""


class WriterDiedError(BaseException):
    """The process that used this store is dead, as after ``kill -9``.

    Not an ``Exception``: code that handles what a store may answer must not take it for an answer.
    """


@dataclass(frozen=True, slots=True)
class StoreCall:
    """A call as the store was asked for it; ``keys`` is the prefix of a listing."""

    operation: str
    keys: tuple[str, ...]
    condition: str = ""

    @property
    def mutates(self) -> bool:
        """Whether the call may change an object."""
        return self.operation in ("put", "delete")

    def __str__(self) -> str:
        return " ".join(filter(None, (self.operation, ",".join(self.keys), self.condition)))


CallFilter = Callable[[StoreCall], bool]


def every_call(call: StoreCall) -> bool:
    """Count every call."""
    return True


def mutations(call: StoreCall) -> bool:
    """Count puts and deletes."""
    return call.mutates


def puts_of(suffix: str) -> CallFilter:
    """Count the puts of keys that end with ``suffix``."""
    return lambda call: call.operation == "put" and call.keys[0].endswith(suffix)


class Attempt(Protocol[T_co]):
    """One request on its way: called, it is carried out and answers."""

    def __call__(self) -> T_co: ...


@dataclass(slots=True)
class HeldCall:
    """A request that has left its sender and has not arrived."""

    call: StoreCall
    attempt: Attempt[object]
    calls_left: int
    arrived: bool = False
    refused: bool = False

    def carry_out(self) -> None:
        """Let it arrive now, if it has not; nobody waits for the answer any more."""
        if self.arrived:
            return
        self.arrived = True
        try:
            self.attempt()
        except (PreconditionFailedError, ConflictingRequestError):
            self.refused = True


@dataclass(slots=True)
class Line:
    """The state of one client's connection, which faults change for the calls that follow."""

    dead: bool = False
    silent_calls: int = 0
    held: list[HeldCall] = field(default_factory=list)

    def check(self, call: StoreCall) -> None:
        """Let the next call pass, or raise what it meets."""
        if self.dead:
            raise WriterDiedError(f"this process is dead. call={call}")
        if self.silent_calls:
            self.silent_calls -= self.silent_calls != FOREVER
            raise StoreUnavailableError(f"no answer, the line is cut. call={call}")

    def due(self) -> list[HeldCall]:
        """The held calls that arrive before the next call, which this counts."""
        arriving = []
        for held in self.held:
            if not held.arrived and held.calls_left != FOREVER:
                held.calls_left -= 1
                if held.calls_left < 0:
                    arriving.append(held)
        return arriving


class Fault(Protocol):
    """What happens to the call that it strikes."""

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        """Stand in for ``attempt``: carry it out or not, answer or raise, change ``line``."""


@dataclass(frozen=True, slots=True)
class Die:
    """The process dies before the call is carried out, or after; every later call dies too."""

    carried_out: bool = False

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        line.dead = True
        if self.carried_out:
            _ignore_refusal(attempt)
        raise WriterDiedError(f"this process died. call={call} carried_out={self.carried_out}")


@dataclass(frozen=True, slots=True)
class Fail:
    """The call is not carried out and the store is unavailable, for ``silence`` more calls too."""

    silence: int = 0

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        line.silent_calls = self.silence
        raise StoreUnavailableError(f"no answer, the request was lost. call={call}")


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The call is carried out, the answer is lost, and ``silence`` more calls get none either."""

    silence: int = 0

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        _ignore_refusal(attempt)
        line.silent_calls = self.silence
        raise StoreUnavailableError(f"no answer, it was lost on its way. call={call}")


@dataclass(frozen=True, slots=True)
class CarryOutTwice:
    """The call is carried out twice, as by an SDK's silent retry; the second answer is the one seen.

    So a conditional put that succeeded is answered with ``PreconditionFailedError``.
    """

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        _ignore_refusal(attempt)
        return attempt()


@dataclass(frozen=True, slots=True)
class AnswerConflict:
    """The answer is 409; ``carried_out``: after an attempt that a silent retry had hidden."""

    carried_out: bool = False

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        if self.carried_out:
            _ignore_refusal(attempt)
        raise ConflictingRequestError(f"a conditional request is under way. call={call}")


@dataclass(frozen=True, slots=True)
class HoldBack:
    """The call is under way for long and the caller gives up; it arrives later.

    It arrives after ``calls`` more calls of this client, just before the next one, or when
    ``FaultyStore.deliver`` is called. ``silence`` more calls get no answer first. With ``retried`` a
    second attempt is made at once, whose answer the caller sees, and the first arrives late.
    """

    calls: int = FOREVER
    silence: int = 0
    retried: bool = False

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        line.held.append(HeldCall(call, attempt, self.calls))
        if self.retried:
            return attempt()
        line.silent_calls = self.silence
        raise StoreUnavailableError(f"no answer in time, the request is under way. call={call}")


@dataclass(frozen=True, slots=True)
class At:
    """Strike the call with this ``number``, from 0, among those that ``among`` counts."""

    number: int
    fault: Fault
    among: CallFilter = every_call


class FaultyStore:
    """An ``ObjectStore`` that passes calls on to ``store`` and lets faults strike.

    ``calls`` lists what was asked for until now, what was struck included and what met a cut line
    excluded. The bookkeeping is safe to share between threads; *which* call is number N is settled only
    where calls come one after the other.
    """

    def __init__(self, store: ObjectStore, *strikes: At) -> None:
        self.calls: list[StoreCall] = []
        self.line = Line()
        self._store = store
        self._pending: list[tuple[At, int]] = []
        self._bookkeeping_lock = threading.Lock()
        self.plan(*strikes)

    @property
    def identity(self) -> str:
        return self._store.identity

    @property
    def struck(self) -> bool:
        """Whether every fault has struck."""
        return not self._pending

    def plan(self, *strikes: At) -> None:
        """Add faults; their calls are counted from now on."""
        with self._bookkeeping_lock:
            self._pending += [(strike, strike.number) for strike in strikes]

    @property
    def held(self) -> tuple[HeldCall, ...]:
        """The calls that were held back, arrived or not."""
        return tuple(self.line.held)

    def deliver(self) -> None:
        """Let every call arrive that is held back."""
        for held in self.held:
            held.carry_out()

    def heal(self) -> None:
        """Mend a silent line. The dead stay dead."""
        self.line.silent_calls = 0

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        conditions = {"range": byte_range, "if_match": if_match, "if_none_match": if_none_match}
        call = StoreCall("get", (key,), _stated(conditions))
        return self._pass_on(
            call,
            lambda: self._store.get(
                key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
            ),
        )

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        call = StoreCall("put", (key,), _stated({"if_match": if_match, "if_absent": if_absent or None}))
        return self._pass_on(
            call, lambda: self._store.put(key, body, if_match=if_match, if_absent=if_absent)
        )

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        call = StoreCall("list", (prefix,), _stated({"start_after": start_after or None}))
        yield from self._pass_on(
            call, lambda: tuple(self._store.list(prefix, start_after=start_after, limit=limit))
        )

    def delete(self, keys: Sequence[str]) -> None:
        self._pass_on(StoreCall("delete", tuple(keys)), lambda: self._store.delete(keys))

    def close(self) -> None:
        self._store.close()

    def _pass_on(self, call: StoreCall, attempt: Attempt[T]) -> T:
        with self._bookkeeping_lock:
            self.line.check(call)
            arriving = self.line.due()
            self.calls.append(call)
            strikes = self._strikes_on(call)
        for held in arriving:
            held.carry_out()
        for strike in strikes:
            attempt = partial(strike.fault.strike, call, attempt, self.line)
        return attempt()

    def _strikes_on(self, call: StoreCall) -> Sequence[At]:
        due = [strike for strike, left in self._pending if left == 0 and strike.among(call)]
        self._pending = [
            (strike, left - 1 if strike.among(call) else left)
            for strike, left in self._pending
            if strike not in due
        ]
        return due


def _ignore_refusal(attempt: Attempt[object]) -> None:
    try:
        attempt()
    except (PreconditionFailedError, ConflictingRequestError):
        return


def _stated(conditions: Mapping[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in conditions.items() if value is not None)

"""Whether a history over one database is strictly serializable.

Every commit makes the next version, so the serial order is not searched for: it is the order of the
versions that the operations name. What is checked, in time nearly linear in the history:

* no version was made twice ("double commit"), and each was made from the one before it ("lost update");
* each version has a maker: an operation that says so, or one whose outcome is unknown; where several
  unknown ones could have made it, each is tried ("missing commit" when none fits: one that was
  reported as failed has committed, or one has committed twice);
* what a transaction read is what the version that it read from holds, whole, whether it committed or
  not, its own writes on top ("wrong read": torn, doubly applied, or of what never was);
* a transaction reads no older version than one that was read or made by a transaction that had ended
  before it was invoked ("stale"): that is the *strict* in strictly serializable.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlite_s3vfs.testing.histories import Operation, Step, Value

AnomalyKind = Literal["double commit", "lost update", "missing commit", "wrong read", "stale"]
State = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One way in which a history is impossible."""

    kind: AnomalyKind
    version: int
    text: str

    def __str__(self) -> str:
        return f"{self.kind} at version {self.version}: {self.text}"


def check_history(
    operations: Iterable[Operation],
    *,
    initial: Mapping[str, Value] | None = None,
    first_version: int = 0,
) -> tuple[Anomaly, ...]:
    """What is wrong with a history; nothing if it is strictly serializable.

    ``initial`` is the content at ``first_version``; keys that it leaves out hold None, or an empty list
    where something is appended. Let a last transaction read everything after all others have ended:
    without it, what became of the last commits cannot be seen. The content is followed up to the first
    version where it goes wrong, since what comes after proves nothing.
    """
    found = tuple(operations)
    return (
        *_claims_gone_wrong(found),
        *_stale_reads(found),
        *_Replay(found, first_version).contents_gone_wrong(dict(initial or {})),
    )


def _claims_gone_wrong(operations: Sequence[Operation]) -> Iterator[Anomaly]:
    makers: dict[int, Operation] = {}
    for operation in operations:
        if operation.version is None or not operation.writes:
            continue
        version = operation.version
        first = makers.setdefault(version, operation)
        if first is not operation:
            yield Anomaly("double commit", version, f"made by {first} and by {operation}.")
        if operation.base is not None and operation.base != version - 1:
            yield Anomaly("lost update", version, f"{operation} made it from {operation.base}.")


def _stale_reads(operations: Sequence[Operation]) -> Iterator[Anomaly]:
    ends = sorted(
        (operation.ended, newest, str(operation))
        for operation in operations
        if operation.outcome != "info" and (newest := _newest_known(operation)) is not None
    )
    newest_by_then = list(itertools.accumulate((end[1:] for end in ends), max))
    for operation in operations:
        read_from = _read_from(operation)
        ended_before = bisect.bisect_left(ends, (operation.invoked,))
        if read_from is None or ended_before == 0:
            continue
        newest, witness = newest_by_then[ended_before - 1]
        if read_from < newest:
            text = f"{operation} read it after {witness} had ended, knowing version {newest}."
            yield Anomaly("stale", read_from, text)


class _Replay:
    """Makes one version after the other and compares it with what was read from it."""

    def __init__(self, operations: Sequence[Operation], first_version: int) -> None:
        self._readers: dict[int, list[Operation]] = defaultdict(list)
        self._makers: dict[int, list[Operation]] = defaultdict(list)
        self._unknown: dict[int | None, list[Operation]] = defaultdict(list)
        self._known_by: dict[int, float] = {}
        self._first = self._last = first_version
        for operation in operations:
            read_from, newest = _read_from(operation), _newest_known(operation)
            if read_from is not None:
                self._readers[read_from].append(operation)
            if newest is not None:
                self._last = max(self._last, newest)
                known_by = self._known_by.get(newest, operation.ended)
                self._known_by[newest] = min(known_by, operation.ended)
            if operation.version is not None and operation.writes:
                self._makers[operation.version].append(operation)
            elif operation.outcome == "info" and operation.writes:
                self._unknown[read_from].append(operation)
        self._spread_known_by()

    def contents_gone_wrong(self, state: State) -> Sequence[Anomaly]:
        version, made = self._first, list[Operation]()
        untried: list[tuple[int, State, Sequence[Operation]]] = []
        worst: Sequence[Anomaly] = ()
        while True:
            wrong = list(self._wrong_reads(version, state))
            makers: Sequence[Operation] = ()
            if not wrong:
                if version == self._last:
                    return ()
                makers = self._makers_of(version + 1, made)
                if not makers:
                    wrong = [self._missing(version + 1)]
            if wrong:
                worst = max(worst, wrong, key=lambda anomalies: [found.version for found in anomalies])
                if not untried:
                    return worst
                version, state, makers = untried.pop()
                del made[version - self._first :]
            if len(makers) > 1:
                untried.append((version, dict(state), makers[1:]))
            made.append(makers[0])
            _apply(state, makers[0].steps)
            version += 1

    def _makers_of(self, version: int, made: Sequence[Operation]) -> Sequence[Operation]:
        """Who made it: one that says so, or else whoever may have, having begun in time."""
        return self._makers[version][:1] or [
            operation
            for operation in (*self._unknown[version - 1], *self._unknown[None])
            if operation not in made and operation.invoked < self._known_by[version]
        ]

    def _missing(self, version: int) -> Anomaly:
        suspects = [
            str(operation)
            for operation in self._readers[version - 1]
            if operation.outcome == "fail" and operation.writes
        ]
        text = f"nobody may have made it; reported as failed, begun at the one before: {suspects}."
        return Anomaly("missing commit", version, text)

    def _wrong_reads(self, version: int, state: State) -> Iterator[Anomaly]:
        for operation in self._readers[version]:
            own: State = {}
            for step in operation.steps:
                if step.action != "read":
                    own.setdefault(step.key, state.get(step.key))
                    _apply(own, (step,))
                    continue
                held = own.get(step.key, state.get(step.key))
                if _seen(held) != _seen(step.value):
                    text = f"{operation} read {step.key}={step.value!r} where it holds {held!r}."
                    yield Anomaly("wrong read", version, text)

    def _spread_known_by(self) -> None:
        """Who knows a version knows that all before it had been made."""
        known_by = float("inf")
        for version in range(self._last, self._first, -1):
            known_by = min(known_by, self._known_by.get(version, known_by))
            self._known_by[version] = known_by


def _apply(state: State, steps: Iterable[Step]) -> None:
    for step in steps:
        if step.action == "write":
            state[step.key] = step.value
        elif step.action == "append":
            held = state.get(step.key) or ()
            if not isinstance(held, tuple) or not isinstance(step.value, int):
                raise ValueError(f"numbers are appended to lists. step={step} held={held!r}")
            state[step.key] = (*held, step.value)


def _seen(value: Value) -> Value:
    """An empty list and none at all look the same."""
    return None if value == () else value


def _read_from(operation: Operation) -> int | None:
    if operation.base is not None or operation.version is None:
        return operation.base
    return operation.version - 1 if operation.writes else operation.version


def _newest_known(operation: Operation) -> int | None:
    return operation.version if operation.version is not None else operation.base

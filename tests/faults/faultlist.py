"""The faults that strike each call in turn, and what the writer may be told."""

from __future__ import annotations

from dataclasses import dataclass

from faults.kinds import Kind
from faults.trials import Told
from sqlite_s3vfs.testing import (
    FOREVER,
    AnswerConflict,
    CallFilter,
    CarryOutTwice,
    Die,
    Fail,
    Fault,
    HoldBack,
    LoseAnswer,
    StoreCall,
    every_call,
    mutations,
    puts_of,
)

manifest_puts = puts_of("/manifest")


def puts(call: StoreCall) -> bool:
    return call.operation == "put"


@dataclass(frozen=True)
class Struck:
    """A fault, the calls it strikes, and what the writer may be told of its commit."""

    name: str
    fault: Fault
    tells: frozenset[Told]
    among: CallFilter = every_call
    typical: bool = False

    def __str__(self) -> str:
        return self.name

    def strikes_min(self, kind: Kind) -> int:
        return kind.calls_min if self.among is every_call else 1


DONE: frozenset[Told] = frozenset({"committed"})
DIES: frozenset[Told] = frozenset({"died"})
CLEAR: frozenset[Told] = frozenset({"committed", "refused"})
ANY: frozenset[Told] = CLEAR | {"unknown"}

UNTIL_GIVEN_UP = 11
"""Calls that a commit makes to settle its put before it says "unknown"; the next one is answered."""

FAULTS = (
    Struck("dies before the call", Die(), DIES, typical=True),
    Struck("dies after the call", Die(carried_out=True), DIES, typical=True),
    Struck("the call fails once", Fail(), CLEAR, typical=True),
    Struck("the call fails, and three more", Fail(silence=3), CLEAR),
    Struck("the call fails, and all later ones", Fail(silence=FOREVER), ANY),
    Struck("the answer is lost once", LoseAnswer(), CLEAR, typical=True),
    Struck("the answer is lost, and three more calls fail", LoseAnswer(silence=3), CLEAR),
    Struck("the answer is lost, and all later calls fail", LoseAnswer(silence=FOREVER), ANY),
    Struck("the answer is lost until given up", LoseAnswer(silence=UNTIL_GIVEN_UP), ANY, typical=True),
    Struck("the call is carried out twice", CarryOutTwice(), DONE, mutations, typical=True),
    Struck("the put is answered 409 once", AnswerConflict(), DONE, puts),
    Struck(
        "the put is carried out, then answered 409",
        AnswerConflict(carried_out=True),
        DONE,
        puts,
        typical=True,
    ),
    *(
        Struck(f"the put arrives {calls} calls later", HoldBack(calls), CLEAR, puts)
        for calls in (1, 2, 3, FOREVER)
    ),
    *(
        Struck(
            f"the put arrives {calls} calls after a long silence",
            HoldBack(calls, silence=UNTIL_GIVEN_UP),
            ANY,
            puts,
            typical=calls == 1,
        )
        for calls in (0, 1, 2, 3, FOREVER)
    ),
    Struck("the put arrives after its own retry", HoldBack(0, retried=True), DONE, puts),
    Struck("the put arrives long after its own retry", HoldBack(retried=True), DONE, puts),
)

"""Another process commits before each store call of a commit in turn, and the answer is lost besides.

Over SQLite connections through the VFS. The rival's commit must never be lost, the loser is told so or
is told that nobody knows, and its connection goes on with what the rival has left.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TypeVar

import apsw
import pytest

from faults.clients import SQLClient
from faults.faultlist import UNTIL_GIVEN_UP, manifest_puts
from faults.kinds import Kind, Script, kind_called, run_script, sql
from faults.trials import (
    Told,
    Trial,
    VerdictError,
    check_integrity,
    dump,
    require,
    state_of,
    tables,
)
from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.manifests import ManifestStore
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing import (
    AnswerConflict,
    At,
    CarryOutTwice,
    Fault,
    HoldBack,
    LoseAnswer,
    StoreCall,
)
from sqlite_s3vfs.testing.faults import Attempt, Line

pytestmark = pytest.mark.slow
T = TypeVar("T")

KINDS = [
    kind_called(name)
    for name in (
        "tail commit",
        "commit with blocks",
        "commit that adopts a fold",
        "commit with blocks that adopts a fold",
        "shrink",
        "page-size change",
    )
]


def random_notes(*, seed: int) -> Script:
    """Too many bytes for a tail."""
    chance = random.Random(seed)
    update = "update account set note = ? where id = ?"
    notes = [(update, (chance.randbytes(400).hex(), n)) for n in range(100, 200)]
    return (*sql("begin"), *notes, *sql("commit"))


RIVALS = {
    "a small rival": sql("update account set note = 'rival' where id = 100"),
    "a large rival": random_notes(seed=20),
}
each_rival = pytest.mark.parametrize(
    "rival",
    [
        pytest.param(RIVALS["a small rival"], id="small"),
        pytest.param(RIVALS["a large rival"], id="large", marks=pytest.mark.long),
    ],
)
FAULTS: dict[str, Fault | None] = {
    "no fault": None,
    "answer lost": LoseAnswer(),
    "carried out twice": CarryOutTwice(),
    "409 after it was carried out": AnswerConflict(carried_out=True),
    "given up": LoseAnswer(silence=UNTIL_GIVEN_UP),
    "late": HoldBack(calls=1),
    "given up and late": HoldBack(calls=1, silence=UNTIL_GIVEN_UP),
}


class OtherProcess(MemoryObjectStore):
    """The same objects, seen from a process with a write lock of its own."""

    def __init__(self, store: MemoryObjectStore) -> None:
        super().__init__()
        self._objects = store._objects
        self._objects_lock = store._objects_lock


@dataclass
class Overtaken:
    """Another process commits just before the call."""

    store: MemoryObjectStore
    script: Script
    came: bool = False

    def strike(self, call: StoreCall, attempt: Attempt[T], line: Line) -> T:
        self.came = True
        rival = SQLClient(OtherProcess(self.store), Settings(), seed="rival", proven=True)
        run_script(rival.connection, self.script)
        rival.close()
        return attempt()


def judge(trial: Trial, told: Told, ours: Script) -> None:
    """The rival's commit is there; ours is there on top of it, before it, or not, as was told."""
    trial.faulty.heal()
    early = state_of(trial.store)
    trial.faulty.deliver()
    found = state_of(trial.store)
    require(found == early or told == "unknown", f"told {told}, and later {early} became {found}")
    rivals = found.version - trial.old.version
    require(rivals in (1, 2), f"told {told}, {rivals} commits were made")
    require((told == "committed") <= (rivals == 2), f"told {told}, and it is not there")
    require((told == "refused") <= (rivals == 1), f"told {told}, and it is there")
    got = apsw.Connection(":memory:")
    got.deserialize("main", found.content)
    (note,) = got.execute("select note from account where id = 100").fetchone()
    require(note == "rival" or len(note) == 800, "the rival's commit is there")
    if rivals == 1:
        run_script(got, ours)
    without_notes = "update account set note = ''"
    got.execute(without_notes)
    wanted = apsw.Connection(":memory:")
    wanted.deserialize("main", trial.old.content)
    run_script(wanted, ours)
    wanted.execute(without_notes)
    require(dump(got) == dump(wanted), "ours is there whole, or can be made on top of it")
    go_on(trial, told)


def go_on(trial: Trial, told: Told) -> None:
    before = state_of(trial.store)
    require(trial.client.sees(before.content), f"told {told}, and the client does not see {before}")
    trial.client.follow_up()
    after = state_of(trial.store)
    require(after.version == before.version + 1, f"the next commit made {after} of {before}")
    require(tables(after.content) == tables(before.content), f"{after} is not made from {before}")
    check_integrity(after.content)


def overtake_each_call(kind: Kind, rival: Script, fault: Fault | None) -> dict[Told, int]:
    """Place the rival before each call in turn; count what the commit under test was told."""
    counts: dict[Told, int] = {}
    for number in itertools.count():
        trial = Trial(kind, SQLClient)
        overtaken = Overtaken(trial.store, rival)
        strikes = [At(0, fault, manifest_puts)] if fault is not None else []
        calls_before = len(trial.faulty.calls)
        told = trial.run(*strikes, At(number, overtaken))
        try:
            if not overtaken.came:
                return counts
            judge(trial, told, kind.change)
            counts[told] = counts.get(told, 0) + 1
        except VerdictError as error:
            calls = "\n  ".join(str(call) for call in trial.faulty.calls[calls_before:])
            raise VerdictError(f"{kind}, overtaken at call {number}: {error}\n  {calls}") from error
        finally:
            trial.close()
    raise AssertionError("unreachable: the count is endless")


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@each_rival
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_rival_before_each_call(kind: Kind, rival: Script, fault: Fault | None):
    told = overtake_each_call(kind, rival, fault)

    assert told.get("committed", 0) + told.get("unknown", 0) >= 1  # the rival came before it began
    assert told.get("refused", 0) + told.get("unknown", 0) >= 1  # and in the middle


def test_not_settling_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """The planted mistake: what is not answered with success is taken for a conflict."""

    def believe(self: ManifestStore, base: object, ours: object) -> None:
        raise ConflictError("another writer committed first.")

    monkeypatch.setattr(ManifestStore, "_settle", believe)

    with pytest.raises(VerdictError, match="it is there"):
        overtake_each_call(KINDS[0], RIVALS["a small rival"], CarryOutTwice())

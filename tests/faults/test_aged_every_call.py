"""Condemning, deleting and forgetting (invariant I5), struck at every call of the commits that do it.

After each fault a fresh reader has every version that is promised, and what a checkpoint and a fork
hold; nothing was deleted before a manifest in the bucket condemned it, nor forgotten before it was gone;
and other processes get rid of what this one left. Then each rule is broken on purpose.
"""

from __future__ import annotations

import pytest

from faults.aged import FORKED, PINNED, Bench, Kind, judge, prepared, trial
from faults.faultlist import FAULTS, Struck
from faults.trials import VerdictError, require
from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.past import Moment, checkpoint_create
from sqlite_s3vfs.planning import condemning as rules
from sqlite_s3vfs.planning.condemning import with_condemned
from sqlite_s3vfs.testing import At, Die, WriterDiedError
from sqlite_s3vfs.transaction import condemning
from sqlite_s3vfs.transaction.condemning import Condemning

pytestmark = pytest.mark.slow


def one(bench: Bench) -> None:
    bench.commit(bench.process)


def three(bench: Bench) -> None:
    for _ in range(3):
        bench.commit(bench.process)


def with_blocks(bench: Bench) -> None:
    bench.commit(bench.process, in_blocks=True)
    bench.commit(bench.process, in_blocks=True)


def adopting(bench: Bench) -> None:
    bench.process.fold()
    bench.commit(bench.process)
    bench.commit(bench.process)


def condemned_by_the_dead(bench: Bench) -> None:
    """Its batch stands in the manifest; it did not come to delete anything."""
    bench.line.plan(At(0, Die(), lambda call: call.operation == "delete"))
    with pytest.raises(WriterDiedError):
        three(bench)
    bench.restart()


def pinned_meanwhile(bench: Bench) -> None:
    """Somebody names an old version after the plan was made that would condemn it."""

    def name_it() -> None:
        checkpoint_create(bench.fresh(seed="somebody"), "late", Moment(version=8))

    bench.commit(bench.process, begun=name_it)
    bench.commit(bench.process)


KINDS = {
    "condemns": Kind(one),
    "condemns, deletes and forgets": Kind(three),
    "deletes for the dead": Kind(three, condemned_by_the_dead),
    "writes blocks": Kind(with_blocks),
    "adopts a fold": Kind(adopting),
    "a pin comes between": Kind(pinned_meanwhile),
}
ORDINARY = ("dies after the call", "the answer is lost once", "the call is carried out twice")


def doomed(kind: Kind) -> frozenset[str]:
    """What is gone in the end where nothing goes wrong."""
    bench, told = trial(kind)
    require(told == "committed", "nothing goes wrong")
    judge(bench, told, frozenset())
    return frozenset(prepared()) - bench.keys()


def sweep(kind: Kind, struck: Struck, gone: frozenset[str]) -> int:
    for number in range(1000):
        bench, told = trial(kind, At(number, struck.fault, struck.among))
        if not bench.line.struck:
            return number
        try:
            require(told in struck.tells, f"told {told}")
            judge(bench, told, gone)
        except (VerdictError, S3VFSError) as error:
            raise VerdictError(f"{struck} at call {number}: {error!r}") from error
    raise AssertionError("it makes no end of calls")


@pytest.mark.parametrize("kind", KINDS)
def test_every_call(kind):
    gone = GONE[kind]
    assert len(gone) >= 5
    for struck in FAULTS:
        if struck.name in ORDINARY:
            assert sweep(KINDS[kind], struck, gone) >= 1


@pytest.mark.long
@pytest.mark.parametrize("struck", [row for row in FAULTS if row.name not in ORDINARY], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_at_every_call(kind, struck):
    assert sweep(KINDS[kind], struck, GONE[kind]) >= 1


# The mistakes


def notices(kind: str, fault: str, says: str) -> None:
    """The fault brings the mistake to light, and for the right reason."""
    with pytest.raises(VerdictError, match=says):
        sweep(KINDS[kind], next(row for row in FAULTS if row.name == fault), GONE[kind])


@pytest.fixture(autouse=True, scope="module")
def _right_outcomes() -> None:
    """What is right is found out before a mistake is planted."""
    GONE.update({name: doomed(kind) for name, kind in KINDS.items()})


LOST = "is another one|gone|missing"
GONE: dict[str, frozenset[str]] = {}


def test_deleting_before_the_manifest_is_published_is_noticed(monkeypatch):
    offer = Condemning.offer

    def offer_and_delete(self, base):
        found = offer(self, base)
        batch = with_condemned(base, found.plan, cleared=found.cleared).condemned
        if batch:
            self._start_deleting(batch)
        return found

    monkeypatch.setattr(Condemning, "offer", offer_and_delete)

    notices("condemns", "dies after the call", says="not condemned")


def test_forgetting_before_the_answer_to_a_delete_is_noticed(monkeypatch):
    start = Condemning._start_deleting

    def start_and_forget(self, condemned):
        start(self, condemned)
        self._cleared = condemned.batch_id

    monkeypatch.setattr(Condemning, "_start_deleting", start_and_forget)

    notices("condemns, deletes and forgets", "the call fails once", says="forgotten|nobody deletes")


def test_a_batch_that_nobody_takes_over_is_noticed(monkeypatch):
    """Only the process that condemned it deletes it: it dies before that."""
    note_held, start = Condemning._note_held, Condemning._start_deleting
    own: set[bytes] = set()

    def note(self, plan, manifest):
        own.add(plan.batch_id)
        note_held(self, plan, manifest)

    def start_own(self, condemned):
        if condemned.batch_id in own:
            own.clear()
            start(self, condemned)

    monkeypatch.setattr(Condemning, "_note_held", note)
    monkeypatch.setattr(Condemning, "_start_deleting", start_own)

    notices("condemns", "the call fails once", says="nobody deletes")


def test_what_a_pin_needs_is_noticed_when_it_goes(monkeypatch):
    monkeypatch.setattr(rules, "_is_pinned", lambda row, pins: False)
    monkeypatch.setattr(rules, "is_held", lambda expired, base: False)

    notices("condemns", "dies after the call", says=LOST)


def test_a_plan_that_is_not_held_against_the_pins_of_its_base_is_noticed(monkeypatch):
    """Those of the manifest that it was made from are older: somebody pinned a version since."""
    monkeypatch.setattr(rules, "_pinned_versions", lambda base: [PINNED, FORKED])

    notices("a pin comes between", "dies after the call", says=LOST)


def test_what_is_within_retention_is_noticed_when_it_goes(monkeypatch):
    everything = lambda manifest, time_ms, now_ms: manifest.version  # noqa: E731
    monkeypatch.setattr(condemning, "first_in_retention", everything)

    notices("condemns", "dies after the call", says="within retention")

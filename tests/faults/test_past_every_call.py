"""Every store call of a restore, checkpoint, fork, removal and collection struck by every kind of fault.

Afterwards the database is as before, or as it was to become, as its maker was told; every version that
is kept is whole; and the same done again, by a process that knows nothing, comes to its end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from past.test_restore import but_for_counters
from past.world import FIRST_PAGE, PAGE_SIZE
from unit.planning.world import limits

from faults.trials import NAME, VerdictError, body_of, engine_on, require
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, NotFoundError, S3VFSError
from sqlite_s3vfs.format.manifest import State
from sqlite_s3vfs.manifests import ManifestStore
from sqlite_s3vfs.past import (
    Moment,
    checkpoint_create,
    checkpoint_list,
    checkpoint_remove,
    collect,
    collecting,
    fork,
    forking,
    forks,
    open_at,
    remove,
    restore,
    restoring,
    verify,
)
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import PreconditionFailedError
from sqlite_s3vfs.testing import (
    At,
    CarryOutTwice,
    Die,
    Fail,
    Fault,
    FaultyStore,
    LoseAnswer,
    ManualClock,
    SeededIds,
    WriterDiedError,
)

pytestmark = pytest.mark.slow

CHILD = "some/child"
SETTINGS = Settings(block_size=2048)
VERSIONS = range(1, 6)
FAULTS: Mapping[str, Fault] = {
    "dies before": Die(),
    "dies after": Die(carried_out=True),
    "fails": Fail(),
    "is lost": LoseAnswer(),
    "is lost, and silence": LoseAnswer(silence=11),
    "fails, and silence": Fail(silence=11),
    "comes twice": CarryOutTwice(),
}


TYPICAL = {name: FAULTS[name] for name in ("dies before", "dies after", "is lost")}


def database_on(store: object, name: str = NAME, *, seed: str = "somebody") -> Database:
    engine = engine_on(store, SETTINGS, seed)
    engine.conditions_proven = True
    return Database(engine, name)


@functools.cache
def prepared() -> Mapping[str, bytes]:
    """Five versions, a checkpoint, and a segment that nobody refers to."""
    store = MemoryObjectStore(clock=ManualClock())
    database = database_on(store, seed="prepare")
    for version in VERSIONS:
        pages = {page: bytes([version, page]) * (PAGE_SIZE // 2) for page in range(1, 3 * version + 3)}
        counter = version.to_bytes(4, "big")
        header = FIRST_PAGE[:24] + counter + len(pages).to_bytes(4, "big") + FIRST_PAGE[32:92] + counter
        pages[1] = (header + pages[1])[:PAGE_SIZE]
        transaction = database.begin(database.snapshot())
        for page, body in pages.items():
            transaction.write((page - 1) * PAGE_SIZE, body)
        with limits({"TAIL_COMMIT_MAX": 50 if version in (1, 4) else 32 << 10}):
            transaction.commit(len(pages) * PAGE_SIZE)      # versions 1 and 4 are written as blocks
        transaction.close()
        if version == 3:
            database.fold()
    checkpoint_create(database, "kept", Moment(version=2))
    segment = next(row.key for row in store.list(f"{NAME}/segments/"))
    store.put(segment[:-16] + "0123456789abcdef", body_of(store, segment))
    return {row.key: body_of(store, row.key) for row in store.list("")}


class Bench:
    """A copy of the database, and a process that acts on it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryObjectStore(clock=self.clock, ids=SeededIds("store"))
        for key, body in prepared().items():
            self.store.put(key, body)
        self.line = FaultyStore(self.store)
        self.contents = {version: self.content(version) for version in VERSIONS}

    def actor(self) -> Database:
        return database_on(self.line, seed="actor")

    def fresh(self, name: str = NAME) -> Database:
        return database_on(self.store, name, seed="fresh")

    def content(self, version: int | None = None, name: str = NAME) -> bytes:
        snapshot = open_at(self.fresh(name), Moment(version=version))
        return bytes(snapshot.read(0, snapshot.size))

    def is_there(self, name: str = NAME) -> bool:
        try:
            return bool(self.fresh(name).snapshot().manifest.commits)
        except NotFoundError:
            return False

    def check_past(self) -> None:
        for version, content in self.contents.items():
            require(self.content(version) == content, f"version {version} is another one")
        require(verify(self.fresh()).whole, "the database is damaged")

    def forget(self) -> None:
        """A long time passes, and collections run."""
        for _ in range(2):
            self.clock.advance(10_000)
            for name in (NAME, CHILD):
                head = self.fresh(name).manifests.latest()
                if head is not None and head.manifest.state.value in ("live", "tombstone"):
                    collect(self.fresh(name))


@dataclass(frozen=True)
class Kind:
    """An operation, and the judgement on what it left: whether it has been carried out."""

    act: Callable[[Bench, Database], object]
    was_done: Callable[[Bench], bool]


def restored(bench: Bench) -> bool:
    bench.check_past()
    newest = bench.fresh().snapshot().version
    if newest == max(VERSIONS):
        return False
    expected = but_for_counters(bench.contents[2])
    require(but_for_counters(bench.content()) == expected, "another version was restored")
    return True


def named(bench: Bench) -> bool:
    bench.check_past()
    return "new" in [checkpoint.name for checkpoint in checkpoint_list(bench.fresh())]


def forgotten(bench: Bench) -> bool:
    bench.check_past()
    return not checkpoint_list(bench.fresh())


def forked(bench: Bench) -> bool:
    bench.check_past()
    if not bench.is_there(CHILD):
        return False
    require(bench.content(name=CHILD) == bench.contents[5], "the child is another version")
    require(verify(bench.fresh(CHILD)).whole, "the child is damaged")
    return True


def removed(bench: Bench) -> bool:
    if bench.is_there():
        bench.check_past()
        return False
    return True


def collected(bench: Bench) -> bool:
    bench.check_past()
    return not any("0123456789abcdef" in row.key for row in bench.store.list(NAME))


def collects(bench: Bench, database: Database) -> None:
    bench.clock.advance(10_000)
    collect(database)


KINDS = {
    "restore": Kind(lambda bench, db: restore(db, Moment(version=2)), restored),
    "checkpoint": Kind(lambda bench, db: checkpoint_create(db, "new", Moment(version=3)), named),
    "forget": Kind(lambda bench, db: checkpoint_remove(db, "kept"), forgotten),
    "fork": Kind(
        lambda bench, db: fork(db, Database(db.engine, CHILD), Moment(version=5)), forked
    ),
    "remove": Kind(lambda bench, db: remove(db), removed),
    "collect": Kind(collects, collected),
}


def strikes(kind: Kind, faults: Mapping[str, Fault]) -> Iterator[tuple[str, At]]:
    bench = Bench()
    before = len(bench.line.calls)
    kind.act(bench, bench.actor())
    for number in range(len(bench.line.calls) - before):
        for name, fault in faults.items():
            yield f"call {number} {name}", At(number, fault)


def run_struck(kind: Kind, strike: At) -> None:
    bench = Bench()
    bench.line.plan(strike)
    told = "done"
    try:
        kind.act(bench, bench.actor())
    except WriterDiedError:
        told = "died"
    except CommitUnknownError:
        told = "unknown"
    except S3VFSError:
        told = "failed"
    bench.line.heal()
    done = kind.was_done(bench)
    require(done or told != "done", "it was told to be done, and is not")
    clear = kind is KINDS["collect"] or kind is KINDS["remove"] or not done or told != "failed"
    require(clear, "it was told to have failed, and is done")
    go_on(bench, kind, done)


def go_on(bench: Bench, kind: Kind, done: bool) -> None:
    """Somebody else does the same; and later collections harm nothing that is promised."""
    bench.forget()
    done = kind.was_done(bench)
    child = bench.fresh(CHILD).manifests.latest()
    if kind is KINDS["fork"] and child is not None and child.manifest.state is State.PENDING:
        remove(bench.fresh(CHILD))                      # it died before the parent heard of it
    if not done or kind in (KINDS["remove"], KINDS["collect"]):
        kind.act(bench, bench.fresh())
        require(kind.was_done(bench), "it cannot be done any more")
    if kind is KINDS["remove"]:
        left = {row.key for row in bench.store.list(f"{NAME}/")}
        require(left == {f"{NAME}/manifest"}, f"objects are left: {left}")
    if kind is KINDS["fork"]:
        require(len(forks(bench.fresh())) == 1, "a pin too many or too few")
    bench.forget()
    require(kind.was_done(bench), "a collection undid it")


def sweep(kind: Kind, faults: Mapping[str, Fault]) -> int:
    count = 0
    for name, strike in strikes(kind, faults):
        count += 1
        try:
            run_struck(kind, strike)
        except Exception as error:
            error.add_note(name)
            raise
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_every_call(kind):
    assert sweep(KINDS[kind], TYPICAL) >= 2 * len(TYPICAL)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_at_every_call(kind):
    assert sweep(KINDS[kind], FAULTS) >= 2 * len(FAULTS)


# The mistakes


def notices(kind: str) -> None:
    with pytest.raises((VerdictError, S3VFSError, AssertionError)):
        sweep(KINDS[kind], TYPICAL)


def test_maintenance_that_believes_a_refusal_is_noticed(monkeypatch):
    def believing(self, base, manifest, done):
        from sqlite_s3vfs.format.manifestcodec import encode_manifest

        body = encode_manifest(manifest, self._ids.new_id())
        try:
            self._store.put(self._keys.manifest, body, if_match=base.etag)
        except PreconditionFailedError as error:
            raise ConflictError("refused, it seems") from error
        return base

    monkeypatch.setattr(ManifestStore, "maintain", believing)

    notices("checkpoint")


def test_a_restore_that_copies_the_tail_as_it_is_is_noticed(monkeypatch):
    """Rows keep their versions: the past is told otherwise by them than it was."""
    carry = restoring.carry

    def stale(past, *arguments, **values):
        carried = carry(past, *arguments, **values)
        return type(carried)(carried.entries[:1], carried.interior)

    monkeypatch.setattr(restoring, "carry", stale)

    notices("restore")


def test_a_fork_that_is_let_go_before_it_is_given_up_is_noticed(monkeypatch):
    """The pin goes though the child went live: its first call was carried out, the answer lost."""

    def unpins(database, child, place, pin):
        forking.maintain(database, lambda base: forking.without_pins(base, frozenset([pin.pin_id])))

    def activates_and_fails(database, kept, child, place):
        activate(database, kept, child, place)
        raise ConflictError("refused, it seems")

    activate = forking._activate
    monkeypatch.setattr(forking, "_tidy_up", unpins)
    monkeypatch.setattr(forking, "_activate", activates_and_fails)

    notices("fork")


def test_a_pin_that_is_stale_too_early_is_noticed(monkeypatch):
    monkeypatch.setattr(collecting, "is_stale", lambda *arguments, **values: True)

    notices("fork")


def test_a_collection_that_forgets_the_past_is_noticed(monkeypatch):
    from sqlite_s3vfs.past import garbage

    kept = garbage.kept_manifests
    monkeypatch.setattr(garbage, "kept_manifests", lambda *arguments: kept(*arguments)[-1:])

    notices("collect")


def test_a_removal_that_leaves_objects_is_noticed(monkeypatch):
    from sqlite_s3vfs.past import removing

    monkeypatch.setattr(removing, "delete_all", lambda database, sizes, phase, on_progress: 0)

    notices("remove")

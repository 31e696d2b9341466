"""One commit under one fault, and the judgement on what it left behind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import apsw

from faults.kinds import ANCESTOR_BLOCK_SIZE, Kind
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CommitUnknownError, S3VFSError
from sqlite_s3vfs.format.sqlite_header import parse_header
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.testing import (
    At,
    CallFilter,
    Fault,
    FaultyStore,
    ManualClock,
    SeededIds,
    WriterDiedError,
    every_call,
)
from sqlite_s3vfs.transfer import deserialize_iter, serialize_iter

NAME = "some/database"
Told = Literal["committed", "refused", "unknown", "died"]


class VerdictError(AssertionError):
    """A promise was broken."""


def engine_on(store: ObjectStore, settings: Settings, seed: str) -> Engine:
    """An engine whose every request is made in the calling thread, the same in each run."""
    return Engine(store, settings, pool=InlinePool(), clock=ManualClock(), ids=SeededIds(seed))


def content_of(database: Database) -> bytes:
    return b"".join(serialize_iter(database))


class Client(Protocol):
    """Whoever makes the commit, by whatever interface."""

    def prepare(self, kind: Kind) -> None:
        """Make the commits that come before."""

    def change(self, kind: Kind) -> None:
        """Make the commit that is struck."""

    def content(self) -> bytes:
        """What this client sees now."""

    def follow_up(self) -> None:
        """Make one more small commit."""

    def close(self) -> None: ...


ClientOn = Callable[[ObjectStore, Settings, str], Client]


class EngineClient:
    """A client of the engine alone."""

    def __init__(self, store: ObjectStore, settings: Settings, seed: str) -> None:
        self._database = Database(engine_on(store, settings, seed), NAME)

    def prepare(self, kind: Kind) -> None:
        for old, new in itertools.pairwise(kind.images[:-1]):
            self._write(old, new)
        if kind.fold:
            self._database.fold()

    def change(self, kind: Kind) -> None:
        old, new = kind.images[-2:]
        if kind.how == "deserialize":
            deserialize_iter(self._database, [new[:1000], new[1000:]])
        else:
            self._write(old, new)

    def content(self) -> bytes:
        return content_of(self._database)

    def follow_up(self) -> None:
        """Count up a number that SQLite never looks at: the application id."""
        snapshot = self._database.snapshot()
        page = bytearray(snapshot.read(0, snapshot.page_size or 4096))
        if not page:
            page = bytearray(SMALLEST)
        page[68:72] = (int.from_bytes(page[68:72], "big") + 1).to_bytes(4, "big")
        transaction = self._database.begin(snapshot)
        try:
            transaction.write(0, bytes(page))
            transaction.commit(transaction.size)
        finally:
            transaction.close()

    def close(self) -> None:
        self._database.close()

    def _write(self, old: bytes, new: bytes) -> None:
        if old == new:
            return
        header = parse_header(new[:100])
        assert header is not None
        size = header.page_size
        transaction = self._database.begin(self._database.snapshot())
        try:
            for offset in range(0, len(new), size):
                page = new[offset : offset + size]
                if page != old[offset : offset + size]:
                    transaction.write(offset, page)
            transaction.commit(len(new))
        finally:
            transaction.close()


def smallest_database() -> bytes:
    connection = apsw.Connection(":memory:")
    connection.execute("pragma user_version = 1")
    image = connection.serialize("main")
    connection.close()
    return image


SMALLEST = smallest_database()


def lay_out_as_ancestor(store: ObjectStore, image: bytes) -> None:
    """The objects that sqlite-s3vfs 0.0.x leaves for a database."""
    for index, offset in enumerate(range(0, len(image), ANCESTOR_BLOCK_SIZE)):
        store.put(f"{NAME}/{index:010d}", image[offset : offset + ANCESTOR_BLOCK_SIZE])


@dataclass(frozen=True, slots=True)
class State:
    """A version and its bytes, as a fresh reader sees them."""

    version: int
    content: bytes

    def __str__(self) -> str:
        return f"version {self.version}, {len(self.content)} bytes, #{hash(self.content) & 0xFFFF:x}"


def state_of(store: ObjectStore) -> State:
    """What a process sees that has nothing in memory."""
    database = Database(engine_on(store, Settings(), "reader"), NAME)
    snapshot = database.snapshot()
    return State(snapshot.version, content_of(database))


class Trial:
    """A kind of commit, made by a client whose store is struck."""

    def __init__(self, kind: Kind, client_on: ClientOn) -> None:
        self.kind = kind
        self.store = MemoryObjectStore(clock=ManualClock(), ids=SeededIds("store"))
        self.faulty = FaultyStore(self.store)
        if kind.ancestor:
            lay_out_as_ancestor(self.store, kind.images[-2])
        elif kind.cold:
            preparing = client_on(self.store, kind.settings, "preparing")
            preparing.prepare(kind)
            preparing.close()
        self.client = client_on(self.faulty, kind.settings, "client")
        if not kind.cold:
            self.client.prepare(kind)
        self.old = state_of(self.store)

    def run(self, *strikes: At) -> Told:
        """Make the commit; what its maker is told."""
        self.faulty.plan(*strikes)
        try:
            self.client.change(self.kind)
        except WriterDiedError:
            return "died"
        except Exception as error:
            causes = list(causes_of(error))
            if any(isinstance(cause, CommitUnknownError) for cause in causes):
                return "unknown"
            if any(isinstance(cause, S3VFSError) for cause in causes):
                return "refused"
            raise
        return "committed"


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def faultless(kind: Kind, client_on: ClientOn) -> tuple[State, State, int]:
    """The states before and after the commit, and how many calls it makes."""
    trial = Trial(kind, client_on)
    before = len(trial.faulty.calls)
    told = trial.run()
    calls = len(trial.faulty.calls) - before
    trial.client.close()
    new = state_of(trial.store)
    require(told == "committed", f"without a fault it is committed, not {told}")
    require(new.version == trial.old.version + 1, f"one commit, one version: {trial.old} → {new}")
    require(calls >= kind.calls_min, f"{kind} makes {calls} calls")
    return trial.old, new, calls


def require(holds: bool, what: str) -> None:
    if not holds:
        raise VerdictError(what)


def judge(trial: Trial, told: Told, new: State) -> None:
    """The promises after a fault: the old version or the new one, whole, as the client was told."""
    old = trial.old
    allowed = {"committed": [new], "refused": [old]}.get(told, [old, new])
    found = state_of(trial.store)
    require(found in allowed, f"told {told}, found {found}; old {old}; new {new}")
    if told == "died":
        return
    trial.faulty.heal()
    trial.faulty.deliver()
    found = state_of(trial.store)
    require(found in allowed, f"told {told}, later found {found}; old {old}; new {new}")
    seen = trial.client.content()
    require(seen == found.content, f"told {told}, then the client sees another content than {found}")
    follow_up(trial, found)


def follow_up(trial: Trial, before: State) -> None:
    """The same client goes on: one more commit, on top of what is there, once."""
    trial.client.follow_up()
    after = state_of(trial.store)
    require(after.version == before.version + 1, f"the next commit made {after} of {before}")
    require(after.content == trial.client.content(), f"the client does not see {after}")
    check_integrity(after.content)


def check_integrity(content: bytes) -> None:
    connection = apsw.Connection(":memory:")
    connection.deserialize("main", content)
    (row,) = connection.execute("pragma integrity_check")
    connection.close()
    require(row == ("ok",), f"integrity_check says {row}")


def strike_each_call(
    kind: Kind,
    client_on: ClientOn,
    fault: Fault,
    among: CallFilter = every_call,
    *,
    verdict: Callable[[Trial, Told, State], None] = judge,
) -> dict[Told, int]:
    """Strike the calls of the commit in turn, each in a world of its own; count what was told."""
    _, new, _ = faultless(kind, client_on)
    told_counts: dict[Told, int] = {}
    for number in itertools.count():
        trial = Trial(kind, client_on)
        struck_before = len(trial.faulty.calls)
        told = trial.run(At(number, fault, among))
        if not trial.faulty.struck:
            require(told == "committed", f"nothing struck, but {told}")
            trial.client.close()
            return told_counts
        told_counts[told] = told_counts.get(told, 0) + 1
        try:
            verdict(trial, told, new)
        except (VerdictError, S3VFSError, apsw.Error) as error:
            calls = "\n  ".join(str(call) for call in trial.faulty.calls[struck_before:])
            raise VerdictError(f"{kind}, {fault} at call {number}: {error!r}\n  {calls}") from error
        finally:
            if told != "died":
                trial.client.close()
    raise AssertionError("unreachable: the count is endless")

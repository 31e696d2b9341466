"""One commit under one fault, and the judgement on what it left behind."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import apsw

from faults.kinds import ANCESTOR_BLOCK_SIZE, Kind
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, CorruptError, S3VFSError
from sqlite_s3vfs.format.history import decode_history
from sqlite_s3vfs.format.keys import DatabaseKeys, parse_object_name
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.format.sqlite_header import parse_header
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, ObjectStore
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
from sqlite_s3vfs.transfer import serialize_iter

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

    def run(self, kind: Kind, scripts: slice) -> None:
        """Make those of the commits that come before."""

    def fold(self) -> None:
        """Move the tail into blocks."""

    def change(self, kind: Kind) -> None:
        """Make the commit that is struck."""

    def sees(self, content: bytes) -> bool:
        """Whether this is what it reads now."""

    def follow_up(self) -> None:
        """Make one more small commit."""

    def close(self) -> None: ...


class ClientOn(Protocol):
    """Makes clients."""

    def __call__(self, store: ObjectStore, settings: Settings, *, seed: str, proven: bool) -> Client: ...


@functools.cache
def prepared(kind: Kind, client_on: ClientOn) -> Mapping[str, bytes]:
    """The objects that another process leaves before the commit."""
    store = MemoryObjectStore(clock=ManualClock())
    lay_out_as_ancestor(store, kind.images[kind.ancestor])
    client = client_on(store, kind.settings, seed="other", proven=True)
    client.run(kind, slice(kind.ancestor, len(kind.before) - kind.own))
    client.close()
    return {row.key: body_of(store, row.key) for row in store.list("")}


def body_of(store: ObjectStore, key: str) -> bytes:
    found = store.get(key)
    assert isinstance(found, Fetched)
    return found.body


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
    try:
        snapshot = database.snapshot()
        return State(snapshot.version, content_of(database))
    except S3VFSError as error:
        raise VerdictError(f"a fresh reader cannot read: {error!r}") from error


class Trial:
    """A kind of commit, made by a client whose store is struck."""

    def __init__(self, kind: Kind, client_on: ClientOn) -> None:
        self.kind = kind
        self.store = MemoryObjectStore(clock=ManualClock(), ids=SeededIds("store"))
        self.faulty = FaultyStore(self.store)
        for key, body in prepared(kind, client_on).items():
            self.store.put(key, body)
        self.client = client_on(self.faulty, kind.settings, seed="client", proven=kind.proven)
        if kind.own:
            self.client.run(kind, slice(len(kind.before) - kind.own, None))
        if not kind.cold:
            require(self.client.sees(state_of(self.store).content), "the client reads what is there")
        if kind.fold:
            self.client.fold()
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

    def close(self) -> None:
        """Free what the client holds; a dead one cannot tidy up any more."""
        with suppress(WriterDiedError):
            self.client.close()


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def faultless(kind: Kind, client_on: ClientOn) -> Trial:
    """The commit without a fault."""
    trial = Trial(kind, client_on)
    before = len(trial.faulty.calls)
    told = trial.run()
    calls = len(trial.faulty.calls) - before
    trial.close()
    new = state_of(trial.store)
    require(told == "committed", f"without a fault it is committed, not {told}")
    require(new.version == trial.old.version + 1, f"one commit, one version: {trial.old} → {new}")
    require(calls >= kind.calls_min, f"{kind} makes {calls} calls")
    return trial


@functools.cache
def outcome_without_fault(kind: Kind, client_on: ClientOn) -> State:
    return state_of(faultless(kind, client_on).store)


def require(holds: bool, what: str) -> None:
    if not holds:
        raise VerdictError(what)


def judge(trial: Trial, told: Told, new: State) -> None:
    """The promises after a fault: the old version or the new one, whole, as the client was told."""
    old = trial.old
    allowed = {"committed": [new], "refused": [old]}.get(told, [old, new])
    found = state_of(trial.store)
    require(found in allowed, f"told {told}, found {found}; old {old}; new {new}")
    if found == new and old.version:
        kept = rebuilt(trial.store, old.version)
        require(kept == old.content, f"version {old.version} cannot be had back (I4)")
    if trial.faulty.line.dead:
        # Whatever it was told before: a read-ahead that nobody waits for may be what the death struck.
        return
    trial.faulty.heal()
    if not trial.client.sees(found.content):
        found = state_of(trial.store)  # what was held back has arrived meanwhile
        require(told == "unknown", f"told {told}, later found {found}")
        require(trial.client.sees(found.content), f"the client does not see {found}")
    go_on(trial, told, found, new)


def go_on(trial: Trial, told: Told, before: State, new: State) -> None:
    """The same client makes one more commit, on top of what is there, once."""
    try:
        trial.client.follow_up()
    except (S3VFSError, apsw.Error) as error:
        refused = any(isinstance(cause, ConflictError) for cause in causes_of(error))
        require(refused and told == "unknown", f"told {told}, then the next commit failed: {error!r}")
        trial.client.follow_up()  # the one that was held back had come first
        before = new
    trial.faulty.deliver()
    after = state_of(trial.store)
    if told == "unknown" and after.version == new.version + 1:
        before = new
    require(after.version == before.version + 1, f"the next commit made {after} of {before}")
    require(trial.client.sees(after.content), f"the client does not see {after}")
    require(tables(after.content) == tables(before.content), f"{after} is not made from {before}")
    check_integrity(after.content)


def rebuilt(store: ObjectStore, version: int) -> bytes:
    """A past version, from the smallest history version that is not older, or from the manifest.

    Its pages are those of the blocks, with the tail's entries up to the version.
    """
    keys = DatabaseKeys(NAME)
    manifest = decode_manifest(body_of(store, keys.manifest))
    kept = sorted(row.key for row in store.list(f"{NAME}/history/"))
    for key in kept:
        name = parse_object_name(key.rpartition("/")[2])
        assert name is not None
        if name.version >= version:
            manifest = decode_history(body_of(store, key), manifest.database_id, name)
            break
    tail = tuple(entry for entry in manifest.tail if entry.version <= version)
    engine = engine_on(store, Settings(), "historian")
    as_it_was = Snapshot(engine, keys, replace(manifest, tail=tail), _gone)
    header = parse_header(bytes(as_it_was.read(0, 100)))
    assert header is not None
    return bytes(as_it_was.read(0, header.size))


def _gone(snapshot: Snapshot, key: str) -> Exception:
    return CorruptError(f"an object of the past is missing. key={key!r}")


def tables(content: bytes) -> list[object]:
    """Everything that SQL can see of a file, but for the counters that follow-ups count up."""
    connection = apsw.Connection(":memory:")
    if content:
        connection.deserialize("main", content)
    try:
        return dump(connection)
    finally:
        connection.close()


def dump(connection: apsw.Connection) -> list[object]:
    """Everything that SQL can see of a database, in one read transaction."""
    with connection:
        schema = connection.execute("select name, sql from sqlite_schema order by name").fetchall()
        return [
            schema,
            *(
                connection.execute(f"select * from {name}").fetchall()
                for name, text in schema
                if text.startswith("CREATE TABLE")
            ),
        ]


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
    new = outcome_without_fault(kind, client_on)
    told_counts: dict[Told, int] = {}
    for number in itertools.count():
        trial = Trial(kind, client_on)
        struck_before = len(trial.faulty.calls)
        told = trial.run(At(number, fault, among))
        if not trial.faulty.struck:
            require(told == "committed", f"nothing struck, but {told}")
            trial.close()
            return told_counts
        became: Told = "died" if trial.faulty.line.dead else told
        told_counts[became] = told_counts.get(became, 0) + 1
        try:
            verdict(trial, told, new)
        except (VerdictError, S3VFSError, apsw.Error) as error:
            calls = "\n  ".join(str(call) for call in trial.faulty.calls[struck_before:])
            raise VerdictError(f"{kind}, {fault} at call {number}: {error!r}\n  {calls}") from error
        finally:
            trial.close()
    raise AssertionError("unreachable: the count is endless")

"""Processes that write to one database through SQLite, tell of everything at once, and may be killed.

Each runs random transactions on some registers and lists, each of them on several, so that a commit of
which a part is missing or there twice shows in what is read later. What it begins, attempts and was
told goes down a pipe line by line before it goes on: the history survives the process. Every
request is a line, too, so that whoever counts lines can kill it anywhere.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TextIO, cast

import apsw
import boto3

from sqlite_s3vfs.clock import SystemClock
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.port import Fetched, Listed, NotModified, ObjectStore, Stored
from sqlite_s3vfs.store.s3 import S3ObjectStore
from sqlite_s3vfs.testing import HistoryRecorder, Step
from sqlite_s3vfs.testing.histories import Event, load_events
from sqlite_s3vfs.vfs.s3vfs import S3VFS

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "boto3", "sqlite_s3vfs.vfs.s3vfs", "sqlite_s3vfs.testing"])

SCHEMA = """
    CREATE TABLE register (key TEXT PRIMARY KEY, value INTEGER, filler BLOB, digest BLOB);
    CREATE TABLE entry (id INTEGER PRIMARY KEY, list TEXT, number INTEGER);
    CREATE INDEX by_list ON entry (list, number);
"""
REGISTERS = [f"register {number}" for number in range(6)]
LISTS = [f"list {number}" for number in range(3)]
FILLERS = (0, 200, 3000, 60000)
"""Bytes: commits that ride in the manifest, and such that need blocks."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the objects lie, as it can be told to another process."""

    directory: str = ""
    bucket: str = ""
    endpoint: str = ""
    keys: tuple[str, str] = ("", "")

    def open(self) -> ObjectStore:
        if self.directory:
            return DirectoryObjectStore(self.directory)
        session = boto3.session.Session(*self.keys, region_name="us-east-1")
        return S3ObjectStore(session.resource("s3", endpoint_url=self.endpoint).Bucket(self.bucket))


@dataclass(frozen=True, slots=True)
class Job:
    """What a writer does: that many transactions, under a name and with luck of its own."""

    place: Place
    name: str
    process: str
    number: int
    transactions: int
    mistake: str = ""


class Pipe:
    """Lines to the test, from any thread, each written whole before the call returns."""

    def __init__(self, end: Connection) -> None:
        self._end = end
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        rest = line.encode()
        with self._lock:
            while rest:
                rest = rest[os.write(self._end.fileno(), rest) :]

    def flush(self) -> None:
        """Nothing is kept back."""


class Passing:
    """A store as it is; those below change something."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    @property
    def identity(self) -> str:
        return self.store.identity

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        return self.store.get(
            key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
        )

    def put(
        self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        return self.store.put(key, body, if_match=if_match, if_absent=if_absent)

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        return self.store.list(prefix, start_after=start_after, limit=limit)

    def delete(self, keys: Sequence[str]) -> None:
        self.store.delete(keys)

    def close(self) -> None:
        self.store.close()


class Telling(Passing):
    """Tells of every request before it is sent and after it was answered."""

    def __init__(self, store: ObjectStore, pipe: Pipe) -> None:
        super().__init__(store)
        self._pipe = pipe

    def get(self, key: str, **conditions: object) -> Fetched | NotModified | None:  # type: ignore[override]
        self._pipe.write("get\n")
        answer = super().get(key, **conditions)  # type: ignore[arg-type]
        self._pipe.write("got\n")
        return answer

    def put(self, key: str, body: bytes, **conditions: object) -> Stored:  # type: ignore[override]
        self._pipe.write("put\n")
        stored = super().put(key, body, **conditions)  # type: ignore[arg-type]
        self._pipe.write("stored\n")
        return stored


class Late(Passing):
    """The planted mistake: says that it has stored an object, and sends it with the next of its kind."""

    def __init__(self, store: ObjectStore, kind: str) -> None:
        super().__init__(store)
        self._kind = kind
        self._lock = threading.Lock()
        self._key, self._body, self._conditions = "", b"", {}
        self._stored = Stored("", 0.0)

    def get(self, key: str, **conditions: object) -> Fetched | NotModified | None:  # type: ignore[override]
        with self._lock:
            if key != self._key:
                return super().get(key, **conditions)  # type: ignore[arg-type]
            if conditions.get("if_none_match") == self._stored.etag:
                return NotModified(self._stored.date)
            wanted = slice(*(cast(tuple[int, int], conditions.get("byte_range")) or (None,)))
            date = self._stored.date
            return Fetched(self._body[wanted], self._stored.etag, date, date)

    def put(self, key: str, body: bytes, **conditions: object) -> Stored:  # type: ignore[override]
        if f"/{self._kind}" not in key:
            return super().put(key, body, **conditions)  # type: ignore[arg-type]
        with self._lock:
            if self._key:
                super().put(self._key, self._body, **self._conditions)
            self._stored = super().put("to learn its etag", body)
            self._key, self._body, self._conditions = key, body, conditions
            return self._stored


class Careless(Passing):
    """The planted mistake: a store that has no idea of conditions."""

    def put(
        self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        return self.store.put(key, body)


def with_mistake(store: ObjectStore, mistake: str) -> ObjectStore:
    if mistake == "careless":
        return Careless(store)
    return Late(store, mistake) if mistake else store


def write(job: Job, end: Connection) -> None:
    """What a writing process runs."""
    pipe = Pipe(end)
    recorder = HistoryRecorder(now=SystemClock().monotonic, sink=cast(TextIO, pipe))
    store = with_mistake(Telling(job.place.open(), pipe), job.mistake)
    vfs = S3VFS(store, settings=Settings(locking="none" if job.mistake else "optimistic"))
    connection = apsw.Connection(job.name, vfs=vfs.name)
    noise = random.Random(job.process)
    for number in range(job.number, job.number + job.transactions):
        while not transact(connection, recorder, job.process, number, noise):
            pass
    connection.close()
    vfs.close()


def transact(
    connection: apsw.Connection,
    recorder: HistoryRecorder,
    process: str,
    number: int,
    noise: random.Random,
) -> bool:
    """One transaction; whether it is through."""
    if noise.random() < 0.1:
        read_all(connection, recorder, process)
        return True
    operation = recorder.invoke(process)
    try:
        connection.execute("BEGIN IMMEDIATE")
        base = version_of(connection)
        registers, chosen = noise.sample(REGISTERS, 2), noise.choice(LISTS)
        steps = [*reads(connection, registers, [chosen])]
        for key in registers:
            filler = noise.randbytes(noise.choice(FILLERS))
            row = (key, number, filler, hashlib.sha256(filler).digest())
            connection.execute("REPLACE INTO register VALUES (?, ?, ?, ?)", row)
            steps.append(Step("write", key, number))
        connection.execute("INSERT INTO entry (list, number) VALUES (?, ?)", (chosen, number))
        steps.append(Step("append", chosen, number))
        operation.attempt(base=base, steps=steps)
        connection.execute("COMMIT")
    except apsw.BusyError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        operation.fail()
        return False
    operation.ok(base + 1)
    return True


def read_all(connection: apsw.Connection, recorder: HistoryRecorder, process: str) -> int:
    """Read everything in one transaction; its version."""
    operation = recorder.invoke(process)
    with connection:
        steps = list(reads(connection, REGISTERS, LISTS))
        version = version_of(connection)
    operation.ok(version, steps)
    return version


def reads(connection: apsw.Connection, registers: Sequence[str], lists: Sequence[str]) -> Iterator[Step]:
    for key in registers:
        sql = "SELECT value, filler, digest FROM register WHERE key = ?"
        row = connection.execute(sql, (key,)).fetchone()
        assert row is None or hashlib.sha256(row[1]).digest() == row[2], f"{key} is torn"
        yield Step("read", key, row and row[0])
    for key in lists:
        sql = "SELECT number FROM entry NOT INDEXED WHERE list = ? ORDER BY id"
        yield Step("read", key, tuple(value for (value,) in connection.execute(sql, (key,))))


def version_of(connection: apsw.Connection) -> int:
    return int(connection.pragma("s3vfs_version"))


class Writer:
    """A process that writes; with ``lines`` it is killed when it has told so many, or soon after."""

    def __init__(self, job: Job, *, lines: int | None = None, later: float = 0.0) -> None:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=write, args=(job, theirs))
        self._process.start()
        theirs.close()
        self._ours, self._lines, self._later = ours, lines, later
        self._told: list[str] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def ended(self) -> tuple[int | None, list[Event]]:
        """Wait for its end: its exit code, negative for a signal, and what it told."""
        self._thread.join()
        self._process.join()
        return self._process.exitcode, load_events(line for line in self._told if line[0] == "{")

    def _listen(self) -> None:
        with open(self._ours.fileno(), encoding="ascii", closefd=False) as pipe:
            for number, line in enumerate(pipe, start=1):
                self._told.append(line)
                if number == self._lines:
                    moment = time.perf_counter() + self._later
                    while time.perf_counter() < moment:     # not asleep: the moment is a fine one
                        pass
                    self._process.kill()
        self._ours.close()

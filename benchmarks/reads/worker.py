"""Read databases in one of several ways, in a process of its own; events go to standard output.

Runs in the ancestor's environment too: only boto3, APSW and what is here.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apsw
from botocore.config import Config

import sqlite_s3vfs
from benchmarks.buckets import bucket_at
from benchmarks.memory import peak, start_peak
from benchmarks.reads.queries import BY_NAME, Parameters, Query, Sizes
from benchmarks.recorder import Recorder
from benchmarks.workplace import Events, surroundings

KEY = "{database}.sqlite"
"""The plain file of a database in the bucket; the databases themselves are named without the ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """What a worker shall do. ``networks``: seconds of latency, and bytes per second (0: no limit)."""

    way: str
    """``ours``, ``ancestor``, ``download`` or ``local``."""
    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    database: str
    file: str
    users: int
    posts: int
    queries: list[str]
    networks: list[tuple[float, float]]
    repetitions: int
    scan_repetitions: int
    cache_bytes: int


class Worker:
    """Asks every query in one way and emits what it cost."""

    def __init__(self, specification: Specification) -> None:
        self.spec = specification
        self.sizes = Sizes(specification.users, specification.posts)
        self.recorder = Recorder()
        self.events = Events(self.recorder)

    def bucket(self) -> Any:
        """A new client with the defaults of ``sqlite_s3vfs.connect``: no connection is open."""
        return bucket_at(self.spec, self.spec.bucket, Config(max_pool_connections=32))

    def prepare(self) -> None:
        """The ancestor's database can only be written by itself."""
        if self.spec.way == "ancestor":
            vfs = sqlite_s3vfs.S3VFS(bucket=self.bucket())
            with open(self.spec.file, "rb") as file:
                vfs.deserialize_iter("ancestor", iter(lambda: file.read(1 << 16), b""))

    def run(self) -> None:
        """All networks, all queries, all repetitions."""
        for network in self.spec.networks:
            for query in (BY_NAME[name] for name in self.spec.queries):
                times = self.spec.scan_repetitions if query.scan else self.spec.repetitions
                for number in range(times):
                    self._once(query, number, network)

    def _once(self, query: Query, number: int, network: tuple[float, float]) -> None:
        """One query cold, another time on the same connection, and the same once more."""
        with self._opener() as opener:
            baseline = start_peak()
            if self.spec.way == "download":
                self._measure("cold", query, number, network, baseline, opener.open)
                return
            opened: list[apsw.Connection] = []

            def cold() -> apsw.Connection:
                opened.append(opener.open())
                return opened[0]

            self._measure("cold", query, number, network, baseline, cold)
            again = number if query.scan else number + 100
            if query.sql and not query.scan:
                self._measure("interior", query, again, network, baseline, lambda: opened[0])
            if query.sql and (not query.scan or self._fits):
                self._measure("warm", query, again, network, baseline, lambda: opened[0])
            opened[0].close()

    @property
    def _fits(self) -> bool:
        """Whether a scan leaves the whole database in the cache."""
        return self.spec.way == "local" or Path(self.spec.file).stat().st_size < self.spec.cache_bytes

    def _measure(
        self,
        state: str,
        query: Query,
        number: int,
        network: tuple[float, float],
        baseline: int,
        opened: Callable[[], apsw.Connection],
    ) -> None:
        parameters = query.ask(number, self.sizes)
        recorder = self.recorder
        recorder.wait_until_quiet()
        recorder.forget()
        latency, bandwidth = network
        self.events.doing = f"{query.title}, {state}, {latency * 1000:.0f} ms"
        recorder.latency, recorder.bandwidth = latency, bandwidth
        start = time.perf_counter()
        rows = _rows(opened(), query.sql, parameters)
        end = time.perf_counter()
        recorder.wait_until_quiet()
        recorder.latency, recorder.bandwidth = 0.0, 0.0
        requests = recorder.requests()
        self.events.emit(
            "sample",
            query=query.name,
            state=state,
            number=number,
            network=network,
            start=start,
            end=end,
            baseline=baseline,
            peak=peak(),
            answer=hashlib.sha256(repr(rows).encode()).hexdigest()[:16],
            requests=[list(asdict(request).values()) for request in requests],
        )

    def _opener(self) -> closing[Any]:
        return closing(OPENERS[self.spec.way](self))


def _rows(connection: apsw.Connection, sql: str, parameters: Parameters) -> list[Any]:
    if not sql:
        return [connection.table_exists("main", "sqlite_schema")]      # reads the schema
    return connection.execute(sql, parameters).fetchall()


class _Stored:
    """A database in the bucket, through a VFS."""

    def __init__(self, worker: Worker) -> None:
        self._name = "ancestor" if worker.spec.way == "ancestor" else worker.spec.database
        bucket = worker.bucket()
        if worker.spec.way == "ancestor":
            self._vfs = sqlite_s3vfs.S3VFS(bucket=bucket)
            return
        settings = sqlite_s3vfs.Settings(cache_bytes=worker.spec.cache_bytes)
        self._vfs = sqlite_s3vfs.S3VFS(bucket, settings=settings)

    def open(self) -> apsw.Connection:
        return apsw.Connection(self._name, vfs=self._vfs.name)

    def close(self) -> None:
        if hasattr(self._vfs, "close"):
            self._vfs.close()


class _Local:
    """The file itself, in the page cache of the system."""

    def __init__(self, worker: Worker) -> None:
        self._file = worker.spec.file

    def open(self) -> apsw.Connection:
        return apsw.Connection(self._file, flags=apsw.SQLITE_OPEN_READONLY)

    def close(self) -> None:
        """It stays."""


class _Downloaded:
    """The whole file out of the bucket, then SQLite."""

    def __init__(self, worker: Worker) -> None:
        self._bucket = worker.bucket()
        self._key = KEY.format(database=worker.spec.database)
        self._folder = tempfile.TemporaryDirectory()
        self._connection: apsw.Connection | None = None

    def open(self) -> apsw.Connection:
        file = str(Path(self._folder.name) / "downloaded.sqlite")
        self._bucket.download_file(self._key, file)
        self._connection = apsw.Connection(file, flags=apsw.SQLITE_OPEN_READONLY)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._folder.cleanup()


OPENERS: dict[str, Callable[[Worker], Any]] = {
    "ours": _Stored,
    "ancestor": _Stored,
    "download": _Downloaded,
    "local": _Local,
}


def main(specification: str) -> None:
    """Ask everything, then end."""
    given = json.loads(specification)
    worker = Worker(Specification(**{**given, "networks": [tuple(n) for n in given["networks"]]}))
    worker.recorder.install()
    worker.events.emit("hello", **surroundings())
    worker.events.start_pulse()
    worker.prepare()
    worker.run()
    sys.stdout.flush()

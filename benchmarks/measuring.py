"""One library under measurement: fresh VFSs, operations with every request delayed, samples.

It runs in the environment of either library: it needs ``boto3`` and ``sqlite_s3vfs`` (either one).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import sqlite_s3vfs
from benchmarks.buckets import bucket_at
from benchmarks.operations import BY_NAME
from benchmarks.recorder import Recorder
from benchmarks.workplace import Events

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """What a worker shall do. Files are local SQLite databases, latencies are seconds."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    latencies: list[float]
    repetitions: int
    heavy_repetitions: int
    database: str
    rows: int
    transfers: list[str]
    """The file to deserialize and serialize, for each latency."""


class Worker:
    """Measures one library; emits what it finds."""

    def __init__(self, specification: Specification) -> None:
        self.spec = specification
        self.recorder = Recorder()
        self.events = Events(self.recorder)
        self._vfss: list[Any] = []

    def prepare(self, what: str) -> None:
        """From now on, requests are neither delayed nor part of a measurement."""
        self.events.doing = what
        self.recorder.latency = 0.0
        self.recorder.forget()

    def fresh_vfs(self) -> Any:
        """A new VFS with a new boto3 client: nothing cached, no connection open, all defaults."""
        vfs = sqlite_s3vfs.S3VFS(bucket=bucket_at(self.spec, self.spec.bucket))
        self._vfss.append(vfs)
        return vfs

    def rounds(self, name: str) -> Iterator[float]:
        """The latency of each measurement of an operation, in order."""
        heavy = BY_NAME[name].heavy
        for latency in self.spec.latencies:
            for _ in range(self.spec.heavy_repetitions if heavy else self.spec.repetitions):
                yield latency

    def measure(
        self, name: str, latency: float, run: Callable[..., T], *arguments: Any, size: int = 0
    ) -> T:
        """Run one operation with every request delayed, until nothing is under way; emit the sample."""
        self.recorder.wait_until_quiet()
        self.events.doing = f"{BY_NAME[name].title} at {latency * 1000:.0f} ms"
        self.recorder.forget()
        self.recorder.latency = latency
        start = time.perf_counter()
        result = run(*arguments)
        end = time.perf_counter()
        self.recorder.wait_until_quiet()
        requests = self.recorder.requests()
        self.prepare("preparing")
        rows = [list(asdict(request).values()) for request in requests]
        self.events.emit(
            "sample", operation=name, latency=latency, start=start, end=end, size=size, requests=rows
        )
        return result

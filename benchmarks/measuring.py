"""One library under measurement: fresh VFSs, operations with every request delayed, samples.

It runs in the environment of either library: it needs ``boto3`` and ``sqlite_s3vfs`` (either one).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import boto3

import sqlite_s3vfs
from benchmarks.operations import BY_NAME
from benchmarks.recorder import Recorder

PULSE_SECONDS = 0.5

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
        self._output_lock = threading.Lock()
        self._doing = "preparing"
        self._vfss: list[Any] = []

    def emit(self, event: str, **facts: Any) -> None:
        with self._output_lock:
            print(json.dumps({"event": event, **facts}), flush=True)

    def pulse(self) -> None:
        """Say what is under way, for as long as the process lives."""
        while True:
            time.sleep(PULSE_SECONDS)
            self.emit("at", doing=self._doing, requests=self.recorder.count())

    def prepare(self, what: str) -> None:
        """From now on, requests are neither delayed nor part of a measurement."""
        self._doing = what
        self.recorder.latency = 0.0
        self.recorder.forget()

    def fresh_vfs(self) -> Any:
        """A new VFS with a new boto3 client: nothing cached, no connection open, all defaults."""
        resource = boto3.session.Session().resource(
            "s3",
            endpoint_url=self.spec.endpoint,
            aws_access_key_id=self.spec.access_key,
            aws_secret_access_key=self.spec.secret_key,
            region_name="us-east-1",
        )
        vfs = sqlite_s3vfs.S3VFS(bucket=resource.Bucket(self.spec.bucket))
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
        self._doing = f"{BY_NAME[name].title} at {latency * 1000:.0f} ms"
        self.recorder.forget()
        self.recorder.latency = latency
        start = time.perf_counter()
        result = run(*arguments)
        end = time.perf_counter()
        self.recorder.wait_until_quiet()
        requests = self.recorder.requests()
        self.prepare("preparing")
        rows = [list(asdict(request).values()) for request in requests]
        self.emit(
            "sample", operation=name, latency=latency, start=start, end=end, size=size, requests=rows
        )
        return result

"""One write or transfer in a process of its own, so that its peak memory is its own.

It runs in the environment of either library: it needs ``boto3``, ``apsw`` and ``sqlite_s3vfs``. Requests
are counted by the recorder of the comparison; what a case prepares is not counted. Two events come out:
``hello`` with the versions, and ``result``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks.buckets import bucket_at
from benchmarks.memory import peak, start_peak
from benchmarks.recorder import Recorder
from benchmarks.trace import kinds, longest_chain
from benchmarks.workplace import Events, surroundings
from benchmarks.writes.cases import CASES, Bench


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """What to run: a case, with its size (rows, commits or MiB), against which bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    case: str
    size: int
    folder: str
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came out. ``round_trips`` is the longest chain of requests that do not overlap."""

    seconds: float
    cpu_seconds: float
    kinds: dict[str, int]
    round_trips: int
    bytes_up: int
    bytes_down: int
    peak_rss: int


class Measurement:
    """Time, requests and memory of what runs inside ``measured``."""

    def __init__(self, latency: float) -> None:
        self.recorder = Recorder()
        self._latency = latency
        self.result: Result | None = None

    def measured(self, run: Callable[[], None]) -> None:
        """Run it, with every request counted, until nothing is under way any more."""
        self.recorder.wait_until_quiet()
        self.recorder.forget()
        start_peak()
        start, cpu = time.perf_counter(), time.process_time()
        self.recorder.latency = self._latency
        run()
        self.recorder.latency = 0.0
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        self.recorder.wait_until_quiet()
        requests = self.recorder.requests()
        self.result = Result(
            seconds=seconds,
            cpu_seconds=cpu,
            kinds=kinds(requests),
            round_trips=longest_chain(requests),
            bytes_up=sum(request.sent for request in requests),
            bytes_down=sum(request.received for request in requests),
            peak_rss=peak(),
        )


def main(text: str) -> None:
    """Run the case of the JSON specification; print what came out."""
    specification = Specification(**json.loads(text))
    measurement = Measurement(specification.latency)
    measurement.recorder.install()
    events = Events(measurement.recorder)
    events.emit("hello", **surroundings())
    bench = Bench(
        bucket=bucket_at(specification, specification.bucket),
        size=specification.size,
        folder=specification.folder,
        measured=measurement.measured,
    )
    CASES[specification.case](bench)
    assert measurement.result is not None, "each case measures something"
    events.emit("result", **asdict(measurement.result))

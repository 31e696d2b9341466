"""One write or transfer in a process of its own, so that its peak memory is its own.

``python -m benchmarks.bulk_worker SPECIFICATION`` reads one JSON specification, runs the case that it
names, and writes one JSON line: seconds, requests, bytes, peak memory. It needs ``boto3``, ``apsw``
and, where the case does, either ``sqlite_s3vfs``. Requests are counted by the recorder of the
comparison; what a case prepares is not counted.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import boto3

from benchmarks.bulk_cases import CASES, Bench
from benchmarks.recorder import Recorder
from benchmarks.trace import kinds, longest_chain


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkSpecification:
    """What to run: a case, with its size (rows, commits or MiB), against which bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    case: str
    size: int
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
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

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.result: BulkResult | None = None

    def measured(self, run: Callable[[], None]) -> None:
        """Run it, with every request counted, until nothing is under way any more."""
        self.recorder.wait_until_quiet()
        self.recorder.forget()
        start, cpu = time.perf_counter(), time.process_time()
        run()
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        self.recorder.wait_until_quiet()
        requests = self.recorder.requests()
        self.result = BulkResult(
            seconds=seconds,
            cpu_seconds=cpu,
            kinds=kinds(requests),
            round_trips=longest_chain(requests),
            bytes_up=sum(request.sent for request in requests),
            bytes_down=sum(request.received for request in requests),
            peak_rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )


def fresh_bucket_object(specification: BulkSpecification) -> Any:
    """The bucket, by a client with boto3's defaults."""
    resource_ = boto3.session.Session().resource(
        "s3",
        endpoint_url=specification.endpoint,
        aws_access_key_id=specification.access_key,
        aws_secret_access_key=specification.secret_key,
        region_name="us-east-1",
    )
    return resource_.Bucket(specification.bucket)


def main(text: str) -> None:
    """Run the case; print the result."""
    specification = BulkSpecification(**json.loads(text))
    measurement = Measurement()
    measurement.recorder.install()
    bench = Bench(
        bucket=fresh_bucket_object(specification),
        size=specification.size,
        folder=specification.folder,
        measured=measurement.measured,
    )
    CASES[specification.case](bench)
    assert measurement.result is not None, "each case measures something"
    print(json.dumps(asdict(measurement.result)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""Measure both libraries one after the other: plans, progress, and what came out."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.dataset import make_database
from benchmarks.libraries import ANCESTOR, OURS, Library, run_worker
from benchmarks.measuring import Specification
from benchmarks.server import Server, fresh_bucket, server_version
from benchmarks.summary import Sample, read_sample

ROWS = 20_000
MIB = 1 << 20
LATENCIES = [0.0, 0.03]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of one library is measured. ``transfer_sizes``: bytes, for each latency."""

    library: Library
    latencies: list[float]
    repetitions: int
    heavy_repetitions: int
    transfer_sizes: list[int]


# The ancestor makes one request after the other for each 4 KiB: 64 MiB at 30 ms would take it eight
# minutes each way. It moves less, and what it would take for all is extrapolated and marked.
FULL = [
    Plan(
        library=ANCESTOR,
        latencies=LATENCIES,
        repetitions=3,
        heavy_repetitions=1,
        transfer_sizes=[4 * MIB, MIB],
    ),
    Plan(
        library=OURS,
        latencies=LATENCIES,
        repetitions=5,
        heavy_repetitions=3,
        transfer_sizes=[64 * MIB, 64 * MIB],
    ),
]
QUICK = [
    Plan(library=ANCESTOR, latencies=[0.0], repetitions=1, heavy_repetitions=0, transfer_sizes=[MIB]),
    Plan(
        library=OURS,
        latencies=LATENCIES,
        repetitions=2,
        heavy_repetitions=1,
        transfer_sizes=[8 * MIB, 8 * MIB],
    ),
]


class Display:
    """Says what is under way: in one line that changes on a terminal, a line per sample elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._start = time.monotonic()
        self._line = ""

    def passing(self, text: str) -> None:
        """Show what is under way now."""
        if self._terminal:
            self._line = f"{time.monotonic() - self._start:5.0f} s  {text}"
            print(f"\r\x1b[K{self._line[:110]}", end="", file=sys.stderr, flush=True)

    def lasting(self, text: str) -> None:
        """Show what is done."""
        clear = "\r\x1b[K" if self._terminal else ""
        print(f"{clear}{time.monotonic() - self._start:5.0f} s  {text}", file=sys.stderr, flush=True)


def measure(
    plan: Plan, server: Server, *, bucket: str, folder: Path, transfer_size: int, display: Display
) -> tuple[dict[str, Any], list[Sample]]:
    """What one library's worker says of itself, and its samples."""
    database = folder / "rows.sqlite"
    if not database.exists():
        display.passing("making the local database")
        make_database(database, rows=ROWS)
    specification = Specification(
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        bucket=bucket,
        latencies=plan.latencies,
        repetitions=plan.repetitions,
        heavy_repetitions=plan.heavy_repetitions,
        database=str(database),
        rows=ROWS,
        transfers=[str(_transfer_file(folder, size, display)) for size in plan.transfer_sizes],
    )
    hello: dict[str, Any] = {}
    samples: list[Sample] = []
    display.passing(f"{plan.library.title}: starting (its environment is made once)")
    for event in run_worker(plan.library, specification):
        match event["event"]:
            case "hello":
                hello = {name: value for name, value in event.items() if name not in ("event", "file")}
            case "at":
                display.passing(f"{plan.library.title}: {event['doing']}, {event['requests']} requests")
            case "sample":
                sample = read_sample(event, target_size=transfer_size)
                samples.append(sample)
                display.lasting(_sample_text(plan.library, sample))
    return hello, samples


def _sample_text(library: Library, sample: Sample) -> str:
    return (
        f"{library.title}: {sample.operation} at {sample.latency * 1000:.0f} ms latency: "
        f"{len(sample.requests)} requests, {sample.seconds * 1000:.0f} ms"
    )


def _transfer_file(folder: Path, size: int, display: Display) -> Path:
    path = folder / f"{size}.sqlite"
    if not path.exists():
        display.passing(f"making a local database of {size // 1024} KiB")
        make_database(path, size=size)
    return path


def run(
    plans: list[Plan], server: Server, display: Display
) -> tuple[dict[str, Any], dict[str, list[Sample]]]:
    """Measure every planned library; the facts of the run, and the samples by library, ours first."""
    transfer_size = max(size for plan in plans for size in plan.transfer_sizes)
    facts: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "server": server_version(server),
        "rows": ROWS,
        "transfer_bytes": transfer_size,
        "versions": {},
    }
    samples: dict[str, list[Sample]] = {OURS.title: []}
    with tempfile.TemporaryDirectory() as folder:
        for plan in plans:
            with fresh_bucket(server) as bucket:
                hello, found = measure(
                    plan,
                    server,
                    bucket=bucket,
                    folder=Path(folder),
                    transfer_size=transfer_size,
                    display=display,
                )
                facts["versions"][plan.library.title] = hello
                samples[plan.library.title] = found
                display.passing("deleting what was written")
    return facts, samples


def machine() -> str:
    """What it ran on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines()]
        lines = zip(cpuinfo.read_text().splitlines(), names, strict=True)
        model = next((name for line, name in lines if line.startswith("model name")), model)
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}"

"""Which cases run, how large, by whom, and in which order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.libraries import ANCESTOR, OURS, Library, run_worker
from benchmarks.run import Display, machine
from benchmarks.server import Server, fresh_bucket, server_version
from benchmarks.writes.worker import Result, Specification


@dataclass(frozen=True, slots=True)
class Step:
    """One case at one size. ``target`` is the size that the row of the table is for: where it is larger,
    the figures are extrapolated in proportion. ``latency``: seconds added to each request."""

    case: str
    size: int
    library: Library = OURS
    target: int = 0
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A step and what came out."""

    step: Step
    result: Result


FAR = 0.03
"""Seconds that a store in another town adds to each request."""
TRANSFERS = ("raw_puts", "import_ours", "raw_gets", "export_ours", "export_fileobj_ours")

Group = Sequence[Step]
"""Steps that share a bucket, in order: some use what the one before left."""


def groups(*, mib: int, rows: int, commits: int, updates: int) -> list[Group]:
    """All cases at these sizes, and the ancestor's at the little that it does in a minute.

    In parts a tenth of the rows is inserted: each transaction of rows with random keys writes most
    blocks of the index anew, and ten times the rows would take a hundred times as long.
    """
    old, part = ANCESTOR, rows // 10
    return [
        [Step(case, mib) for case in TRANSFERS],
        [Step("import_ours", 1, old, mib), Step("export_ours", 1, old, mib)],
        [
            Step("build_local", mib),
            Step("build_ours", mib),
            Step("updates_ours", updates),
            Step("vacuum_ours", mib),
        ],
        [Step("build_ours", 1, old, mib), Step("vacuum_ours", 1, old, mib)],
        [Step("insert_local", rows), Step("insert_ours", rows), Step("insert_more_ours", 20)],
        [Step("insert_more_safe_local", 4, target=20)],
        [Step("insert_ours", 2000, old, rows)],
        [
            Step("insert_in_parts_local", part),
            Step("insert_in_parts_safe_local", part),
            Step("insert_in_parts_ours", part),
        ],
        [Step("insert_in_parts_ours", 2000, old, part)],
        [Step("commits_ours", commits), Step("raw_commits", commits)],
        [Step("commits_ours", 20, old, commits)],
        [
            Step(case, commits // 10, latency=FAR) for case in ("far_commits_ours", "far_raw_commits")
        ],
    ]


def in_transactions(count: int) -> list[Group]:
    """So many transactions of a thousand rows from an empty table on, with an index on random keys."""
    rows = 1000 * count
    return [
        [Step("insert_in_parts_local", rows), Step("insert_in_parts_ours", rows)],
        [Step("insert_in_parts_ours", 2000, ANCESTOR, rows)],
    ]


FULL = groups(mib=1024, rows=1_000_000, commits=1000, updates=10_000)
QUICK = [
    [Step(case, 32) for case in TRANSFERS],
    [Step("build_local", 32), Step("build_ours", 32)],
    [Step("insert_local", 20_000), Step("insert_ours", 20_000)],
    [Step("commits_ours", 50), Step("raw_commits", 50)],
    [Step(case, 20, latency=FAR) for case in ("far_commits_ours", "far_raw_commits")],
]


OnMeasured = Callable[[dict[str, Any], Sequence[Measured]], None]


def run(
    plan: Sequence[Group],
    server: Server,
    display: Display,
    *,
    on_measured: OnMeasured = lambda facts, measured: None,
) -> tuple[dict[str, Any], list[Measured]]:
    """Run every step; the facts of the run, and what was measured.

    ``on_measured`` is called with both after each step.
    """
    facts: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "server": server_version(server),
        "versions": {},
    }
    measured: list[Measured] = []
    for group in plan:
        with fresh_bucket(server) as bucket:
            for step in group:
                display.passing(f"{step.library.title}: {step.case}, {step.size}")
                result, hello = _run_step(step, server, bucket)
                facts["versions"][step.library.title] = hello
                measured.append(Measured(step, result))
                on_measured(facts, measured)
                display.lasting(f"{step.library.title}: {step.case}: {result.seconds:.1f} s")
            display.passing("deleting what was written")
    return facts, measured


def _run_step(step: Step, server: Server, bucket: str) -> tuple[Result, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        specification = Specification(
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            bucket=bucket,
            case=step.case,
            size=step.size,
            folder=folder,
            latency=step.latency,
        )
        hello, *_, found = run_worker(
            step.library, specification, module="benchmarks.writes.worker"
        )
    del found["event"], hello["event"], hello["file"]
    return Result(**found), hello

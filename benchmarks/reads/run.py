"""Make the databases, put them into a bucket, read them in every way; progress and what came out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlite_s3vfs
from benchmarks.libraries import ANCESTOR, OURS, run_worker
from benchmarks.reads.databases import (
    OLD_POSTS,
    OLD_USERS,
    POSTS,
    USERS,
)
from benchmarks.reads.figures import Network, Sample, check_answers, read_sample
from benchmarks.reads.files import folder_for, local_file, store
from benchmarks.reads.queries import BY_NAME, QUERIES
from benchmarks.reads.report import TITLES, network_title
from benchmarks.reads.worker import Specification
from benchmarks.run import Display, machine
from benchmarks.server import Server, fresh_bucket, server_version

MIB = 1 << 20
DATABASES = ("tiny", "posts", "social")
CACHE_BYTES = {"tiny": 64 * MIB, "posts": 512 * MIB, "social": 64 * MIB}
"""The default, but for the database whose warm scan is compared with a local file: it fits."""
LINE: Network = (0.0, 50e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured; scales are shares of the full databases."""

    social: float
    posts: float
    ancestor: float
    latencies: tuple[float, ...]
    line: Network | None
    repetitions: int
    scan_repetitions: int
    ways: tuple[str, ...] = tuple(TITLES)
    databases: tuple[str, ...] = DATABASES

    def scale(self, database: str) -> float:
        return {"tiny": 1.0, "posts": self.posts, "social": self.social}[database]

    @property
    def networks(self) -> list[Network]:
        return [(latency, 0.0) for latency in self.latencies]


FULL = Plan(
    social=1.0,
    posts=1.0,
    ancestor=0.05,
    latencies=(0.0, 0.005, 0.03),
    line=LINE,
    repetitions=3,
    scan_repetitions=2,
)
QUICK = Plan(
    social=0.02,
    posts=0.05,
    ancestor=0.005,
    latencies=(0.0, 0.03),
    line=LINE,
    repetitions=1,
    scan_repetitions=1,
)


def run(
    plan: Plan, server: Server, display: Display, *, folder: Path | None = None
) -> tuple[dict[str, Any], list[Sample]]:
    """The facts of the run, and its samples. ``folder`` keeps the local databases for the next run.

    Raises:
        WrongAnswerError: two ways disagree.
    """
    samples: list[Sample] = []
    facts: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "load_average": round(os.getloadavg()[0], 1),
        "server": server_version(server),
        "sqlite_s3vfs": sqlite_s3vfs.__version__,
        "versions": {},
        "bytes": {},
    }
    with folder_for(folder) as place, fresh_bucket(server) as bucket:
        for database in plan.databases:
            file = local_file(database, plan.scale(database), place, display)
            facts["bytes"][database] = file.stat().st_size
            store(database, file, server, bucket, display)
            of_database: list[Sample] = []
            for way in plan.ways:
                if way != "ancestor":
                    of_database += _ask(way, database, file, plan, server, bucket, display, facts)
            check_answers(of_database)
            samples += of_database
        if "ancestor" in plan.ways:
            file = local_file("ancestor", plan.ancestor, place, display)
            facts["bytes"]["ancestor"] = file.stat().st_size
            samples += _ask("ancestor", "posts", file, plan, server, bucket, display, facts)
        display.passing("deleting what was written")
    return facts, samples


def _ask(
    way: str,
    database: str,
    file: Path,
    plan: Plan,
    server: Server,
    bucket: str,
    display: Display,
    facts: dict[str, Any],
) -> list[Sample]:
    """Everything that one way is asked of one database."""
    full = {"social": (USERS, POSTS), "posts": (OLD_USERS, OLD_POSTS), "tiny": (1, 1)}[database]
    scale = plan.ancestor if way == "ancestor" else plan.scale(database)
    found: list[Sample] = []
    library = ANCESTOR if way == "ancestor" else OURS
    for queries, networks in _work(way, database, plan):
        specification = Specification(
            way=way,
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=server.secret_key,
            bucket=bucket,
            database=database,
            file=str(file),
            users=int(full[0] * scale),
            posts=int(full[1] * scale),
            queries=queries,
            networks=networks,
            repetitions=1 if way in ("download", "ancestor") else plan.repetitions,
            scan_repetitions=plan.scan_repetitions,
            cache_bytes=CACHE_BYTES[database],
        )
        display.passing(f"{TITLES[way]}: starting")
        for event in run_worker(library, specification, module="benchmarks.reads.worker"):
            match event["event"]:
                case "hello":
                    facts["versions"][way] = {
                        name: event[name] for name in event if name not in ("event", "file")
                    }
                case "at":
                    display.passing(f"{TITLES[way]}: {event['doing']}, {event['requests']} requests")
                case "sample":
                    sample = read_sample(way, event)
                    found.append(sample)
                    display.lasting(_text(sample))
    return found


def _work(way: str, database: str, plan: Plan) -> Iterator[tuple[list[str], list[Network]]]:
    """Queries and networks of each worker. A scan has a process of its own: its memory is judged."""
    names = [query.name for query in QUERIES if query.database == database]
    scans = [name for name in names if BY_NAME[name].scan]
    others = [name for name in names if not BY_NAME[name].scan]
    if way == "local":
        yield names, [(0.0, 0.0)]
        return
    if way == "ancestor":
        yield others, [plan.networks[0], plan.networks[-1]]
        return
    if way == "download":
        # The same for every query, but for the query.
        others = others[:1]
    yield others, plan.networks
    for scan in scans:
        limited = [plan.line] if plan.line and database == "social" else []
        yield [scan], plan.networks + limited


def _text(sample: Sample) -> str:
    case = sample.case
    return (
        f"{TITLES[case.way]}: {BY_NAME[case.query].title}, {case.state}, {network_title(case.network)}: "
        f"{len(sample.requests)} requests, {sample.received / MIB:.2f} MiB, "
        f"{sample.seconds * 1000:.0f} ms"
    )

"""What a cold scan of 1 GiB is made of, in processor seconds, beside ``download_file`` and the query.

    python -m benchmarks.scan_parts
    python -m benchmarks.scan_parts --folder DIR --rounds 5

Each part runs in a process of its own, the least of some rounds counts, and in each round they take
turns. ``server`` is what a MinIO on the same machine took meanwhile (Linux only). At the end: how long
the parts would take on these processors if none was ever idle, which no scan can beat, and what a scan
that is 1.2 times as fast as the download would have to take.

``--folder`` keeps the database (1 GiB, that of ``python -m benchmarks reads``) for the next run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from botocore.config import Config

from benchmarks.buckets import bucket_at
from benchmarks.reads.files import folder_for, local_file, store
from benchmarks.reads.queries import BY_NAME
from benchmarks.reads.worker import KEY
from benchmarks.report import aligned
from benchmarks.run import Display
from benchmarks.server import Server, answering, fresh_bucket, server_from_environment
from sqlite_s3vfs import S3VFS, MemoryObjectStore, Settings
from sqlite_s3vfs.store.port import Fetched, ObjectStore
from sqlite_s3vfs.wiring import store_for

NAME = "social"
EVERYTHING = 4 << 30
TIMES_AS_FAST = 1.2
SQL = BY_NAME["scan"].sql
Ranges = list[tuple[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: by the clock, of this process, of the server."""

    wall: float
    own: float
    server: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where the databases are."""

    server: Server
    bucket: str

    def connected(self) -> Any:
        return bucket_at(self.server, self.bucket, Config(max_pool_connections=32))


def spent(run: Callable[[], object]) -> Spent:
    """What ``run`` took."""
    server, wall, own = _of_the_server(), time.perf_counter(), time.process_time()
    run()
    return Spent(
        time.perf_counter() - wall, time.process_time() - own, _of_the_server() - server
    )


def _of_the_server() -> float:
    """Processor seconds of every MinIO on this machine so far."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (process / "stat").read_text().rpartition(") ")
        except OSError:
            continue                        # it has just ended
        if "(minio" in name:
            user, system = rest.split()[11:13]
            total += int(user) + int(system)
    return total / os.sysconf("SC_CLK_TCK")


def query(name: str, *, vfs: str = "") -> None:
    """The scan."""
    connection = apsw.Connection(name, vfs=vfs or None)
    with closing(connection):
        assert connection.execute(SQL).get


def scan(place: Place) -> Spent:
    """All of it, by this library with its defaults."""
    vfs = S3VFS(place.connected())
    return spent(lambda: query(NAME, vfs=vfs.name))


def download(place: Place) -> Spent:
    """The whole file, and the query on it."""
    bucket = place.connected()

    def run() -> None:
        bucket.download_file(KEY.format(database=NAME), file)
        query(file)

    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "downloaded.sqlite")
        return spent(run)


def requests(place: Place) -> Spent:
    """The GETs of the scan and nothing else, by boto3, 10 at once."""
    bucket = place.connected()
    ranges = ranges_of_a_scan(store_for(bucket))

    def get(wanted: tuple[str, tuple[int, int]]) -> None:
        key, (start, stop) = wanted
        asked = f"bytes={start}-{stop - 1}"
        bucket.meta.client.get_object(Bucket=bucket.name, Key=key, Range=asked)["Body"].read()

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(get, ranges[:10]))                 # connections are made
        return spent(lambda: list(threads.map(get, ranges)))


def ranges_of_a_scan(objects: ObjectStore) -> Ranges:
    """What a scan asks for of segments."""
    found: Ranges = []
    get = objects.get

    def noted(key: str, **how: Any) -> Any:
        if how.get("byte_range") and "/segments/" in key:
            found.append((key, how["byte_range"]))
        return get(key, **how)

    objects.get = noted  # type: ignore[method-assign]
    query(NAME, vfs=S3VFS(objects).name)
    return found


def without_requests(place: Place) -> Spent:
    """The scan of the same objects in memory: checking, unpacking, SQLite."""
    vfs = S3VFS(in_memory(place))
    return spent(lambda: query(NAME, vfs=vfs.name))


def cached(place: Place) -> Spent:
    """SQLite through the VFS, every block in the cache."""
    vfs = S3VFS(in_memory(place), settings=Settings(cache_bytes=EVERYTHING))
    query(NAME, vfs=vfs.name)
    return spent(lambda: query(NAME, vfs=vfs.name))


def in_memory(place: Place) -> MemoryObjectStore:
    """The database's objects, in a store in memory."""
    copy, bucket = MemoryObjectStore(), store_for(place.connected())
    for row in bucket.list(f"{NAME}/"):
        found = bucket.get(row.key)
        assert isinstance(found, Fetched)
        copy.put(row.key, found.body)
    return copy


REQUESTS, REST = "its GETs alone, boto3", "the rest, the objects in memory"
SCAN, DOWNLOAD = "the scan", "download_file and the query on the file"
CASES: dict[str, Callable[[Place], Spent]] = {
    REQUESTS: requests,
    REST: without_requests,
    "of that, SQLite through the VFS": cached,
    SCAN: scan,
    DOWNLOAD: download,
}


def measure(place: Place, rounds: int, display: Display) -> dict[str, Spent]:
    """The least of each figure."""
    found: dict[str, Spent] = {}
    for number in range(rounds):
        for what, run in CASES.items():
            with multiprocessing.get_context("spawn").Pool(1) as process:
                now = process.apply(run, (place,))
            old = found.get(what, now)
            found[what] = Spent(
                min(old.wall, now.wall), min(old.own, now.own), min(old.server, now.server)
            )
            display.lasting(f"round {number + 1}: {what}: {now.wall:.2f} s")
    return found


def report(found: dict[str, Spent]) -> str:
    """The table, and what follows from it."""
    rows = [["", "by the clock", "processor", "of the server"]]
    for what, one in found.items():
        rows.append([what, f"{one.wall:.2f} s", f"{one.own:.2f} s", f"{one.server:.2f} s"])
    processors = os.cpu_count() or 1
    parts = found[REQUESTS].own + found[REQUESTS].server + found[REST].own
    scanned, downloaded = found[SCAN].wall, found[DOWNLOAD].wall
    return "\n".join([
        aligned(rows),
        "",
        f"the scan: {downloaded / scanned:.2f} times as fast as the download and the query",
        f"its parts: {parts:.2f} s of processor time, {parts / processors:.2f} s on {processors} "
        "processors of which none is ever idle",
        f"{TIMES_AS_FAST} times as fast as the download: {downloaded / TIMES_AS_FAST:.2f} s",
    ])


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan_parts", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the database is kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the database; 1 is 1 GiB")
    options = parser.parse_args()
    server, display = server_from_environment(), Display()
    with answering(server), folder_for(options.folder) as folder, fresh_bucket(server) as bucket:
        file = local_file(NAME, options.scale, folder, display)
        store(NAME, file, server, bucket, display)
        print(report(measure(Place(server, bucket), options.rounds, display)))


if __name__ == "__main__":
    main()

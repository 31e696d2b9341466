"""Storage, PUTs and scans after many random updates, over a store in memory with its own clock.

    python -m benchmarks.storage_bound --mib 64 --updates 10000
    python -m benchmarks.storage_bound --mib 64 --updates 3000 --one-commit-processes
    python -m benchmarks.storage_bound --mib 64 --updates 10000 --retention 3600 --pause 0.36

The store's clock goes on by ``--pause`` seconds with each commit. Then the retention passes, and a few
more commits take along what is left to condemn. Bytes are those of all objects in the store.

With ``--one-commit-processes`` each commit is made by a VFS of its own, that knows nothing before and is
closed after it. ``--rows`` are changed by each commit. Scans are made of the fresh database and of the
updated one in turn, at once and with ``--delay`` seconds and ``--megabytes`` a second for each GET.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import apsw

from sqlite_s3vfs import S3VFS, Settings
from sqlite_s3vfs.metrics import OperationMetrics
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, NotModified
from sqlite_s3vfs.testing import ManualClock

ROW_BYTES = 400
REPETITIONS = 5
LATER_COMMITS = 100


class DistantStore(MemoryObjectStore):
    """Answers a GET after a while; each connection has a bandwidth of its own."""

    delay = 0.0
    bytes_per_second = float("inf")

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        found = super().get(
            key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
        )
        size = len(found.body) if isinstance(found, Fetched) else 0
        if self.delay:
            time.sleep(self.delay + size / self.bytes_per_second)
        return found


@dataclass
class Writer:
    """Commits through one VFS, or through a new one each time."""

    store: DistantStore
    settings: Settings
    one_commit_each: bool
    used: dict[str, OperationMetrics] = field(default_factory=dict)
    vfs: S3VFS | None = None
    connection: apsw.Connection | None = None

    @contextmanager
    def process(self) -> Iterator[apsw.Connection]:
        if self.connection is None or self.vfs is None:
            self.vfs = S3VFS(self.store, settings=self.settings)
            self.connection = apsw.Connection("db", vfs=self.vfs.name)
        yield self.connection
        if self.one_commit_each:
            self.close()

    def close(self) -> None:
        if self.connection is not None and self.vfs is not None:
            self.connection.close()
            self.vfs.close()
            metrics = self.vfs.metrics()
            for name in ("get", "put", "list", "delete"):
                one = getattr(metrics, name)
                self.used[name] = self.used[name] + one if name in self.used else one
        self.connection = self.vfs = None


def rows(count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    chance = random.Random(seed)
    return ((number, chance.randbytes(ROW_BYTES)) for number in range(count))


def stored_bytes(store: MemoryObjectStore) -> int:
    return sum(row.size for row in store.list(""))


def copied(store: DistantStore) -> DistantStore:
    copy = DistantStore(clock=ManualClock())
    for row in store.list(""):
        found = store.get(row.key)
        assert isinstance(found, Fetched)
        copy.put(row.key, found.body)
    return copy


def scan(store: MemoryObjectStore) -> tuple[float, int, float]:
    """Read the whole table with a cold cache: seconds, GETs, MiB."""
    vfs = S3VFS(store)
    connection = apsw.Connection("db", vfs=vfs.name)
    started = time.perf_counter()
    connection.execute("select sum(length(content)) from t").fetchall()
    seconds = time.perf_counter() - started
    get = vfs.metrics().get
    connection.close()
    vfs.close()
    return seconds, get.requests, get.bytes_down / 2**20


def compare_scans(fresh: DistantStore, old: DistantStore, delay: float, megabytes: float) -> None:
    for seconds in (0.0, delay):
        found: dict[str, list[tuple[float, int, float]]] = {"fresh": [], "updated": []}
        for store, name in [(fresh, "fresh"), (old, "updated")] * REPETITIONS:
            store.delay, store.bytes_per_second = seconds, megabytes * 1e6
            found[name].append(scan(store))
            store.delay = 0
        print(f"scans at {1000 * seconds:.0f} ms for each GET:")
        medians = {}
        for name, scans in found.items():
            medians[name] = statistics.median(row[0] for row in scans)
            gets = sorted(row[1] for row in scans)
            mib = statistics.median(row[2] for row in scans)
            print(f"  {name}: {gets[0]}-{gets[-1]} GETs, {mib:.1f} MiB, {medians[name]:.2f} s")
        print(f"  speed after the updates: {medians['fresh'] / medians['updated']:.2f} of a fresh one")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--retention", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.05)
    parser.add_argument("--delay", type=float, default=0.03)
    parser.add_argument("--megabytes", type=float, default=80)
    parser.add_argument("--one-commit-processes", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    clock = ManualClock()
    store = DistantStore(clock=clock)
    count = options.mib * 2**20 // ROW_BYTES
    settings = Settings(retention_seconds=options.retention)
    writer = Writer(store, settings, one_commit_each=False)
    with writer.process() as connection, connection:
        connection.execute("create table t (id integer primary key, content)")
        connection.executemany("insert into t values (?, ?)", rows(count, 1))
    writer.close()
    fresh = stored_bytes(store)
    fresh_store = copied(store)
    print(f"fresh: {fresh / 2**20:.1f} MiB in {sum(1 for _ in store.list(''))} objects")

    chance = random.Random(2)
    peak = largest = 0
    writer = Writer(store, settings, one_commit_each=options.one_commit_processes)

    def update(rows: int) -> None:
        with writer.process() as connection, connection:
            for _ in range(rows):
                bindings = (chance.randbytes(ROW_BYTES), chance.randrange(count))
                connection.execute("update t set content = ? where id = ?", bindings)

    started = time.perf_counter()
    for number in range(options.updates):
        update(options.rows)
        clock.advance(options.pause)
        if number % 50 == 0:
            peak = max(peak, stored_bytes(store))
            (manifest,) = (row.size for row in store.list("db/manifest"))
            largest = max(largest, manifest)
    seconds = time.perf_counter() - started
    print(f"peak {peak / fresh:.2f} times fresh, largest manifest {largest / 1024:.0f} KiB")
    print(f"before the retention has passed: {stored_bytes(store) / fresh:.2f} times fresh")
    for _ in range(LATER_COMMITS):
        clock.advance(options.retention / 4)
        update(1)
        time.sleep(0.02)
    writer.close()
    total, used = options.updates + LATER_COMMITS, writer.used
    put, get = used["put"], used["get"]
    print(
        f"a commit: {put.requests / total:.3f} PUTs, {put.bytes_up / total / 1024:.0f} KiB up, "
        f"{get.requests / total:.3f} GETs, {1000 * seconds / options.updates:.2f} ms; "
        f"in all {used['list'].requests} LISTs, {used['delete'].requests} DELETE requests"
    )
    for folder in ("segments", "maps", "history"):
        sizes = [row.size for row in store.list(f"db/{folder}/")]
        print(f"{folder}: {sum(sizes) / fresh:.2f} times fresh, {len(sizes)} objects")
    print(f"after the retention: {stored_bytes(store) / fresh:.2f} times fresh")
    compare_scans(fresh_store, store, options.delay, options.megabytes)


if __name__ == "__main__":
    main()

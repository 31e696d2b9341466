"""Storage, PUTs and scans after many random one-row updates, over a store in memory with its own clock.

    python -m benchmarks.storage_bound --mib 256 --updates 10000 --retention 60

The store's clock goes on by ``--pause`` seconds with each commit. Then the retention passes,
and a few more commits take along what is left to condemn. Bytes are those of all objects in the store.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator

import apsw

from sqlite_s3vfs import S3VFS, Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing import ManualClock

ROW_BYTES = 400


def rows(count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    chance = random.Random(seed)
    return ((number, chance.randbytes(ROW_BYTES)) for number in range(count))


def stored_bytes(store: MemoryObjectStore) -> int:
    return sum(row.size for row in store.list(""))


def scan(store: MemoryObjectStore, label: str) -> float:
    """Read the whole table with a cold cache; the seconds that it took."""
    vfs = S3VFS(store)
    connection = apsw.Connection("db", vfs=vfs.name)
    started = time.perf_counter()
    connection.execute("select sum(length(content)) from t").fetchall()
    seconds = time.perf_counter() - started
    get = vfs.metrics().get
    print(f"{label}: {get.requests} GETs, {get.bytes_down / 2**20:.1f} MiB, {seconds:.2f} s")
    connection.close()
    vfs.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--retention", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.05)
    options = parser.parse_args()

    clock = ManualClock()
    store = MemoryObjectStore(clock=clock)
    count = options.mib * 2**20 // ROW_BYTES
    vfs = S3VFS(store, settings=Settings(retention_seconds=options.retention))
    connection = apsw.Connection("db", vfs=vfs.name)
    with connection:
        connection.execute("create table t (id integer primary key, content)")
        connection.executemany("insert into t values (?, ?)", rows(count, 1))
    fresh = stored_bytes(store)
    print(f"fresh: {fresh / 2**20:.1f} MiB in {sum(1 for _ in store.list(''))} objects")
    before_scan = min(scan(store, "fresh scan") for _ in range(2))

    chance = random.Random(2)
    before = vfs.metrics()
    peak = largest = 0
    started = time.perf_counter()
    for number in range(options.updates):
        content = chance.randbytes(ROW_BYTES)
        connection.execute("update t set content = ? where id = ?", (content, chance.randrange(count)))
        clock.advance(options.pause)
        if number % 100 == 0:
            peak = max(peak, stored_bytes(store))
            (manifest,) = (row.size for row in store.list("db/manifest"))
            largest = max(largest, manifest)
    seconds = time.perf_counter() - started
    used = vfs.metrics() - before
    print(
        f"updates: {used.put.requests / options.updates:.3f} PUTs each, "
        f"{used.put.bytes_up / options.updates / 1024:.0f} KiB up each, "
        f"{used.get.requests / options.updates:.3f} GETs each, {used.list.requests} LISTs, "
        f"{used.delete.requests} DELETE requests, {1000 * seconds / options.updates:.2f} ms each"
    )
    print(f"peak {peak / fresh:.2f}, largest manifest {largest / 1024:.0f} KiB")
    print(f"before the retention has passed: {stored_bytes(store) / fresh:.2f} times fresh")
    for _ in range(20):
        clock.advance(options.retention / 4)
        connection.execute("update t set content = ? where id = 0", (chance.randbytes(ROW_BYTES),))
        time.sleep(0.02)
    print(f"after: {stored_bytes(store) / fresh:.2f} times fresh")
    after_scan = min(scan(store, "scan after") for _ in range(2))
    print(f"a scan takes {after_scan / before_scan:.2f} times as long")
    connection.close()
    vfs.close()


if __name__ == "__main__":
    main()

"""How fast ``verify`` reads a database, beside raw GETs of the same objects by the same client.

    python -m benchmarks.verify_speed --mib 1024
    python -m benchmarks.verify_speed --mib 1024 --content noise
    python -m benchmarks.verify_speed --file some.sqlite

``text`` compresses about two times, ``noise`` not at all: of it as many bytes are stored as the database
has. The raw GETs are of whole objects, as many at once as ``verify`` has under way, and nothing is done
with what comes. Both are done in turn. Rates are of stored bytes; ``database`` is the rate at which the
file that was imported is checked.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.config import Config

from benchmarks.buckets import bucket_at
from benchmarks.dataset import make_database, make_noise
from benchmarks.server import answering, fresh_bucket, server_from_environment
from sqlite_s3vfs import S3VFS
from sqlite_s3vfs.past.verifying import SEGMENTS_AHEAD

DATABASE = "db"
CHUNK = 1 << 20


def raw_gets(bucket: Any, keys: Sequence[str]) -> int:
    """Bytes of all these objects."""

    def get(key: str) -> int:
        return len(bucket.meta.client.get_object(Bucket=bucket.name, Key=key)["Body"].read())

    with ThreadPoolExecutor(SEGMENTS_AHEAD) as threads:
        return sum(threads.map(get, keys))


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Wall time and this process's processor time of it."""
    start, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cpu


def compare(bucket: Any, file: Path, *, rounds: int) -> None:
    """Import the file, then read it both ways in turn; print the rates and their ratio."""
    vfs = S3VFS(bucket)
    with file.open("rb") as source:
        vfs.deserialize_iter(DATABASE, iter(lambda: source.read(CHUNK), b""))
    rows = list(bucket.objects.filter(Prefix=f"{DATABASE}/"))
    keys, size = [row.key for row in rows], sum(row.size for row in rows)
    print(f"{file.stat().st_size >> 20} MiB, stored as {size >> 20} MiB in {len(keys)} objects")
    ratios = []
    for _ in range(rounds):
        raw, raw_cpu = seconds(lambda: raw_gets(bucket, keys))
        own, own_cpu = seconds(lambda: check(vfs))
        ratios.append(raw / own)
        print(
            f"raw {size / raw / 1e6:.0f} MB/s ({raw:.2f} s, cpu {raw_cpu:.2f}), "
            f"verify {size / own / 1e6:.0f} MB/s ({own:.2f} s, cpu {own_cpu:.2f}): {raw / own:.0%}, "
            f"database {file.stat().st_size / own / 1e6:.0f} MB/s"
        )
    print(f"median: {statistics.median(ratios):.0%} of the speed of raw GETs")
    vfs.close()


def check(vfs: S3VFS) -> None:
    """Verify every block."""
    found = vfs.past(DATABASE).verify()
    if not found.whole:
        raise SystemExit(f"it is not whole: {found.findings}")


def main() -> None:
    """Make the file if none is given, and compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_speed", description=__doc__)
    parser.add_argument("--file", type=Path, help="a SQLite database; else one is made")
    parser.add_argument("--mib", type=int, default=256, help="its size")
    parser.add_argument("--content", choices=["text", "noise"], default="text", help="of its rows")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    server = server_from_environment()
    with answering(server), fresh_bucket(server) as name, tempfile.TemporaryDirectory() as folder:
        file = options.file or Path(folder) / "rows.sqlite"
        if not options.file:
            make = make_noise if options.content == "noise" else make_database
            make(file, size=options.mib << 20)
        bucket = bucket_at(server, name, Config(max_pool_connections=32))
        compare(bucket, file, rounds=options.rounds)


if __name__ == "__main__":
    main()

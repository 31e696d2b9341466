"""The tables that decide the defaults: block, segment and pool size, compression, tail, map pieces.

    python -m benchmarks.defaults
    python -m benchmarks.defaults --only segments pool

Each table varies one number and leaves the others at their defaults. Times are the least of some
rounds, and in each round the values take turns; with MinIO on the same machine both share its cores.
Counts and bytes are from a store in memory, where neither matters. ``docs/decisions`` says what
follows.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, TypeVar

import apsw
import zstandard
from botocore.config import Config

from benchmarks.buckets import bucket_at
from benchmarks.dataset import make_database, random_rows
from benchmarks.recorder import Recorder
from benchmarks.report import aligned
from benchmarks.server import Server, answering, fresh_bucket, server_from_environment
from benchmarks.writes.cases import noisy_database
from sqlite_s3vfs import S3VFS, Settings
from sqlite_s3vfs.format.blockmap import Locator, SegmentSource
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.mapcodec import decode_locators, encode_locators
from sqlite_s3vfs.planning import commit as commit_planning
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.transaction import folding

KIB, MIB = 1 << 10, 1 << 20
FAR = 0.03
ROUNDS = 3
TRANSFER_MIB = 64
TEXT_MIB = 32
LOOKUPS = UPDATES = 300
COMMITS = 1000
NAME = "defaults.sqlite"

V = TypeVar("V")
Rows = Sequence[Sequence[str]]


def least(values: Sequence[V], run: Callable[[V], Sequence[float]]) -> dict[V, list[float]]:
    """For each value the least of every figure of ``run``, whose rounds take turns."""
    found: dict[V, list[float]] = {}
    for _ in range(ROUNDS):
        for value in values:
            figures = run(value)
            found[value] = [min(pair) for pair in zip(found.get(value, figures), figures, strict=True)]
    return found


@contextmanager
def vfs_over(store: Any, settings: Settings) -> Iterator[S3VFS]:
    """A VFS that is closed again."""
    with closing(S3VFS(store, settings=settings)) as vfs:
        yield vfs


def text_database() -> bytes:
    """Rows of text with an index on random keys, as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.sqlite"
        make_database(path, size=TEXT_MIB * MIB)
        return path.read_bytes()


def stored_mib(store: MemoryObjectStore) -> float:
    return sum(row.size for row in store.list("")) / MIB


def block_sizes(_: Server) -> Rows:
    """What a block costs: bytes that are kept, read for a lookup and written for a commit."""
    content = text_database()
    rows = [["block", "stored", "import, CPU", "a lookup: GETs", "down", "a commit: PUTs", "up"]]
    rows[0].append("then an export: GETs")
    for size in (4 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB):
        store = MemoryObjectStore()
        with vfs_over(store, Settings(block_size=size)) as vfs:
            started = time.process_time()
            vfs.deserialize_iter(NAME, iter([content]))
            cpu, stored = time.process_time() - started, stored_mib(store)
        figures = [*_lookups(store), *_updates(store), _scan(store)]
        gets, down, puts, up, scan = figures
        rows.append([
            f"{size // KIB} KiB", f"{stored:.1f} MiB", f"{cpu:.2f} s", f"{gets:.2f}", f"{down:.0f} KiB",
            f"{puts:.2f}", f"{up:.0f} KiB", f"{scan:.0f}",
        ])
    return rows


def _lookups(store: MemoryObjectStore) -> tuple[float, float]:
    """GETs and KiB of a lookup of a random row by the index, on a connection whose cache is small."""
    chance = random.Random(1)
    with vfs_over(store, Settings(cache_bytes=2 * MIB)) as vfs:
        connection = apsw.Connection(NAME, vfs=vfs.name)
        count = connection.execute("SELECT max(id) FROM t").get
        keys = [
            connection.execute("SELECT k FROM t WHERE id = ?", (chance.randint(1, count),)).get
            for _ in range(LOOKUPS)
        ]
        chance.shuffle(keys)
        before = vfs.metrics()
        for key in keys:
            assert connection.execute("SELECT v FROM t WHERE k = ?", (key,)).get
        spent = (vfs.metrics() - before).get
        connection.close()
    return spent.requests / LOOKUPS, spent.bytes_down / LOOKUPS / KIB


def _updates(store: MemoryObjectStore) -> tuple[float, float]:
    """PUTs and KiB up of a commit that changes one random row and its key; folds included."""
    with vfs_over(store, Settings()) as vfs:
        connection = apsw.Connection(NAME, vfs=vfs.name)
        count = connection.execute("SELECT max(id) FROM t").get
        before = vfs.metrics()
        _commit_rows(connection, count, UPDATES)
        connection.close()
        vfs.close()
        spent = (vfs.metrics() - before).put
    return spent.requests / UPDATES, spent.bytes_up / UPDATES / KIB


def _commit_rows(connection: apsw.Connection, count: int, commits: int) -> None:
    chance, row = random.Random(3), random_rows(4, first_id=1)
    for _ in range(commits):
        _, key, text = next(row)
        bindings = (chance.randint(1, count), key, text)
        connection.execute("UPDATE t SET k = ?2, v = ?3 WHERE id = ?1", bindings)


def _scan(store: MemoryObjectStore) -> float:
    with vfs_over(store, Settings()) as vfs:
        for _ in vfs.serialize_iter(NAME):
            pass
        return vfs.metrics().get.requests


def levels(_: Server) -> Rows:
    """How small, and how fast, zstd makes blocks of 64 KiB of text."""
    content = text_database()
    blocks = [content[start : start + 64 * KIB] for start in range(0, len(content), 64 * KIB)]
    packed: dict[int, int] = {}

    def run(level: int) -> tuple[float, float]:
        by = zstandard.ZstdCompressor(level=level)
        started = time.process_time()
        frames = [by.compress(block) for block in blocks]
        compressed = time.process_time()
        for frame in frames:
            zstandard.ZstdDecompressor().decompress(frame)
        packed[level] = sum(map(len, frames))
        return compressed - started, time.process_time() - compressed

    found = least((-5, -1, 1, 2, 3, 6, 9), run)
    size = len(content) / 1e6
    return [
        ["level", "smaller by", "written, MB/s", "read, MB/s"],
        *(
            [str(level), f"{len(content) / packed[level]:.2f}", f"{size / up:.0f}", f"{size / down:.0f}"]
            for level, (up, down) in found.items()
        ),
    ]


def _transfer(bucket: Any, settings: Settings, recorder: Recorder) -> list[float]:
    """MiB/s of an import and of an export of bytes that do not compress, near and far."""
    found = []
    for latency in (0.0, FAR):
        name = f"{random.getrandbits(60):x}.sqlite"
        content = list(noisy_database(TRANSFER_MIB * MIB))
        with vfs_over(bucket, settings) as vfs:
            list(vfs.serialize_iter("none.sqlite"))
            recorder.latency = latency
            started = time.perf_counter()
            vfs.deserialize_iter(name, iter(content))
            written = time.perf_counter()
            assert sum(map(len, vfs.serialize_iter(name))) == TRANSFER_MIB * MIB
            found += [written - started, time.perf_counter() - written]
            recorder.latency = 0.0
    return found


def _transfers(server: Server, what: str, values: Sequence[int],
               settings: Callable[[int], Settings], connections: Callable[[int], int],
               shown: Callable[[int], str]) -> Rows:
    recorder = Recorder()
    recorder.install()
    with fresh_bucket(server) as name:

        def transfer(value: int) -> list[float]:
            bucket = bucket_at(server, name, Config(max_pool_connections=connections(value)))
            return _transfer(bucket, settings(value), recorder)

        found = least(values, transfer)
    near, far = "MiB/s", f"at {FAR * 1000:.0f} ms"
    return [
        [what, f"import, {near}", f"export, {near}", f"import, {far}", f"export, {far}"],
        *(
            [shown(value), *(f"{TRANSFER_MIB / seconds:.0f}" for seconds in figures)]
            for value, figures in found.items()
        ),
    ]


def segment_sizes(server: Server) -> Rows:
    """How fast whole databases move, by the size of the objects."""
    return _transfers(
        server,
        "segment",
        [MIB // 2, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB],
        lambda size: Settings(segment_size=size),
        lambda _: 10,
        lambda size: f"{size / MIB:g} MiB",
    )


def pool_sizes(server: Server) -> Rows:
    """How fast whole databases move, by the number of requests under way."""
    return _transfers(
        server,
        "requests",
        [2, 4, 8, 10, 16, 32],
        lambda size: Settings(pool_size=size),
        lambda size: size,
        str,
    )


@contextmanager
def constants(**changed: int) -> Iterator[None]:
    """Other limits of the tail, wherever they are known."""
    modules: Sequence[ModuleType] = (commit_planning, folding)
    kept = [
        (module, name, getattr(module, name))
        for module in modules
        for name in changed
        if hasattr(module, name)
    ]
    try:
        for module, name, _ in kept:
            setattr(module, name, changed[name])
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def tails(_: Server) -> Rows:
    """What one-row commits cost, by how much the manifest may carry."""
    content = text_database()
    rows = [["folded past", "commit at most", "PUTs each", "KiB up each", "manifest, median KiB"]]
    for soft in (8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, 256 * KIB):
        store = MemoryObjectStore()
        limits = {"TAIL_COMMIT_MAX": soft // 2, "TAIL_SOFT_MAX": soft, "TAIL_HARD_MAX": 2 * soft}
        with constants(**limits), vfs_over(store, Settings()) as vfs:
            vfs.deserialize_iter(NAME, iter([content]))
            connection = apsw.Connection(NAME, vfs=vfs.name)
            count = connection.execute("SELECT max(id) FROM t").get
            before, sizes = vfs.metrics(), []
            for _commit in range(0, COMMITS, 20):
                _commit_rows(connection, count, 20)
                sizes.append(next(store.list(f"{NAME}/manifest")).size / KIB)
            connection.close()
            vfs.close()
            spent = (vfs.metrics() - before).put
        rows.append([
            f"{soft // KIB} KiB", f"{soft // 2 // KIB} KiB", f"{spent.requests / COMMITS:.2f}",
            f"{spent.bytes_up / COMMITS / KIB:.0f}", f"{median(sizes):.0f}",
        ])
    return rows


def pieces(_: Server) -> Rows:
    """What a piece of the map costs whoever reads or replaces it, by the blocks that it maps."""
    chance = random.Random(1)
    rows = [["blocks", "maps", "piece", "decoded in", "pieces of 1 GiB", "of 1 TiB"]]
    for span in (512, 1024, 2048, 4096, 8192, 16384):
        locators = {}
        for first in range(0, span, 64):
            source = SegmentSource(ObjectName(first, chance.randbytes(8)), first, 64, 0)
            offset = 3000
            for block in range(first, first + 64):
                length = chance.randint(20 * KIB, 40 * KIB)
                locators[block] = Locator(source, offset, length, 64 * KIB)
                offset += length
        packed: Any = encode_locators(locators)
        seconds = min(_seconds_to_decode(packed, span) for _ in range(5 * ROUNDS))
        size = sum(len(value) if isinstance(value, bytes) else 30 * len(value)
                   for value in packed.values() if not isinstance(value, int))
        rows.append([
            str(span), f"{span * 64 // KIB} MiB", f"{size / KIB:.0f} KiB", f"{seconds * 1000:.1f} ms",
            f"{-(-16384 // span)}", f"{-(-(1 << 24) // span)}",
        ])
    return rows


def _seconds_to_decode(packed: object, span: int) -> float:
    started = time.process_time()
    decode_locators(packed, rows_max=span)
    return time.process_time() - started


TABLES: dict[str, Callable[[Server], Rows]] = {
    "blocks": block_sizes,
    "segments": segment_sizes,
    "pool": pool_sizes,
    "levels": levels,
    "tail": tails,
    "pieces": pieces,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES))
    options = parser.parse_args(arguments)
    server = server_from_environment()
    with answering(server):
        for name in options.only:
            print(f"\n## {name}\n\n{aligned(TABLES[name](server))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the databases of one VFS share: the store, the threads, the caches, the settings."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from sqlite_s3vfs.cache import BlockCache, BoundedCache, DiskCache
from sqlite_s3vfs.clock import Clock, SystemClock
from sqlite_s3vfs.fetching import Advance, Flights
from sqlite_s3vfs.format.blockmap import Piece, PieceRef
from sqlite_s3vfs.free_memory import Churn
from sqlite_s3vfs.ids import IdSource, RandomIds
from sqlite_s3vfs.metrics import Metrics
from sqlite_s3vfs.pool import Pool, ThreadPool
from sqlite_s3vfs.settings import WRITER_SIZE_MAX, Settings
from sqlite_s3vfs.store.measured import MeasuredStore
from sqlite_s3vfs.store.port import ObjectStore

PIECES_CACHED = 32
"""Decoded map pieces kept in memory: each maps 4096 blocks and takes up to 1 MiB."""

INTERIOR_CACHED = 16 << 20
"""Bytes of unpacked interior pages that are kept beside the blocks: those of 4 GiB."""
ADVANCE_BYTES_MAX = 64 << 20

DECODERS = 2
"""Threads that open what the pool's threads bring. glibc gives each an arena of its own, and the blocks
of a scan lie there: opened by a dozen threads they took half as much memory again."""

GIVEN_BACK_AFTER = 8 << 20
"""Bytes that commits and folds upload until free memory is given back: a dozen threads read, encode and
send these, and each byte takes its place several times."""


def _this_process() -> str:
    name = socket.gethostname().encode("ascii", "replace").decode()
    return f"{name[:WRITER_SIZE_MAX - 20]}:{os.getpid()}"


class Engine:
    """One per VFS. Everything in it is safe to share between threads."""

    def __init__(
        self,
        store: ObjectStore,
        settings: Settings | None = None,
        *,
        pool: Pool | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock = clock or SystemClock()
        self.ids = ids or RandomIds()
        self.metrics = Metrics()
        self.store = MeasuredStore(store, self.metrics, self.clock)
        parallel = getattr(store, "parallel_requests", self.settings.pool_size)
        self.pool = pool or ThreadPool(min(self.settings.pool_size, parallel))
        self.decoders: Pool = ThreadPool(DECODERS)
        self.conditions_proven = False
        """Whether the probe has found that the store honours conditional writes."""
        self.flights = Flights()
        self.blocks = BlockCache(
            self.settings.cache_bytes,
            on_unused=lambda unused: self.metrics.count_advance(unused=unused),
        )
        self.advance = Advance(
            self.pool, self.advance_bytes_max, unused=lambda: self.blocks.fresh_weight
        )
        directory, bound = self.settings.cache_dir, self.settings.cache_dir_bytes
        self.disk = DiskCache(directory, bound, self.ids) if directory else None
        self.pieces: BoundedCache[Piece] = BoundedCache(PIECES_CACHED)
        self.nodes: BoundedCache[Mapping[int, PieceRef]] = BoundedCache(PIECES_CACHED)
        self.interior: BoundedCache[bytes] = BoundedCache(INTERIOR_CACHED)
        self.uploads_churn = Churn(GIVEN_BACK_AFTER)
        self.writer = self.settings.writer or _this_process()

    @property
    def advance_bytes_max(self) -> int:
        """How much may be under way in advance or wait to be used: what is kept must live until then."""
        return min(ADVANCE_BYTES_MAX, self.settings.cache_bytes // 2)

    def close(self) -> None:
        """Stop the threads, drop the connections and what is cached; the next request starts anew."""
        self.advance.clear()
        self.pool.close()
        self.decoders.close()
        for cache in (self.blocks, self.pieces, self.nodes, self.interior):
            cache.clear()
        self.store.close()

    def after_fork(self) -> None:
        """In a forked child: nothing of the parent's threads, locks and sockets may be used."""
        self.pool.forget_locks()
        self.decoders.forget_locks()
        self.flights.after_fork()
        if self.disk:
            self.disk.forget_locks()
        self.advance.after_fork()
        for cache in (self.blocks, self.pieces, self.nodes, self.interior):
            cache.forget_locks()
        self.store.forget_locks()
        self.store.close()

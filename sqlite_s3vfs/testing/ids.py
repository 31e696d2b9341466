"""Ids that are the same in every run, so that a failing test can be run again."""

from __future__ import annotations

import random
import threading

from sqlite_s3vfs.ids import ID_SIZE


class SeededIds:
    """An ``IdSource`` that gives the same ids and the same jitter for the same ``seed``.

    Two writers in one test need two seeds: ids are unique within one source only by chance of the
    seed, as everywhere. Safe to share between threads.
    """

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(seed)
        self._random_lock = threading.Lock()

    def new_id(self) -> bytes:
        with self._random_lock:
            return self._random.randbytes(ID_SIZE)

    def jitter(self) -> float:
        with self._random_lock:
            return self._random.random()

"""The databases that are measured: made locally, the same each time.

``t(id INTEGER PRIMARY KEY, k TEXT, v TEXT)`` with an index on ``k``: ``k`` is random, so every change
of it touches two distant index pages, and ``v`` is text that compresses about two times. The rows go in
by id and nothing is vacuumed, so index pages lie scattered among table pages, as in a database that
has grown.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

PAGE_SIZE = 4096
_WORDS = 4000
_TEXT_LENGTH = 218
_POOL_WORDS = 200_000
_NOISE_LENGTH = 960

Row = tuple[int, str, str]


def random_rows(seed: int, *, first_id: int) -> Iterator[Row]:
    """Rows without end, with rising ids."""
    rnd = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rnd.choices(letters, k=rnd.randint(3, 9))) for _ in range(_WORDS)]
    text = " ".join(rnd.choices(words, k=_POOL_WORDS))
    row_id = first_id
    while True:
        start = rnd.randrange(len(text) - _TEXT_LENGTH)
        yield row_id, f"{rnd.getrandbits(40):010x}", text[start : start + _TEXT_LENGTH]
        row_id += 1


def make_database(path: Path, *, rows: int = 0, size: int = 0) -> int:
    """Write a database of at least ``rows`` rows and ``size`` bytes to ``path``; how many rows."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, k TEXT, v TEXT)")
        connection.execute("CREATE INDEX t_k ON t(k)")
        connection.execute("BEGIN")
        written = 0
        for row in random_rows(1, first_id=1):
            if written >= rows and _size(connection) >= size:
                break
            connection.execute("INSERT INTO t VALUES (?, ?, ?)", row)
            written += 1
        connection.execute("COMMIT")
        return written
    finally:
        connection.close()


def make_noise(path: Path, *, size: int) -> None:
    """Write a database of rows that no compression makes smaller, of about ``size`` bytes."""
    chance = random.Random(2)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
        contents = ((chance.randbytes(_NOISE_LENGTH),) for _ in range(size // _NOISE_LENGTH))
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t(v) VALUES (?)", contents)
        connection.execute("COMMIT")


def _size(connection: sqlite3.Connection) -> int:
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    return pages * PAGE_SIZE

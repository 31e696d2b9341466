"""The kinds of commit that are cut, doubled and lost: what comes before, and the one commit itself.

A kind is a list of SQL scripts; each script is one commit. ``images`` gives what plain SQLite makes of
them, file by file, so that a kind can be run through the VFS (the scripts) or over the engine alone
(the bytes that differ between two images).
"""

from __future__ import annotations

import functools
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apsw

from sqlite_s3vfs.settings import Settings

Statement = tuple[str, tuple[object, ...]]
Script = tuple[Statement, ...]
How = Literal["transaction", "deserialize"]


def sql(*texts: str) -> Script:
    return tuple((text, ()) for text in texts)


def random_blobs(table: str, count: int, size: int, *, seed: int) -> Script:
    """Rows that no compression makes smaller, in one transaction."""
    chance = random.Random(seed)
    insert = f"insert into {table} values (?, ?)"
    rows = tuple((insert, (n, chance.randbytes(size))) for n in range(count))
    return (("begin", ()), *rows, ("commit", ()))


DEFAULTS = Settings()


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of commit: ``before`` is there, ``change`` is what goes wrong.

    Another process makes what comes before, but for the last ``own`` scripts; what the first
    ``ancestor`` scripts make is laid out as sqlite-s3vfs 0.0.x did. ``fold`` moves the tail into blocks
    before the change, which then adopts them. ``drafts``: the engine writes each page twice.
    ``cold`` makes the change by a process that has not even read; ``proven`` spares it the probe of the
    store. The change makes at least ``calls_min`` store calls, or the kind is not what it says.
    """

    name: str
    before: tuple[Script, ...]
    change: Script
    calls_min: int
    settings: Settings = DEFAULTS
    how: How = "transaction"
    fold: bool = False
    drafts: bool = False
    ancestor: int = 0
    own: int = 0
    cold: bool = False
    proven: bool = True
    takes_long: bool = False

    def __str__(self) -> str:
        return self.name

    @functools.cached_property
    def images(self) -> tuple[bytes, ...]:
        """The file after each script of ``before``, and after the change; the first is empty."""
        return images_of((*self.before, self.change))


@functools.cache
def images_of(scripts: tuple[Script, ...]) -> tuple[bytes, ...]:
    found = [b""]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "plain"
        connection = apsw.Connection(str(path))
        for script in scripts:
            run_script(connection, script)
            found.append(path.read_bytes())
        connection.close()
    return tuple(found)


def run_script(connection: apsw.Connection, script: Script) -> None:
    for text, bindings in script:
        connection.execute(text, bindings)


SCHEMA = sql(
    "begin",
    "create table account (id integer primary key, balance, note)",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200) "
    "insert into account select i, 100, printf('%0100d', i) from n",
    "create table blobs (id, content)",
    "commit",
)
UPDATES = tuple(
    sql(f"update account set balance = balance + {n} where id in ({n}, {200 - n})") for n in range(1, 6)
)
ONE_ROW = sql("update account set balance = 0 where id = 7")
SMALL_SEGMENTS = Settings(block_size=8192, segment_size=64 << 10)
LITTLE_MEMORY = Settings(block_size=8192, segment_size=64 << 10, transaction_bytes=128 << 10)


def rewritten_blobs(count: int, *, seed: int) -> Script:
    """Rows that go in and are changed again, in one transaction that leaves SQLite's cache early."""
    begin, *rows, commit = random_blobs("blobs", count, 1000, seed=seed)
    again = (("update blobs set id = id + 1 where id % 3 = 0", ()),)
    return (("pragma cache_size = 10", ()), begin, *rows, *again, commit)



KINDS = (
    Kind("new database", (), SCHEMA, 10, cold=True, proven=False),
    Kind("tail commit", (SCHEMA,), ONE_ROW, 2),
    Kind("tail commit, cold", (SCHEMA,), ONE_ROW, 2, cold=True),
    Kind(
        "commit with blocks",
        (SCHEMA, *UPDATES),
        random_blobs("blobs", 150, 1000, seed=1),
        6,
        SMALL_SEGMENTS,
    ),
    Kind(
        "commit with blocks that are no multiple of a page",
        (SCHEMA, *UPDATES),
        random_blobs("blobs", 150, 1000, seed=2),
        6,
        Settings(block_size=4095, segment_size=64 << 10),
    ),
    Kind(
        "commit with blocks beside pages in the tail",
        (SCHEMA, random_blobs("blobs", 100, 1000, seed=10), *UPDATES),
        random_blobs("blobs", 300, 1000, seed=11),
        5,
        Settings(block_size=4095, segment_size=64 << 10),
    ),
    Kind(
        "commit that adopts a fold",
        (SCHEMA, *UPDATES),
        ONE_ROW,
        2,
        fold=True,
    ),
    Kind(
        "commit with blocks that adopts a fold",
        (SCHEMA, random_blobs("blobs", 100, 1000, seed=3), *UPDATES),
        random_blobs("blobs", 300, 1000, seed=4),
        4,
        SMALL_SEGMENTS,
        fold=True,
    ),
    Kind(
        "spilling commit",
        (SCHEMA, *UPDATES),
        rewritten_blobs(150, seed=12),
        9,
        LITTLE_MEMORY,
        drafts=True,
    ),
    Kind(
        "spilling commit with blocks that are no multiple of a page",
        (SCHEMA, *UPDATES),
        rewritten_blobs(80, seed=13),
        6,
        Settings(block_size=10_000, segment_size=64 << 10, transaction_bytes=48 << 10),
        drafts=True,
        takes_long=True,
    ),
    Kind(
        "spilling commit that adopts a fold",
        (SCHEMA, random_blobs("blobs", 100, 1000, seed=14), *UPDATES),
        rewritten_blobs(140, seed=15),
        6,
        LITTLE_MEMORY,
        fold=True,
        takes_long=True,
    ),
    Kind(
        "spilling new database",
        (),
        (*SCHEMA[:-1], *rewritten_blobs(140, seed=16)[2:]),
        10,
        LITTLE_MEMORY,
        cold=True,
        proven=False,
        takes_long=True,
    ),
    Kind(
        "shrink",
        (SCHEMA, random_blobs("blobs", 50, 1000, seed=5), sql("delete from blobs where id > 10")),
        sql("vacuum"),
        3,
        SMALL_SEGMENTS,
    ),
    Kind(
        "shrink that ends in a block",
        (
            sql("pragma auto_vacuum = full", "create table blobs (id, content)"),
            random_blobs("blobs", 50, 1000, seed=6),
        ),
        sql("delete from blobs where id > 43"),
        3,
        Settings(block_size=10_000, segment_size=64 << 10),
    ),
    Kind(
        "page-size change",
        (SCHEMA, *UPDATES),
        sql("pragma page_size = 1024", "vacuum"),
        3,
        SMALL_SEGMENTS,
    ),
    Kind(
        "commit that moves the map into pieces",
        (SCHEMA, random_blobs("blobs", 900, 1000, seed=7)),
        random_blobs("blobs", 200, 1000, seed=8),
        5,
        Settings(block_size=512, segment_size=1 << 20),
        takes_long=True,
    ),
    Kind("deserialize over nothing", (), SCHEMA, 3, SMALL_SEGMENTS, how="deserialize", cold=True),
    Kind(
        "deserialize over a database",
        (SCHEMA, *UPDATES),
        sql("begin", "create table other (x)", "insert into other values (1)", "commit"),
        4,
        SMALL_SEGMENTS,
        how="deserialize",
    ),
    Kind(
        "adoption",
        (SCHEMA,),
        ONE_ROW,
        6,
        Settings(block_size=65536),
        ancestor=1,
        cold=True,
    ),
    Kind(
        "adoption with blocks",
        (SCHEMA,),
        random_blobs("blobs", 100, 1000, seed=9),
        7,
        Settings(segment_size=64 << 10),
        ancestor=1,
        cold=True,
    ),
    Kind("commit after one's own adoption", (SCHEMA, UPDATES[0]), ONE_ROW, 2, ancestor=1, own=1),
    Kind("commit after another's adoption", (SCHEMA, UPDATES[0]), ONE_ROW, 3, ancestor=1),
)
ANCESTOR_BLOCK_SIZE = 4096


def kind_called(name: str) -> Kind:
    """One of ``KINDS``."""
    (found,) = (kind for kind in KINDS if kind.name == name)
    return found

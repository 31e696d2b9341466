"""A published data set is read where it lies, by a reader that cannot change it.

    python examples/reading_in_place.py                 in a temporary directory that stands in for S3
    python examples/reading_in_place.py DIRECTORY
    python examples/reading_in_place.py s3://BUCKET     with the AWS tools' usual settings

A reader fetches what its questions need and nothing else. `mode=ro` sees what the publisher adds, from
one transaction to the next; `immutable=1` stays with the version that it opened, and does not even
ask whether there is a newer one.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import apsw

from sqlite_s3vfs import S3VFS, DirectoryObjectStore

DATABASE = "tides.sqlite"
HARBOURS = ["Brest", "Cuxhaven", "Dover", "Esbjerg"]
HOURS = 24 * 365 * 5

AVERAGE = "SELECT round(avg(level), 4) FROM tide WHERE harbour = 'Dover' AND hour < 1000"


def main() -> None:
    store = store_of(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="sqlite-s3vfs-"))
    publishing = S3VFS(store)
    publisher = apsw.Connection(DATABASE, vfs=publishing.name)
    publish(publisher)
    size = publisher.pragma("page_count") * publisher.pragma("page_size")
    print(f"published {size / 1e6:.1f} MB")

    vfs = S3VFS(store)      # as in another process: it shares nothing with the other one
    reader, pinned = (open_to_read(vfs, mode) for mode in ("mode=ro", "immutable=1"))
    show("mode=ro, first question", reader, vfs)
    show("immutable=1, the same one", pinned, vfs)
    refuse_to_write(reader)

    publisher.execute("UPDATE tide SET level = level + 1 WHERE harbour = 'Dover' AND hour = 7")
    show("mode=ro, after a correction", reader, vfs)
    show("immutable=1, after it", pinned, vfs)


def publish(connection: apsw.Connection) -> None:
    """Hourly water levels of some years, in one commit."""
    with connection:
        connection.execute("""
            DROP TABLE IF EXISTS tide;
            CREATE TABLE tide (
                harbour TEXT, hour INTEGER, level REAL, PRIMARY KEY (harbour, hour)
            ) WITHOUT ROWID;
        """)
        connection.executemany("INSERT INTO tide VALUES (?, ?, ?)", levels())


def levels() -> Iterator[tuple[str, int, float]]:
    """The two strongest tides, that of the moon and that of the sun: 12.42 and 12 hours."""
    for phase, harbour in enumerate(HARBOURS):
        for hour in range(HOURS):
            moon = math.cos(2 * math.pi * hour / 12.4206 + phase)
            sun = math.cos(2 * math.pi * hour / 12)
            yield harbour, hour, round(2.5 * moon + 0.8 * sun, 3)


def open_to_read(vfs: S3VFS, mode: str) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return apsw.Connection(f"file:{DATABASE}?{mode}&vfs={vfs.name}", flags=flags)


def show(label: str, connection: apsw.Connection, vfs: S3VFS) -> None:
    """Ask, and print the answer with what it cost."""
    before = vfs.metrics()
    answer = connection.execute(AVERAGE).get
    spent = (vfs.metrics() - before).get
    print(f"{label:<28} {answer:.4f}   {spent.requests} GET, {spent.bytes_down / 1e3:.1f} kB")


def refuse_to_write(connection: apsw.Connection) -> None:
    try:
        connection.execute("DELETE FROM tide")
    except apsw.ReadOnlyError as error:
        print(f"{'mode=ro, an attempt to write':<28} {error}")
    else:
        raise SystemExit("a reader could write")


def store_of(where: str) -> Any:
    """A bucket, or a directory that stands in for one."""
    if not where.startswith("s3://"):
        return DirectoryObjectStore(where)
    import boto3

    return boto3.resource("s3").Bucket(where.removeprefix("s3://"))


if __name__ == "__main__":
    main()

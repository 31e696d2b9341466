"""A SQLite file goes into S3 in one commit, is changed there, and comes out as a SQLite file again.

    python examples/import_and_export.py                 in a temporary directory that stands in for S3
    python examples/import_and_export.py DIRECTORY
    python examples/import_and_export.py s3://BUCKET     with the AWS tools' usual settings
"""

from __future__ import annotations

import calendar
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import apsw

from sqlite_s3vfs import S3VFS, DirectoryObjectStore

DATABASE = "calendar.sqlite"


def main() -> None:
    where = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="sqlite-s3vfs-")
    vfs = S3VFS(store_of(where))
    with tempfile.TemporaryDirectory() as scratch:
        local, exported = Path(scratch, "local.sqlite"), Path(scratch, "exported.sqlite")
        make_local_database(local)

        vfs.deserialize_iter(DATABASE, chunks_of(local))
        print(f"imported {local.stat().st_size / 1e6:.1f} MB in one commit")
        same = b"".join(vfs.serialize_iter(DATABASE)) == local.read_bytes()
        print(f"what comes out is what went in, byte for byte: {same}")

        with apsw.Connection(DATABASE, vfs=vfs.name) as connection:
            connection.execute("DELETE FROM day WHERE day_of_week <> 'Friday' OR day_of_month <> 13")
            connection.execute("ALTER TABLE day RENAME TO friday_13th")

        with exported.open("wb") as file:
            for chunk in vfs.serialize_iter(DATABASE):
                file.write(chunk)
        question = "SELECT count(*), min(day), max(day) FROM friday_13th"
        with closing(sqlite3.connect(exported)) as plain:
            count, first, last = plain.execute(question).fetchone()
        print(f"exported: {count} Fridays the 13th from {first} to {last}")

    if not same:
        raise SystemExit("the import changed the database")


def make_local_database(path: Path) -> None:
    """All days of the Gregorian calendar's cycle of 400 years, with Python's own sqlite3."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE day (day TEXT PRIMARY KEY, day_of_week TEXT, day_of_month INT)")
        connection.executemany("INSERT INTO day VALUES (?, ?, ?)", days())


def days() -> Iterator[tuple[str, str, int]]:
    for ordinal in range(date(1900, 1, 1).toordinal(), date(2300, 1, 1).toordinal()):
        day = date.fromordinal(ordinal)
        yield day.isoformat(), calendar.day_name[day.weekday()], day.day


def chunks_of(path: Path) -> Iterator[bytes]:
    """Chunks may have any size: from a file, a download, a generator."""
    with path.open("rb") as file:
        while chunk := file.read(1 << 16):
            yield chunk


def store_of(where: str) -> Any:
    """A bucket, or a directory that stands in for one."""
    if not where.startswith("s3://"):
        return DirectoryObjectStore(where)
    import boto3

    return boto3.resource("s3").Bucket(where.removeprefix("s3://"))


if __name__ == "__main__":
    main()

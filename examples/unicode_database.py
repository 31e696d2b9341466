"""Every Unicode character in a database that lives in S3: built there, searched there, taken out again.

    python examples/unicode_database.py                 in a temporary directory that stands in for S3
    python examples/unicode_database.py DIRECTORY       in this directory, which keeps it
    python examples/unicode_database.py s3://BUCKET     in S3, with the AWS tools' usual settings
    python examples/unicode_database.py --minio         in the MinIO that ./start-minio.sh starts

The characters come with Python (unicodedata), nothing is downloaded. What happens, step by step:
1. the table and its full-text index are built straight into the bucket, in one transaction;
2. a new VFS, as on another machine with nothing cached, asks questions in place;
3. the database is written out as a plain SQLite file, read with Python's own sqlite3, and compared.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import apsw

from sqlite_s3vfs import S3VFS, DirectoryObjectStore, MetricsSnapshot

DATABASE = "unicode.sqlite"
PLAIN_FILE = "unicode-plain.sqlite"

SCHEMA = """
    DROP TABLE IF EXISTS word;
    DROP TABLE IF EXISTS name_index;
    DROP TABLE IF EXISTS character;
    CREATE TABLE character (
        code INTEGER PRIMARY KEY,
        char TEXT, name TEXT, category TEXT, bidirectional TEXT, width TEXT,
        combining INTEGER, mirrored INTEGER, numeric REAL, decomposition TEXT, upper TEXT, lower TEXT
    );
    CREATE INDEX by_category ON character (category);
    CREATE VIRTUAL TABLE name_index USING fts5 (name, content = 'character', content_rowid = 'code');
    CREATE VIRTUAL TABLE word USING fts5vocab (name_index, 'row');
"""
INSERT = "INSERT INTO character VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

FOUND_BY_NAME = """
    SELECT printf('U+%04X', code), char, character.name
    FROM name_index JOIN character ON code = name_index.rowid
    WHERE name_index MATCH {} ORDER BY rank LIMIT 5
"""
QUESTIONS = {
    "What is € called?": "SELECT name FROM character WHERE code = unicode('€')",
    "Which characters have to do with snowmen?": FOUND_BY_NAME.format("'snowman'"),
    "And what is there to eat?": FOUND_BY_NAME.format("'pizza OR croissant OR \"rice ball\"'"),
    "Which ones stand for the largest numbers?": """
        SELECT char, CAST(numeric AS INTEGER), name FROM character ORDER BY numeric DESC LIMIT 3
    """,
    "Which ones grow most when they are written in capitals?": """
        SELECT char, upper, name FROM character ORDER BY length(upper) DESC, code LIMIT 3
    """,
    "Which words are most frequent in names?": "SELECT term, doc FROM word ORDER BY doc DESC LIMIT 5",
    "How many are there of each kind?": """
        SELECT category, count(*) FROM character GROUP BY category ORDER BY 2 DESC LIMIT 4
    """,
}


class Place(Protocol):
    """A bucket, or what stands in for one."""

    label: str
    store: Any

    def save(self, file: Any) -> None:
        """Keep what can be read from ``file`` as a plain file beside the database."""

    def load(self, path: Path) -> None:
        """Fetch that file."""

    def stored(self) -> tuple[int, int]:
        """Number and bytes of the objects that hold the database."""


class Directory:
    def __init__(self, directory: Path) -> None:
        self.label = f"the directory {directory}"
        self.store: Any = DirectoryObjectStore(directory / "bucket")
        self._plain = directory / PLAIN_FILE

    def save(self, file: Any) -> None:
        with self._plain.open("wb") as target:
            shutil.copyfileobj(file, target)

    def load(self, path: Path) -> None:
        shutil.copyfile(self._plain, path)

    def stored(self) -> tuple[int, int]:
        sizes = [row.size for row in self.store.list(f"{DATABASE}/")]
        return len(sizes), sum(sizes)


class Bucket:
    def __init__(self, name: str, **server: Any) -> None:
        import boto3  # only here: a directory does without it

        self.label = f"the bucket {name}"
        self.store: Any = boto3.resource("s3", **server).Bucket(name)

    def save(self, file: Any) -> None:
        self.store.upload_fileobj(file, PLAIN_FILE)

    def load(self, path: Path) -> None:
        self.store.download_file(PLAIN_FILE, str(path))

    def stored(self) -> tuple[int, int]:
        sizes = [row.size for row in self.store.objects.filter(Prefix=f"{DATABASE}/")]
        return len(sizes), sum(sizes)


def minio(bucket_name: str) -> Bucket:
    """A bucket of the MinIO that start-minio.sh starts, created where it is missing."""
    bucket = Bucket(
        bucket_name,
        endpoint_url=f"http://{os.environ.get('S3VFS_MINIO_ADDRESS', 'localhost:9000')}",
        aws_access_key_id=os.environ.get("S3VFS_MINIO_ACCESS_KEY", "AKIAIDIDIDIDIDIDIDID"),
        aws_secret_access_key=os.environ.get("S3VFS_MINIO_SECRET_KEY", "a" * 40),
        region_name=os.environ.get("S3VFS_MINIO_REGION", "us-east-1"),
    )
    if bucket.store.creation_date is None:
        bucket.store.create()
    return bucket


def characters(meter: Meter) -> Iterator[tuple[object, ...]]:
    """One row for each assigned character."""
    for code in range(sys.maxunicode + 1):
        if code % 4096 == 0:
            meter.show(code / sys.maxunicode)
        char = chr(code)
        category = unicodedata.category(char)
        if category in ("Cn", "Cs", "Co"):      # unassigned, half a UTF-16 pair, for private use
            continue
        yield (
            code,
            char,
            unicodedata.name(char, "<control>"),
            category,
            unicodedata.bidirectional(char),
            unicodedata.east_asian_width(char),
            unicodedata.combining(char),
            unicodedata.mirrored(char),
            unicodedata.numeric(char, None),
            unicodedata.decomposition(char),
            char.upper(),
            char.lower(),
        )


def build(vfs: S3VFS) -> None:
    """Fill the database in one transaction: others see nothing of it, or all of it."""
    connection = apsw.Connection(DATABASE, vfs=vfs.name)
    with connection:
        connection.execute(SCHEMA)
        with Meter("characters") as meter:
            connection.executemany(INSERT, characters(meter))
        with Meter("full-text index"):
            connection.execute("INSERT INTO name_index (name_index) VALUES ('rebuild')")
        committing = Meter("commit")
    committing.done()
    connection.close()


def ask(vfs: S3VFS) -> None:
    """Questions to the database where it lies, each with what it cost."""
    connection = apsw.Connection(f"file:{DATABASE}?mode=ro&vfs={vfs.name}", flags=URI)
    for question, sql in QUESTIONS.items():
        before, started = vfs.metrics(), time.monotonic()
        rows = connection.execute(sql).fetchall()
        spent = time.monotonic() - started
        print(f"\n   {question}   [{cost(vfs.metrics() - before)}, {spent * 1000:.0f} ms]")
        for row in rows:
            print("     ", "  ".join(str(value) for value in row))
    connection.close()


def check(plain_file: Path, vfs: S3VFS) -> int:
    """Compare the plain file, read by another SQLite, with the database in the bucket."""
    everything = "SELECT * FROM character ORDER BY code"
    ours = apsw.Connection(DATABASE, vfs=vfs.name)
    theirs = sqlite3.connect(plain_file)
    (verdict,) = theirs.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise SystemExit(f"the plain file is damaged: {verdict}")
    count = 0
    with Meter("comparing") as meter:
        for row, other in zip(ours.execute(everything), theirs.execute(everything), strict=True):
            if row != other:
                raise SystemExit(f"the plain file differs: {row} is {other} there")
            if count % 4096 == 0:
                meter.show(row[0] / sys.maxunicode)
            count += 1
    ours.close()
    theirs.close()
    return count


URI = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI


class Meter:
    """How far a step has come, where it takes longer than a second; at its end how long it took."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._started = self._shown = time.monotonic()
        self._live = sys.stdout.isatty()
        if self._live:
            print(f"   {step} …", end="", flush=True)

    def show(self, share: float) -> None:
        """``share`` of the step is done, from 0 to 1."""
        now = time.monotonic()
        if now - self._shown >= (0.1 if self._live else 1):
            self._shown = now
            self._print(f"{share:4.0%}", end="" if self._live else "\n")

    def done(self) -> None:
        self._print(f"{time.monotonic() - self._started:.1f} s", end="\n")

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *error: object) -> None:
        self.done()

    def _print(self, said: str, *, end: str) -> None:
        start = "\r" if self._live else ""
        print(f"{start}   {self._step:<16} {said:>6}", end=end, flush=True)


def cost(spent: MetricsSnapshot) -> str:
    requests = spent.total.requests
    down, up = spent.total.bytes_down / 1e6, spent.total.bytes_up / 1e6
    return f"{requests} request{'s'[: requests != 1]}, {max(down, up):.2f} MB"


def place_of(arguments: argparse.Namespace) -> Place:
    where = arguments.where
    if arguments.minio:
        return minio((where or "s3://unicode-example").removeprefix("s3://"))
    if where is None:
        return Directory(Path(tempfile.mkdtemp(prefix="sqlite-s3vfs-")))
    if where.startswith("s3://"):
        return Bucket(where.removeprefix("s3://"))
    return Directory(Path(where).resolve())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("where", nargs="?", help="a directory, or s3://BUCKET; else a temporary one")
    parser.add_argument("--minio", action="store_true", help="the server of ./start-minio.sh")
    place = place_of(parser.parse_args())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")    # for terminals that do not know every character

    print(f"1. Building {DATABASE} (Unicode {unicodedata.unidata_version}) straight into {place.label}")
    vfs = S3VFS(place.store)
    build(vfs)
    count, size = place.stored()
    print(f"   {cost(vfs.metrics())}: it is stored in {count} objects of {size / 1e6:.1f} MB together")

    print("\n2. Asking it in place, as another machine would: a new VFS, nothing cached")
    reader = S3VFS(place.store)
    ask(reader)

    print(f"\n3. Writing it out as the plain SQLite file {PLAIN_FILE}, beside the database")
    before = vfs.metrics()
    place.save(vfs.serialize_fileobj(DATABASE))
    print(f"   {cost(vfs.metrics() - before)}")
    with tempfile.TemporaryDirectory() as scratch:
        plain_file = Path(scratch, PLAIN_FILE)
        place.load(plain_file)
        rows = check(plain_file, vfs)
        plain_size = plain_file.stat().st_size
    print(f"   {plain_size / 1e6:.1f} MB, integrity_check: ok, all {rows:,} characters are equal")

    requests = vfs.metrics().total.requests + reader.metrics().total.requests
    print(f"\n{requests} requests altogether. The database stays in {place.label}.")


if __name__ == "__main__":
    main()

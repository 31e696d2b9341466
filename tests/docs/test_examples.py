"""Each example is run as its users run it, in a process of its own: over a directory and over MinIO."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category

import apsw
import pytest

from sqlite_s3vfs import S3VFS, DirectoryObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow


def run_example(name: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """What the example printed."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **(env or {})}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=240
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def assert_tells_of_all_characters(printed: str) -> None:
    assigned = sum(category(chr(code)) not in ("Cn", "Cs", "Co") for code in range(sys.maxunicode + 1))
    assert "U+2603  ☃  SNOWMAN" in printed
    assert "EURO SIGN" in printed
    assert f"integrity_check: ok, all {assigned:,} characters are equal" in printed


@pytest.fixture(scope="module")
def unicode_database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where the example has built its database, and what it printed."""
    directory = tmp_path_factory.mktemp("unicode")
    return directory, run_example("unicode_database.py", str(directory))


def test_the_unicode_database_in_a_directory(unicode_database: tuple[Path, str]):
    directory, printed = unicode_database

    assert_tells_of_all_characters(printed)
    vfs = S3VFS(DirectoryObjectStore(directory / "bucket"))
    plain = (directory / "unicode-plain.sqlite").read_bytes()
    assert b"".join(vfs.serialize_iter("unicode.sqlite")) == plain


def test_the_unicode_database_looks_up_a_character_in_few_requests(unicode_database: tuple[Path, str]):
    """The manifest, twice, the map at the same time as the second, and one block."""
    _, printed = unicode_database

    (requests,) = re.findall(r"What is € called\?\s+\[(\d+) request", printed)
    assert int(requests) <= 4


def test_the_local_sqlite_reads_what_the_unicode_database_wrote(unicode_database: tuple[Path, str]):
    directory, _ = unicode_database

    with closing(sqlite3.connect(directory / "unicode-plain.sqlite")) as connection:
        (name,) = connection.execute("SELECT name FROM character WHERE char = '☃'").fetchone()

    assert name == "SNOWMAN"


def test_the_unicode_database_can_be_built_again_over_the_old_one(unicode_database: tuple[Path, str]):
    directory, _ = unicode_database

    assert_tells_of_all_characters(run_example("unicode_database.py", str(directory)))


def test_the_unicode_database_in_minio(minio_bucket: Bucket, minio_environment: dict[str, str]):
    server = {
        "S3VFS_MINIO_ADDRESS": minio_environment["AWS_ENDPOINT_URL"].removeprefix("http://"),
        "S3VFS_MINIO_ACCESS_KEY": minio_environment["AWS_ACCESS_KEY_ID"],
        "S3VFS_MINIO_SECRET_KEY": minio_environment["AWS_SECRET_ACCESS_KEY"],
    }

    printed = run_example("unicode_database.py", "--minio", f"s3://{minio_bucket.name}", env=server)

    assert_tells_of_all_characters(printed)


def test_several_writers_in_a_directory(tmp_path: Path):
    printed = run_example("several_writers.py", (tmp_path / "bank.sqlite").as_uri())

    assert "80 transfers are in the book; money in all accounts: 1000" in printed


def test_several_writers_in_minio(minio_bucket: Bucket, minio_environment: dict[str, str]):
    url = f"s3://{minio_bucket.name}/examples/bank.sqlite"

    printed = run_example("several_writers.py", url, env=minio_environment)

    assert "80 transfers are in the book; money in all accounts: 1000" in printed


READING = """\
mode=ro, first question      -0.0079   . GET, [0-9.]+ kB
immutable=1, the same one    -0.0079   0 GET, 0.0 kB
mode=ro, an attempt to write .*readonly.*
mode=ro, after a correction  -0.0069   . GET, [0-9.]+ kB
immutable=1, after it        -0.0079   0 GET, 0.0 kB
"""


def test_reading_in_place_in_a_directory(tmp_path: Path):
    assert re.search(READING, run_example("reading_in_place.py", str(tmp_path)))


def test_reading_in_place_in_minio(minio_bucket: Bucket, minio_environment: dict[str, str]):
    printed = run_example("reading_in_place.py", f"s3://{minio_bucket.name}", env=minio_environment)

    assert re.search(READING, printed)


IMPORTED = "byte for byte: True\nexported: 688 Fridays the 13th from 1900-04-13 to 2299-10-13"


def test_import_and_export_in_a_directory(tmp_path: Path):
    assert IMPORTED in run_example("import_and_export.py", str(tmp_path))
    vfs = S3VFS(DirectoryObjectStore(tmp_path))
    connection = apsw.Connection("calendar.sqlite", vfs=vfs.name)
    assert connection.execute("SELECT count(*) FROM friday_13th").get == 688


def test_import_and_export_in_minio(minio_bucket: Bucket, minio_environment: dict[str, str]):
    printed = run_example("import_and_export.py", f"s3://{minio_bucket.name}", env=minio_environment)

    assert IMPORTED in printed


def test_every_example_has_a_test_and_explains_itself():
    tests = Path(__file__).read_text()

    for example in EXAMPLES.glob("*.py"):
        assert f'"{example.name}"' in tests
        assert example.read_text().startswith('"""')

"""Where databases are named from the command line: below a directory, and in a bucket of MinIO."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sqlite_s3vfs.cli.app import run
from sqlite_s3vfs.ids import RandomIds
from tests import conftest as settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Ended]


def minio_variables() -> dict[str, str]:
    """The variables with which the AWS tools find the test server."""
    return {
        "AWS_ENDPOINT_URL": settings.ENDPOINT,
        "AWS_ACCESS_KEY_ID": settings.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": settings.SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture(autouse=True)
def no_aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own: no variable, no profile, no role."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


_on_minio = pytest.param("minio", marks=pytest.mark.long)
both = pytest.mark.parametrize("folder", ["directory", _on_minio], indirect=True)
"""A directory in the ordinary run; a bucket, which takes a second a command, in the long one."""

everywhere = pytest.mark.parametrize("folder", ["directory", "minio"], indirect=True)
"""For the few tests that go over a bucket in the ordinary run, too."""


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URL below which there is nothing yet, in a directory unless ``both``; append a name."""
    if getattr(request, "param", "directory") == "directory":
        return (tmp_path / "bucket").as_uri()
    bucket = request.getfixturevalue("minio_bucket")
    for name, value in minio_variables().items():
        monkeypatch.setenv(name, value)
    return f"s3://{bucket.name}/{RandomIds().new_id().hex()}"


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Carries out a command line in this process."""

    def command(*arguments: object) -> Ended:
        capsysbinary.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capsysbinary.readouterr()
        return Ended(code, printed.out.decode(), printed.err.decode())

    return command


@pytest.fixture
def program() -> Command:
    """Carries out a command line in a process of its own."""

    def command(*arguments: object, stdin: str = "", env: Mapping[str, str] | None = None) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "sqlite_s3vfs", *map(str, arguments)],
            cwd=ROOT, env={**os.environ, **(env or {})}, input=stdin.encode(), capture_output=True,
            timeout=120,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return command


@pytest.fixture
def plain_file(tmp_path: Path) -> Path:
    """A SQLite file of some 400 pages."""
    path = tmp_path / "plain.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, body BLOB)")
        rows = ((number, f"title {number}", bytes([number % 251]) * 3000) for number in range(1, 501))
        connection.executemany("INSERT INTO book VALUES (?, ?, ?)", rows)
    return path


@pytest.fixture
def library(folder: str, plain_file: Path, cli: Command) -> str:
    """The URL of a database that holds the plain file's content."""
    url = f"{folder}/library.sqlite"
    ended = cli("import", url, plain_file)
    assert ended.code == 0, ended.err
    return url

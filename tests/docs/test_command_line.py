"""``python -m sqlite_s3vfs`` tells its version, and where to begin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

import sqlite_s3vfs
from sqlite_s3vfs.__main__ import main

ROOT = Path(__file__).parents[2]


def test_the_version_names_what_a_report_needs(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"sqlite-s3vfs {sqlite_s3vfs.__version__} ")
    assert f"SQLite {apsw.sqlite_lib_version()}" in printed
    assert re.search(r"APSW [\d.]+, boto3 [\d.]+, Python [\d.]+", printed)


def test_the_code_that_the_help_shows_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    main([])

    lines = capsys.readouterr().out.splitlines()
    start = lines.index("to begin with:") + 1
    code = "\n".join(line.strip() for line in lines[start : start + 4])
    url = (tmp_path / "cool.sqlite").as_uri()
    program = f"{code.replace('s3://my-bucket/my/path/cool.sqlite', url)}\nprint(connection.changes())"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout.strip()) == (0, "1"), ended.stderr


def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["serialize"])

    assert ended.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_the_package_runs_as_a_program():
    ended = subprocess.run(
        [sys.executable, "-m", "sqlite_s3vfs", "--help"], cwd=ROOT, capture_output=True, text=True
    )

    assert ended.returncode == 0
    assert "sqlite_s3vfs.connect(" in ended.stdout

"""What ``python -m sqlite_s3vfs`` says where only the library is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sqlite_s3vfs.__main__ import without_commands

ROOT = Path(__file__).parents[2]


def test_the_code_that_the_help_shows_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert without_commands([]) == 0

    lines = capsys.readouterr().out.splitlines()
    start = lines.index("to begin with:") + 1
    code = "\n".join(line.strip() for line in lines[start : start + 4])
    url = (tmp_path / "cool.sqlite").as_uri()
    program = f"{code.replace('s3://my-bucket/my/path/cool.sqlite', url)}\nprint(connection.changes())"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout.strip()) == (0, "1"), ended.stderr

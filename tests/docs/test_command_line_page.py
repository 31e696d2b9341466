"""docs/command-line.md shows what the commands print: all of them are run, in their order, on MinIO.

What differs from run to run (ids, times, sizes after compression) is compared by its form.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.test_documents import DOCS, table
from sqlite_s3vfs.cli.app import COMMANDS, run
from sqlite_s3vfs.cli.exits import Exit

PAGE = DOCS / "command-line.md"

FORMS = [
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"\b[0-9a-f]{16,32}\b", "ID"),
    (r"\b[\w.-]+:\d{1,7}\b", "WRITER"),
    (r"\d+(\.\d+)? (B|KiB|MiB|ms|s)\b", "AMOUNT"),
    (r"\b(ahead of|behind) the store", "BESIDE the store"),
    (r"a key that ends in \w{4}", "a key that ends in ABCD"),
    (r" +", " "),
]


def shown() -> Iterator[tuple[str, str]]:
    """The commands of the page and what it shows for each."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


def formed(text: str) -> str:
    for pattern, form in FORMS:
        text = re.sub(pattern, form, text)
    return text


@pytest.mark.slow
def test_the_page_shows_what_the_commands_print(
    minio_bucket, minio_environment, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for name, value in minio_environment.items():
        monkeypatch.setenv(name, value)
    printed = {}
    for command, expected in shown():
        program, *arguments = shlex.split(command.replace("my-bucket", minio_bucket.name))
        assert program == "sqlite-s3vfs"
        run(arguments)
        captured = capsys.readouterr()
        out = (captured.out + captured.err).replace(minio_bucket.name, "my-bucket")
        printed[command] = (formed(out), formed(expected))

    assert len(printed) > 20
    assert {command: out for command, (out, _) in printed.items()} == {
        command: expected for command, (_, expected) in printed.items()
    }


def test_every_command_is_on_the_page():
    text = PAGE.read_text()

    told = [name for name in COMMANDS if f"`{name}" in text or f"sqlite-s3vfs {name}" in text]
    assert told == list(COMMANDS)


def test_every_exit_code_is_documented():
    rows = table(PAGE, "Exit codes")

    assert {int(code): cells[0] for code, cells in rows.items()} == {
        code.value: code.name.lower() for code in Exit
    }

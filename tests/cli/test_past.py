"""``log``, ``retention``, ``restore``, ``checkpoint``, and versions of the past in other commands."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli.conftest import Command, both

COUNT = "SELECT count(*) AS n FROM t"


@pytest.fixture
def url(folder: str, cli: Command) -> str:
    """Five versions; version n has n - 1 rows."""
    made = f"{folder}/db.sqlite"
    assert cli("query", "--create", made, "CREATE TABLE t (v)").code == 0
    for number in range(4):
        assert cli("query", "--write", made, "INSERT INTO t VALUES (?)", number).code == 0
    return made


@both
def test_the_log(cli: Command, url: str):
    rows = cli("log", "--json", url).json

    assert [row["version"] for row in rows] == [5, 4, 3, 2, 1]
    assert all(row["time"].endswith("Z") and row["pages"] for row in rows)
    text = cli("log", "-n", 2, url).out.splitlines()
    assert text[0].split()[0] == "VERSION"
    assert [line.split()[0] for line in text[1:]] == ["5", "4"]


@both
def test_a_version_of_the_past_can_be_read(cli: Command, url: str, tmp_path: Path):
    assert cli("query", "--json", "--version", 3, url, COUNT).json == [{"n": 2}]
    assert cli("export", "--version", 2, url, tmp_path / "past").code == 0
    with closing(sqlite3.connect(tmp_path / "past")) as plain:
        assert plain.execute(COUNT).fetchone() == (1,)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--version", 9], 3), (["--at", "-30d"], 3), (["--checkpoint", "none"], 3),
        (["--version", 0], 2),
        (["--at", "yesterday"], 2), (["--version", 1, "--at", "-5m"], 2), (["--version", "x"], 2),
    ],
)
def test_a_version_that_is_not_there(cli: Command, url: str, tmp_path: Path, options: list, code: int):
    assert cli("query", *options, url, COUNT).code == code
    assert cli("export", *options, url, tmp_path / "out").code == code
    assert cli("restore", "--yes", *options, url).code == code
    assert cli("checkpoint", "create", *options, url, "name").code == code


def test_the_past_cannot_be_written(cli: Command, url: str):
    ended = cli("query", "--write", "--version", 2, url, COUNT)

    assert (ended.code, "only be read" in ended.err) == (2, True)


@both
def test_restore(cli: Command, url: str):
    denied = cli("restore", url, "--version", 2)
    restored = cli("restore", "--yes", "--json", url, "--version", 2)

    assert (denied.code, "give --yes" in denied.err) == (11, True)
    assert restored.json == {"url": url, "restored": 2, "replaced": 5, "version": 6}
    assert cli("query", "--json", url, COUNT).json == [{"n": 1}]
    assert cli("log", "--json", url).json[0]["restored"] == 2
    assert "restored version 2" in cli("log", url).out
    assert cli("restore", "--yes", url).code == 2


@both
def test_checkpoints(cli: Command, url: str):
    made = cli("checkpoint", "create", url, "before", "--version", 3)
    assert made.out == f"version 3 of {url} is kept as before\n"
    assert cli("checkpoint", "create", "--json", url, "now").json["version"] == 5

    assert cli("checkpoint", "list", "--json", url).json == [
        {"name": "before", "version": 3}, {"name": "now", "version": 5}
    ]
    assert cli("query", "--json", "--checkpoint", "before", url, COUNT).json == [{"n": 2}]
    assert "checkpoint before" in cli("log", url).out
    assert [row["name"] for row in cli("info", "--json", url).json["checkpoints"]] == ["before", "now"]
    assert cli("checkpoint", "create", url, "now").code == 2
    assert cli("checkpoint", "remove", url, "before").code == 11
    assert cli("checkpoint", "remove", "--yes", url, "before").code == 0
    assert cli("checkpoint", "remove", "--yes", url, "before").code == 3
    assert cli("checkpoint", "list", url).out.split() == ["VERSION", "NAME", "5", "now"]


def test_retention(cli: Command, url: str):
    assert cli("retention", url).out == "1 h\n"
    assert cli("retention", url, "2d").out == "2 d\n"
    assert cli("retention", "--json", url, "forever").json["forever"]
    assert cli("retention", url).out == "forever\n"
    assert cli("retention", url, "5m").code == 11
    assert cli("retention", "--yes", url, "5m").out == "5 min\n"
    for wrong in ("1s", "5", "x", "-5m"):
        assert cli("retention", "--yes", url, wrong).code == 2

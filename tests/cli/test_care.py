"""``diff``, ``fork``, ``verify``, ``collect`` and ``rm``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.conftest import Command, both, everywhere
from sqlite_s3vfs import DirectoryObjectStore
from sqlite_s3vfs.cli.output import versions_text
from sqlite_s3vfs.format.keys import ObjectName

COUNT = "SELECT count(*) AS n FROM t"


@pytest.fixture
def url(folder: str, cli: Command) -> str:
    """Three versions; version n has n - 1 rows."""
    made = f"{folder}/db.sqlite"
    assert cli("query", "--create", made, "CREATE TABLE t (v)").code == 0
    for number in range(2):
        assert cli("query", "--write", made, "INSERT INTO t VALUES (?)", number).code == 0
    return made


@both
def test_diff(cli: Command, url: str):
    told = cli("diff", "--json", url, 1).json

    assert (told["older"], told["newer"]) == (1, 3)
    assert told["tables"] == [{"table": "t", "older": 0, "newer": 2}]
    assert told["pages"] == [1, 2]
    assert cli("diff", url, 1, 3).out == (
        "version 1 to version 3: 2 pages changed (1, 2)\n"
        "ROWS BEFORE  AFTER  TABLE\n          0      2  t\n"
    )
    assert "each table has as many" in cli("diff", url, 3, 3).out


def test_versions_to_compare_by_time_and_by_name(cli: Command, url: str):
    cli("checkpoint", "create", url, "start", "--version", 2)

    assert cli("diff", "--json", url, "start").json["older"] == 2
    assert cli("diff", "--json", url, 1, "start").json["newer"] == 2
    assert cli("diff", url, "-30d").code == 3
    assert cli("diff", url, "no-such-name").code == 3
    assert cli("diff", "--json", url, 1, "-0s").json["newer"] == 3


@everywhere
def test_fork(cli: Command, url: str, folder: str):
    child = f"{folder}/child.sqlite"

    forked = cli("fork", "--json", url, child, "--version", 2)

    assert forked.json["forked"] == 2
    assert cli("query", "--json", child, COUNT).json == [{"n": 1}]
    assert cli("query", "--write", child, "DELETE FROM t").code == 0
    assert cli("query", "--json", url, COUNT).json == [{"n": 2}]
    assert cli("info", "--json", url).json["forks"][0]["version"] == 2
    assert cli("info", "--json", child).json["forked_from"][0]["version"] == 2
    assert cli("fork", url, child).code in (2, 6)
    assert len(cli("ls", "--json", folder).json) == 2


def test_a_fork_elsewhere_is_refused(cli: Command, url: str, folder: str):
    ended = cli("fork", url, f"{folder}/other/child.sqlite")

    assert (ended.code, "of its parent" in ended.err) == (2, True)


@both
def test_verify_of_a_whole_database(cli: Command, library: str):
    told = cli("verify", "--json", "--integrity-check", library).json

    assert (told["whole"], told["findings"], told["integrity_check"]) == (True, [], [])
    assert told["bytes_read"] > 0
    assert "are whole" in cli("verify", library).out
    assert cli("verify", "--quick", library).code == 0


def objects(bucket: Path) -> dict[str, Path]:
    files = (path for path in bucket.rglob("*@") if path.is_file())
    return {path.relative_to(bucket).as_posix()[:-1]: path for path in files}


def test_verify_names_what_is_damaged(cli: Command, library: str, tmp_path: Path):
    key, segment = next((k, p) for k, p in objects(tmp_path / "bucket").items() if "/segments/" in k)
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(bytes(data))

    ended = cli("verify", "--json", library)

    assert (ended.code, ended.json["whole"], ended.json["newest_whole"]) == (1, False, None)
    assert {row["key"] for row in ended.json["findings"]} == {key}
    assert cli("verify", library).code == 1
    assert f"{key} block " in cli("verify", library).out


@pytest.mark.parametrize(("versions", "text"), [
    ([3], "version 3"), ([3, 4], "versions 3 to 4"), ([1, 3, 4, 5, 9], "versions 1, 3 to 5, 9"),
])
def test_many_versions_are_told_as_runs(versions: list[int], text: str):
    assert versions_text(versions) == text


def test_verify_names_what_is_missing(cli: Command, library: str, tmp_path: Path):
    key, segment = next((k, p) for k, p in objects(tmp_path / "bucket").items() if "/segments/" in k)
    segment.unlink()

    ended = cli("verify", "--quick", library)

    assert (ended.code, key in ended.out) == (1, True)


def litter(cli: Command, url: str, bucket: Path) -> str:
    """An upload that no commit refers to, of the day before yesterday."""
    store = DirectoryObjectStore(bucket)
    old = next(iter(k for k in objects(bucket) if "/segments/" in k))
    key = f"library.sqlite/segments/{ObjectName(1, b'litter!!')}"
    store.put(key, store.get(old).body)
    path = objects(bucket)[key]
    os.utime(path, (path.stat().st_mtime - 2 * 86_400,) * 2)
    return key


def test_collect(cli: Command, library: str, tmp_path: Path):
    key = litter(cli, library, tmp_path / "bucket")

    dry = cli("collect", "--dry-run", "--json", library).json
    text = cli("collect", "--dry-run", library).out
    denied = cli("collect", library)

    assert [row["key"] for row in dry["garbage"]] == [key]
    assert (dry["deleted"], key in text) == (0, True)
    assert (denied.code, key in objects(tmp_path / "bucket")) == (11, True)
    assert cli("collect", "--yes", library).out.startswith("1 object deleted")
    assert key not in objects(tmp_path / "bucket")
    assert cli("verify", library).code == 0


@pytest.mark.parametrize("grace", ["1s", "x", "-1h"])
def test_a_grace_that_cannot_be(cli: Command, library: str, grace: str):
    assert cli("collect", "--yes", "--grace", grace, library).code == 2


@both
def test_rm(cli: Command, url: str, folder: str):
    denied = cli("rm", url)
    removed = cli("rm", "--yes", "--json", url)

    assert (denied.code, "gone for ever" in denied.err) == (11, True)
    assert removed.json["version"] == 3
    assert cli("info", url).code == 3
    assert cli("ls", "--json", folder).json == []
    assert cli("query", "--create", url, "CREATE TABLE again (v)").code == 0


def test_rm_leaves_a_fork_alone(cli: Command, library: str, folder: str):
    assert cli("fork", library, f"{folder}/child").code == 0

    removed = cli("rm", "--yes", library)

    assert removed.code == 0
    assert "kept for forks" in removed.out
    sql = "SELECT count(*) AS n FROM book"
    assert cli("query", "--json", f"{folder}/child", sql).json == [{"n": 500}]
    assert cli("verify", f"{folder}/child").code == 0


def test_what_was_kept_for_a_fork_is_collected_when_the_fork_is_gone(
    cli: Command, library: str, folder: str, tmp_path: Path
):
    assert cli("import", f"{folder}/parent", tmp_path / "plain.sqlite").code == 0
    assert cli("fork", f"{folder}/parent", f"{folder}/child").code == 0
    assert cli("rm", "--yes", f"{folder}/parent").code == 0
    assert cli("rm", "--yes", f"{folder}/child").code == 0

    collected = cli("collect", "--yes", "--json", f"{folder}/parent")

    assert collected.code == 0
    assert cli("rm", "--yes", f"{folder}/parent").code in (0, 3)
    assert cli("rm", "--yes", f"{folder}/parent").code == 3


def test_damage_is_told_once_and_without_a_traceback(program: Command, library: str, tmp_path: Path):
    """What is read ahead fails first, and the library logs that."""
    for segment in (tmp_path / "bucket" / "library.sqlite" / "segments").iterdir():
        segment.unlink()

    told = program("query", library, "SELECT sum(length(body)) FROM book")
    as_json = program("query", "--json", library, "SELECT sum(length(body)) FROM book")

    assert (told.code, as_json.code) == (7, 7)
    assert "Traceback" not in told.err
    lines = told.err.splitlines()
    assert any(line.startswith("sqlite-s3vfs: an object of the database is missing") for line in lines)
    assert json.loads(as_json.err)["error"] == "CorruptError"


def test_the_question_counts_what_is_lost(cli: Command, url: str, folder: str):
    assert cli("fork", url, f"{folder}/child").code == 0
    for name in ("a", "b"):
        assert cli("checkpoint", "create", url, name).code == 0

    asked = cli("rm", url)

    assert asked.code == 11
    assert "version 3, 2 checkpoints, 1 fork) would be gone for ever" in asked.err


def test_a_missing_database_is_called_so_by_all(cli: Command, folder: str, tmp_path: Path):
    for arguments in (["info"], ["query", "SELECT 1"], ["log"], ["verify"], ["export", tmp_path / "x"]):
        command, *others = arguments
        ended = cli(command, f"{folder}/missing", *others)
        assert ended.code == 3
        assert "there is no such database" in ended.err


def test_a_local_file_that_cannot_be_written_is_named(cli: Command, url: str, tmp_path: Path):
    ended = cli("export", url, tmp_path / "no-such-directory" / "file")

    assert ended.code == 12
    assert ended.err.startswith("sqlite-s3vfs: no such file or directory. file=")

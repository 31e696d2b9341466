"""The program as a whole: help, versions, exit codes, options, what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

import sqlite_s3vfs
from cli.conftest import ROOT, Command, minio_variables
from sqlite_s3vfs import errors
from sqlite_s3vfs.__main__ import without_commands
from sqlite_s3vfs.cli.app import COMMANDS, group, run
from sqlite_s3vfs.cli.exits import Exit, exit_of
from tests import conftest as settings

NAMED = {
    "ls": ["URL"],
    "info": ["URL"],
    "query": ["URL", "SELECT 1"],
    "export": ["URL", "FILE"],
    "show": ["URL"],
    "shell": ["URL"],
    "log": ["URL"],
    "retention": ["URL"],
    "restore": ["URL", "--version=1"],
    "diff": ["URL", "1"],
    "fork": ["URL", "CHILD"],
    "verify": ["URL"],
    "upgrade": ["URL", "CHILD"],
    "collect": ["URL", "--yes"],
    "rm": ["URL"],
    "checkpoint list": ["URL"],
    "checkpoint create": ["URL", "NAME"],
    "checkpoint remove": ["URL", "NAME"],
}
WAYS = ["ls", "info", "query"]
"""Of these one for each way to the store."""
"""Commands that read a database, with their arguments."""


def arguments_of(name: str, url: str, file: Path) -> list[str]:
    given = {"URL": url, "FILE": str(file), "CHILD": f"{url or 'no'}-child"}
    return [*name.split(), *(given.get(argument, argument) for argument in NAMED[name])]


def test_the_version_names_what_a_report_needs(cli: Command):
    ended = cli("--version")

    assert ended.code == 0
    assert ended.out.startswith(f"sqlite-s3vfs {sqlite_s3vfs.__version__} ")
    assert f"SQLite {apsw.sqlite_lib_version()}" in ended.out
    assert re.search(r"APSW [\d.]+, boto3 [\d.]+, Python [\d.]+", ended.out)


def test_the_help_names_every_command(cli: Command):
    for arguments in (["--help"], ["-h"]):
        ended = cli(*arguments)
        assert ended.code == 0
        commands = ended.out.partition("Commands:")[2]
        assert re.findall(r"^  (\w+)  ", commands, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(cli: Command, name: str):
    within = group.get_command(None, name)
    for inner in getattr(within, "commands", {None: within}):
        ended = cli(name, *filter(None, [inner]), "--help")
        assert ended.code == 0
        assert "--json" in ended.out


WRONG = [["nonsense"], ["ls"], ["ls", "a", "b"], ["info", "--nonsense", "x"]]


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_arguments(cli: Command, arguments: list[str]):
    ended = cli(*arguments)
    as_json = cli(*arguments, "--json")

    assert (ended.code, ended.out, as_json.code) == (2, "", 2)
    assert "Usage: sqlite-s3vfs" in ended.err
    assert '"exit": 2' in as_json.err


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("url", ["http://host/db", "s3://", "cool.sqlite", "file://host/dir/db", ""])
def test_a_wrong_url(cli: Command, tmp_path: Path, name: str, url: str):
    ended = cli(*arguments_of(name, url, tmp_path / "out"))

    assert ended.code == 2
    assert f"url={url!r}" in ended.err


@pytest.mark.parametrize("rest", ["#2024", "?mode=ro"])
@pytest.mark.parametrize("name", NAMED)
def test_no_part_of_a_url_is_passed_over(
    cli: Command, library: str, tmp_path: Path, name: str, rest: str
):
    """It would be done to the database whose name ends before it."""
    ended = cli(*arguments_of(name, f"{library}{rest}", tmp_path / "out"), *["--yes"] * (name == "rm"))

    assert (ended.code, ended.out) == (2, "")
    assert "%23" in ended.err
    assert cli("info", library).code == 0


@pytest.mark.parametrize("name", sorted(NAMED.keys() - {"ls"}))
def test_a_missing_database(cli: Command, folder: str, tmp_path: Path, name: str):
    ended = cli(*arguments_of(name, f"{folder}/missing.sqlite", tmp_path / "out"))

    assert (ended.code, ended.out) == (3, "")
    assert "missing.sqlite" in ended.err


@pytest.mark.parametrize("name", WAYS)
def test_a_missing_bucket(cli: Command, minio, tmp_path: Path, monkeypatch, name: str):
    for variable, value in minio_variables().items():
        monkeypatch.setenv(variable, value)

    ended = cli(*arguments_of(name, "s3://there-is-no-such-bucket/db", tmp_path / "out"))

    assert ended.code == 3
    assert "there is no such bucket" in ended.err


@pytest.mark.parametrize("name", WAYS)
def test_no_credentials(cli: Command, minio_bucket, tmp_path: Path, name: str):
    url = f"s3://{minio_bucket.name}/db"

    ended = cli("--endpoint-url", settings.ENDPOINT, *arguments_of(name, url, tmp_path / "out"))

    assert ended.code == 4
    assert "with these credentials" in ended.err


@pytest.mark.parametrize("name", WAYS)
def test_no_rights(cli: Command, bucket_allowing, tmp_path: Path, monkeypatch, name: str):
    bucket = bucket_allowing("s3:GetBucketLocation")
    keys = bucket.meta.client._request_signer._credentials
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys.token)
    url = f"s3://{bucket.name}/db"

    ended = cli(*arguments_of(name, url, tmp_path / "out"), "--endpoint-url", settings.ENDPOINT)

    assert ended.code == 4
    assert "grant these credentials the right" in ended.err


def test_nobody_answers(cli: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    ended = cli("info", "s3://bucket/db", "--endpoint-url", "http://localhost:1", "--json")

    assert ended.code == 5
    assert '"error": "StoreUnavailableError"' in ended.err


def test_options_before_and_after_the_command_and_a_profile(
    cli: Command, minio_bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """A profile that is named goes before credentials in variables, as with the AWS tools."""
    keys = f"aws_access_key_id = {settings.ACCESS_KEY}\naws_secret_access_key = {settings.SECRET_KEY}\n"
    (tmp_path / "credentials").write_text(f"[mine]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    options = ["--profile", "mine", "--endpoint-url", settings.ENDPOINT, "--region", "us-east-1"]
    url = f"s3://{minio_bucket.name}/nothing-here"      # others leave damaged databases

    assert cli(*options, "ls", url).code == 0
    assert cli("ls", url, *options).code == 0
    assert cli(*options[:2], "ls", url, *options[2:]).code == 0
    assert cli("ls", url, *options[2:]).code == 4
    assert cli("--profile", "other", "ls", url, *options[2:]).code == 2
    assert cli("--profile", "other", "ls", url, *options).code == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidArgumentError(), Exit.USAGE),
        (errors.SnapshotTooOldError(), Exit.MISSING),
        (errors.ReadOnlyError(), Exit.DENIED),
        (errors.StoreUnavailableError(), Exit.UNAVAILABLE),
        (errors.CommitUnknownError(), Exit.UNKNOWN),
        (errors.PartialCommitError(), Exit.UNKNOWN),
        (errors.WriteLockHeldError(), Exit.CONFLICT),
        (errors.UnsupportedFormatError(), Exit.CORRUPT),
        (errors.UnsafeStoreError(), Exit.UNSAFE),
        (apsw.ConstraintError(), Exit.SQL),
        (IsADirectoryError(), Exit.LOCAL_FILE),
        (ZeroDivisionError(), Exit.BUG),
    ],
)
def test_the_exit_code_of_an_error(error: Exception, code: Exit):
    assert exit_of(error) is code


def test_every_error_of_the_library_has_an_exit_code():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = [kind for kind in kinds if issubclass(kind, errors.S3VFSError)]

    assert [kind for kind in ours if exit_of(kind()) is Exit.BUG] == [errors.S3VFSError]


def test_a_bug_is_told_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sqlite_s3vfs.cli.listing._databases", lambda *_: 1 // 0)

    with pytest.raises(SystemExit) as ended:
        run(["ls", "memory:"])

    assert ended.value.code == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(cli: Command, shell: str):
    ended = cli("completion", shell)

    assert (ended.code, ended.err) == (0, "")
    assert f"_SQLITE_S3VFS_COMPLETE={shell}_complete" in ended.out
    assert cli("completion", "--json", shell).json == {"shell": shell, "script": ended.out[:-1]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "offered"),
    [("sqlite-s3vfs in", ["info"]), ("sqlite-s3vfs query --fo", ["--format"]),
     ("sqlite-s3vfs query --format j", ["json"])],
)
def test_a_shell_completes_commands_and_options(words: str, offered: list[str]):
    variables = {
        "_SQLITE_S3VFS_COMPLETE": "bash_complete", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "sqlite_s3vfs"], cwd=ROOT, env={**os.environ, **variables},
        capture_output=True, text=True,
    )

    assert [line.partition(",")[2] for line in ended.stdout.splitlines()] == offered


@pytest.mark.slow
@pytest.mark.parametrize(("shell", "current"), [("zsh", "1"), ("fish", "chec")])
def test_the_other_shells_complete_as_well(shell: str, current: str):
    """What their scripts ask the program; fish tells the word itself, zsh its number."""
    variables = {
        "_SQLITE_S3VFS_COMPLETE": f"{shell}_complete", "COMP_WORDS": "sqlite-s3vfs chec",
        "COMP_CWORD": current,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "sqlite_s3vfs"], cwd=ROOT, env={**os.environ, **variables},
        capture_output=True, text=True,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "checkpoint" in ended.stdout
    assert "verify" not in ended.stdout


TAKES = {
    "bash": (["bash", "--norc", "-c"], "complete -p sqlite-s3vfs"),
    "zsh": (["zsh", "-f", "-c"], "print -r -- $_comps[sqlite-s3vfs]"),
    "fish": (["fish", "--no-config", "-c"], "complete -C 'sqlite-s3vfs checkp'"),
}
"""How a shell without settings runs a script, and what shows that it completes from then on."""


@pytest.mark.slow
@pytest.mark.parametrize(("shell", "shows"), [
    ("bash", "_sqlite_s3vfs_completion"), ("zsh", "_sqlite_s3vfs_completion"), ("fish", "checkpoint\t"),
])
def test_a_shell_takes_the_script(cli: Command, tmp_path: Path, shell: str, shows: str):
    """As the page has it; zsh and fish where they are installed."""
    if shell != "bash" and shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command, question = TAKES[shell]
    program = tmp_path / "sqlite-s3vfs"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sqlite_s3vfs "$@"\n')
    program.chmod(0o755)
    before = f"autoload -Uz compinit; compinit -u -d {tmp_path}/dump\n" if shell == "zsh" else ""
    script = cli("completion", shell).out
    ended = subprocess.run(
        [*command, f"{before}{script}\n{question}"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert shows in ended.stdout


def test_all_commands_are_loaded_by_name():
    for name in COMMANDS:
        assert group.get_command(None, name).name == name


class TestWithoutTheExtra:
    """Where click is not installed."""

    def test_the_version(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as ended:
            without_commands(["--version"])

        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"sqlite-s3vfs {sqlite_s3vfs.__version__} ")

    @pytest.mark.parametrize("arguments", [["ls", "s3://bucket"], ["query", "--json", "x", "SELECT 1"]])
    def test_a_command_says_what_to_install(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ):
        assert without_commands(arguments) == 2
        assert "pip install 'sqlite-s3vfs[cli]'" in capsys.readouterr().err

    def test_the_program_needs_no_click(self, tmp_path: Path):
        """A process in which click cannot be found."""
        hide = (
            "import importlib.util, runpy, sys; find = importlib.util.find_spec; "
            "importlib.util.find_spec = lambda name, *a: None if name == 'click' else find(name, *a); "
            "sys.modules['click'] = None; runpy.run_module('sqlite_s3vfs', run_name='__main__')"
        )
        for arguments, code, said in ((["--help"], 0, "[cli]"), (["ls", "x"], 2, "[cli]")):
            ended = subprocess.run(
                [sys.executable, "-c", hide, *arguments], cwd=ROOT, capture_output=True, text=True
            )
            assert (ended.returncode, said in ended.stdout + ended.stderr) == (code, True)

"""README and docs do what they say: their commands and code run, their links lead somewhere.

The Python blocks of a page are run in their order as one program, in a process of its own and in an
empty directory. Where one speaks of the bucket ``my-bucket``, that is a bucket of the test server.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sqlite_s3vfs
from sqlite_s3vfs.store import s3
from sqlite_s3vfs.vfs.pragmas import ANSWERS
from sqlite_s3vfs.vfs.result_codes import CODES

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, language: str) -> list[str]:
    return [code for tag, code in FENCE.findall(page.read_text()) if tag == language]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def section(page: Path, title: str) -> str:
    """What follows a heading of the second level, up to the next one."""
    pattern = rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)"
    found = re.search(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{name_of(page)} has no section {title}"
    return found[1]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest):
    code = "\n".join(blocks(page, "python"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if "my-bucket" in code:
        bucket: Bucket = request.getfixturevalue("minio_bucket")
        environment |= request.getfixturevalue("minio_environment")
        code = code.replace("my-bucket", bucket.name)

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("title", ["Quickstart", "Tests"])
def test_a_section_of_the_readme_begins_with_one_command(title: str):
    first, command, *_ = section(README, title).strip().split("\n")

    assert first == "```sh"
    assert re.fullmatch(r"(sh|bash) \S+\.sh", command)
    assert section(README, title).strip().startswith(f"{first}\n{command}\n```\n")
    assert (ROOT / command.split()[1]).exists()


@pytest.mark.parametrize("command", "\n".join(blocks(README, "sh")).split("\n"))
def test_the_files_in_a_command_of_the_readme_exist(command: str):
    for file in re.findall(r"\S+\.sh\b", command):
        assert (ROOT / file).exists()


@pytest.fixture
def fresh_checkout(tmp_path: Path) -> Path:
    """The files of this checkout, and nothing that was installed or made since."""
    made = shutil.ignore_patterns(".git", ".venv", "*_cache", "__pycache__", ".hypothesis", "*.egg-info")
    return Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=made))


@pytest.fixture
def fresh_machine(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home folder, and no more than how to reach a package index."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "GO"))}
    return {**kept, "PATH": os.environ["PATH"], "HOME": str(home)}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_quickstart_works_on_a_fresh_machine(fresh_checkout: Path, fresh_machine: dict[str, str]):
    (command,) = re.findall(r"```sh\n(.*)\n```", section(README, "Quickstart"))

    ended = subprocess.run(
        ["sh", "-c", command], cwd=fresh_checkout, env=fresh_machine, capture_output=True, text=True
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "integrity_check: ok" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", ["examples/quickstart.sh", "tests/run.sh"])
def test_without_a_python_that_is_new_enough_a_command_says_so(script: str, tmp_path: Path):
    """Only an old Python is on PATH: a program that fails as that one would."""
    for name in ["dirname", "cat", "cksum", "bash"]:
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)

    command = [shutil.which("bash") or "bash", str(ROOT / script)]
    sh = tmp_path / "sh"
    sh.symlink_to(shutil.which("sh") or "sh")
    ended = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)

    assert ended.returncode == 1
    assert "needs Python 3.11 or newer" in ended.stderr
    assert "Python 3.9.2" in ended.stderr


def links(page: Path) -> Iterator[tuple[Path, str]]:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield (page.parent / file).resolve() if file else page, anchor


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


def test_every_document_can_be_reached_from_the_index():
    index = DOCS / "index.md"
    reached, waiting = set(), [index]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [target for target, _ in links(page)]

    assert set(DOCS.rglob("*.md")) <= reached


def table(page: Path, title: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading: first cell to the others, without back quotes."""
    lines = section(page, title).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("|")) + 2
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    cells = [[cell.strip().replace("`", "") for cell in row.strip("|").split("|")] for row in rows]
    return {first: others for first, *others in cells}


def test_every_setting_is_documented_with_its_default():
    documented = table(DOCS / "settings.md", "Settings")

    fields = dataclasses.fields(sqlite_s3vfs.Settings)
    assert list(documented) == [field.name for field in fields]
    for field in fields:
        assert documented[field.name][0] == (str(field.default) or "empty")


def test_every_pragma_is_documented():
    assert set(table(DOCS / "settings.md", "Pragmas")) == set(ANSWERS)


def test_every_extra_argument_is_documented():
    assert set(table(DOCS / "settings.md", "Extra arguments")) == s3._FOR_PUTS | s3._FOR_ALL


def test_the_layers_of_the_architecture_are_those_that_the_linter_holds():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers")

    (picture, *_) = FENCE.findall(section(DOCS / "architecture.md", "Layers"))
    drawn = [re.split(r"\s{2,}", line)[0] for line in picture[1].splitlines()]

    assert drawn == contract["layers"]


def test_every_lock_is_documented():
    """Names of attributes and of module variables that hold a lock, each with its module."""
    made = re.compile(r"(\w+) = (?:threading\.R?Lock|_thread\.allocate_lock)\(\)")
    found = {
        (name, path.relative_to(ROOT / "sqlite_s3vfs").as_posix())
        for path in (ROOT / "sqlite_s3vfs").rglob("*.py")
        if "testing" not in path.parts
        for name in made.findall(path.read_text())
    }

    rows = table(DOCS / "architecture.md", "Locks")

    assert {(name, path) for name, cells in rows.items() for path in cells[0].split(", ")} == found


def test_every_folder_of_tests_is_documented():
    documented = set(table(DOCS / "contributing.md", "Tests"))

    assert documented == {f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/test_*.py")} | {
        f"tests/{path.parent.parent.name}" for path in ROOT.glob("tests/*/*/test_*.py")
    }


def test_every_error_is_documented():
    """With its own section, and its row in the table of SQLite's result codes."""
    errors = {kind.__name__ for kind in CODES}
    headings = set(re.findall(r"^### `?(\w+Error)`?", (DOCS / "errors.md").read_text(), re.MULTILINE))

    assert headings == errors - {"S3VFSError"}
    assert set(table(DOCS / "errors.md", "What SQLite and APSW make of them")) == errors - {"S3VFSError"}


def test_the_readme_can_be_read_in_three_minutes():
    """At 230 words a minute, code and tables included."""
    assert len(README.read_text().split()) < 3 * 230 * 1.25


def test_the_changelog_tells_of_this_release():
    release = sqlite_s3vfs.__version__.partition(".dev")[0]

    assert f"## {release}" in (DOCS / "changelog.md").read_text()

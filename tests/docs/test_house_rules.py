"""The rules that docs/contributing.md states, counted: sizes, public names, words, layers.

Lengths are lines of the file, docstrings and comments included.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import sqlite_s3vfs

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sqlite_s3vfs"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEXTS = {".py", ".md", ".toml", ".sh", ".txt", ".cfg", ".yml", ".yaml", ".json", ""}
NOT_OURS = {".git", ".venv", ".hypothesis", "__pycache__"}

MODULE_MEDIAN = range(60, 141)
MODULE_MAX = 400
FUNCTION_95TH = 30
FUNCTION_MAX = 70
METHODS_MAX = 15
PUBLIC_NAMES_MAX = 25
TEST_LINES_PER_SOURCE_LINE = 1.5

Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path.relative_to(ROOT), ast.parse(path.read_text())


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of the package of these kinds, with where it is."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield f"{path}:{getattr(node, 'lineno', 1)}", node


def line_count(path: Path) -> int:
    return len(path.read_text().splitlines())


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the checkout, with its place in it."""
    for directory, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.endswith("_cache")]
        for name in set(names) - NOT_OURS:          # in a worktree ".git" is a file
            path = Path(directory, name)
            if path.suffix in TEXTS and name not in NOT_OURS:
                yield path.relative_to(ROOT), path.read_text()


def test_modules_are_small():
    lines = {str(path.relative_to(ROOT)): line_count(path) for path in SOURCES}

    assert {name: count for name, count in lines.items() if count > MODULE_MAX} == {}
    assert round(statistics.median(lines.values())) in MODULE_MEDIAN


def test_functions_are_short():
    lengths = {
        f"{where} {node.name}": node.end_lineno - node.lineno + 1
        for where, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    }

    assert {name: count for name, count in lengths.items() if count > FUNCTION_MAX} == {}
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= FUNCTION_95TH


def test_classes_do_one_thing():
    methods = {
        f"{where} {node.name}": sum(isinstance(child, Function) for child in node.body)
        for where, node in nodes(ast.ClassDef)
    }

    assert {name: count for name, count in methods.items() if count > METHODS_MAX} == {}


def catches_everything(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def hands_on(handler: ast.ExceptHandler) -> bool:
    """Whether what was caught is raised, or given to somebody."""
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Name) and node.id == handler.name)
        for statement in handler.body
        for node in ast.walk(statement)
    )


def test_nothing_swallows_every_error():
    swallowing = [
        where
        for where, node in nodes(ast.ExceptHandler)
        if catches_everything(node) and not hands_on(node)
    ]
    suppressing = [
        where
        for where, node in nodes(ast.Call)
        if ast.unparse(node.func).endswith("suppress")
        and {"Exception", "BaseException"} & {ast.unparse(argument) for argument in node.args}
    ]

    assert swallowing + suppressing == []


@pytest.mark.parametrize(
    ("handler", "swallows"),
    [
        ("except Exception: pass", True),
        ("except: log()", True),
        ("except (ValueError, BaseException) as error: return None", True),
        ("except Exception: raise", False),
        ("except BaseException as error: future.set_exception(error)", False),
        ("except ValueError: pass", False),
    ],
)
def test_a_swallowing_handler_is_recognised(handler: str, swallows: bool):
    tree = ast.parse(f"def f():\n try: g()\n {handler}")
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))

    assert (catches_everything(found) and not hands_on(found)) == swallows


def test_there_are_more_lines_of_tests_than_of_code():
    """The testing kit counts among the tests, which are made of it."""
    kit = [path for path in SOURCES if PACKAGE / "testing" in path.parents]
    tests = sum(map(line_count, TESTS + kit))
    sources = sum(map(line_count, SOURCES)) - sum(map(line_count, kit))

    assert tests / sources >= TEST_LINES_PER_SOURCE_LINE


def test_every_module_says_what_it_is_about():
    silent = [str(path) for path, tree in trees() if not ast.get_docstring(tree)]

    assert silent == []


def test_the_public_names_are_few_sorted_and_explained():
    names = sqlite_s3vfs.__all__

    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert len(names) <= PUBLIC_NAMES_MAX
    for name in names:
        explained = inspect.getdoc(getattr(sqlite_s3vfs, name))
        assert explained, name


def test_the_package_has_no_other_names_than_its_public_ones_and_its_modules():
    modules = {path.stem for path in PACKAGE.iterdir()}
    names = {name for name in vars(sqlite_s3vfs) if not name.startswith("_")}

    assert names - modules - set(sqlite_s3vfs.__all__) <= {"annotations"}


def test_every_public_error_is_public():
    errors = {
        name
        for name, value in vars(sqlite_s3vfs.errors).items()
        if inspect.isclass(value) and issubclass(value, sqlite_s3vfs.S3VFSError)
    }

    assert errors <= set(sqlite_s3vfs.__all__)


@pytest.mark.slow
def test_imports_point_down_the_layers():
    """import-linter, as pyproject.toml sets it up; a module without a layer is an error, too."""
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"

    linted = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["boto3", "mypy_boto3_s3"])
def test_importing_the_package_does_not_import(name: str):
    """boto3 takes half a second to import; whoever hands over a bucket has done so already."""
    asked = f"import sys, sqlite_s3vfs; sys.exit({name!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-c", asked], cwd=ROOT).returncode == 0


TOP_LEVEL = {
    *("pyproject.toml", "README.md", "LICENSE", "start-minio.sh", "stop-minio.sh"),
    *("sqlite_s3vfs", "tests", "examples", "docs", "benchmarks"),
}
BUILT = {"build", "dist", "sqlite_s3vfs.egg-info", "__pycache__"}


def test_the_top_level_holds_what_one_expects_there():
    """Beside files whose names begin with a dot, and what builds leave."""
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}

    assert found - BUILT == TOP_LEVEL


WORKPLACE = re.compile(
    r"/work/|/tmp/(?:venv|gobin|findings|brief)|\bissues?[ #]+\d|\bcolleagues?\b|\bthe lead\b"
    r"|\bthe brief\b|\bclaude\b|\banthropic\b|\bchatgpt\b",
    re.IGNORECASE,
)


def test_the_repository_says_nothing_of_where_it_was_written():
    own = Path(__file__).relative_to(ROOT)

    found = [
        f"{path}: {match[0]}"
        for path, text in texts()
        if path != own
        for match in WORKPLACE.finditer(text)
    ]

    assert found == []


def test_the_repository_names_no_private_package_index():
    """Whatever mirrors this machine installs from must not get into the files."""
    settings = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "GOPROXY"]
    urls = re.split(r"[\s,|]+", " ".join(os.environ.get(name, "") for name in settings))
    hosts = {urlsplit(url).hostname for url in urls} - {None, "pypi.org", "proxy.golang.org"}

    found = [f"{path}: {host}" for path, text in texts() for host in hosts if host in text]

    assert found == []

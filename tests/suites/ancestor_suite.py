"""The test suite of sqlite-s3vfs 0.0.36, unchanged, with this library and with that release.

    python tests/suites/ancestor_suite.py PATH/test_sqlite_s3vfs.py [--slow]

It needs the MinIO that ``./start-minio.sh`` starts. Both run with the same interpreter, apsw, boto3 and
server; the tests are dealt into groups, and each group is run with one, then with the other, so that a
busy machine slows both down. ``--slow`` runs the one test of minutes, which crosses SQLite's lock byte
page, instead of the others.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parents[1]
GROUPS = 6
SLOW = "test_byte_lock_page"
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q")


@dataclass(frozen=True, slots=True)
class Figures:
    """What running tests came to.

    ``seconds`` are those of the tests alone, ``wall`` and ``cpu`` those of the processes, with their
    start and their end.
    """

    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.passed + other.passed,
            self.failed + other.failed,
            self.seconds + other.seconds,
            self.wall + other.wall,
            self.cpu + other.cpu,
        )


@dataclass(frozen=True, slots=True)
class Library:
    """One of the two: ``folder`` is where Python finds its ``sqlite_s3vfs``."""

    name: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder)}

    def check(self, working: Path) -> None:
        """Raise where another ``sqlite_s3vfs`` would be imported."""
        asked = [sys.executable, "-c", "import sqlite_s3vfs; print(sqlite_s3vfs.__file__)"]
        found = subprocess.run(
            asked, cwd=working, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        if not Path(found).resolve().is_relative_to(self.folder.resolve()):
            raise RuntimeError(f"the wrong library is imported. wanted={self.folder} found={found}")


@contextmanager
def both_libraries(working: Path) -> Iterator[tuple[Library, Library]]:
    """This library, and sqlite-s3vfs 0.0.36 as installed from the package index."""
    sys.path.insert(0, str(TESTS))
    from ancestor.environment import ancestor_python  # not at hand before

    asked = [ancestor_python(), "-P", "-E", "-c", "import sqlite_s3vfs; print(sqlite_s3vfs.__file__)"]
    module = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(module, folder)
        libraries = Library("ours", TESTS.parent), Library("ancestor", Path(folder))
        for library in libraries:
            library.check(working)
        yield libraries


def collect(suite: Path, library: Library, *, slow: bool) -> list[str]:
    """The tests of the suite: the slow one, or all others."""
    listed = subprocess.run(
        [*PYTEST, "--collect-only", str(suite)],
        cwd=suite.parent, env=library.environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    tests = [line for line in listed.stdout.splitlines() if "::" in line]
    return [test for test in tests if (SLOW in test) == slow]


def run_group(suite: Path, library: Library, tests: Sequence[str]) -> Figures:
    """Run tests with a library; what pytest says goes to the terminal where tests fail."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        began, cpu = time.monotonic(), _children_cpu()
        ended = subprocess.run(
            [*PYTEST, f"--junitxml={report}", *tests],
            cwd=suite.parent, env=library.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall = time.monotonic() - began
        if ended.returncode:
            print(ended.stdout[-10_000:], ended.stderr[-2000:])
        (counts,) = ElementTree.parse(report).getroot().iter("testsuite")
    failed = int(counts.attrib["failures"]) + int(counts.attrib["errors"])
    return Figures(
        passed=int(counts.attrib["tests"]) - failed - int(counts.attrib["skipped"]),
        failed=failed,
        seconds=sum(float(case.attrib["time"]) for case in counts.iter("testcase")),
        wall=wall,
        cpu=_children_cpu() - cpu,
    )


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(suite: Path, *, slow: bool, groups: int = GROUPS) -> tuple[Figures, Figures]:
    """The figures of this library and of the ancestor."""
    with both_libraries(suite.parent) as libraries:
        tests = collect(suite, libraries[0], slow=slow)
        figures = {library.name: Figures() for library in libraries}
        for index in range(min(groups, len(tests))):
            order = libraries if index % 2 == 0 else libraries[::-1]
            for library in order:
                found = run_group(suite, library, tests[index::groups])
                print(f"group {index + 1} {library.name}: {found}", flush=True)
                figures[library.name] += found
    return figures["ours"], figures["ancestor"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the suite of sqlite-s3vfs 0.0.36 with both.")
    parser.add_argument("suite", type=Path, help="its test_sqlite_s3vfs.py")
    parser.add_argument("--slow", action="store_true", help="the one test of minutes")
    arguments = parser.parse_args()
    ours, ancestor = compare(arguments.suite.resolve(), slow=arguments.slow)
    print(f"ours:     {ours}\nancestor: {ancestor}")
    tests, processes = ancestor.seconds / ours.seconds, ancestor.wall / ours.wall
    print(f"ours is {tests:.2f} times as fast, {processes:.2f} with start and end of the processes")
    return int(bool(ours.failed))


if __name__ == "__main__":
    sys.exit(main())

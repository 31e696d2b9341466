"""APSW's own tests, unchanged, with an S3VFS as the default VFS of the process.

Each test runs in a process and a folder of its own, with an empty store. What cannot pass is listed,
with its reason and with words of its failure, in ``apsw_failures.toml``; anything else is a difference.

    python tests/suites/apsw_suite.py [--store memory|directory|inheriting|none] [TEST ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CHILD = HERE / "apsw_child.py"
TABLE = HERE / "apsw_failures.toml"
STORES = ("memory", "directory", "inheriting", "none")
SECONDS_MAX = 600
AT_ONCE = 2
ENVIRONMENT = {
    "PYTHONPATH": str(HERE.parents[1]),
    "APSW_HEAVY_DURATION": "2",         # seconds; a switch of the suite's, for a test that spins
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one test. ``requests``: how many the store was sent."""

    test: str
    passed: bool
    words: str
    requests: int
    seconds: float

    def __str__(self) -> str:
        state = "passed" if self.passed else "FAILED"
        return f"{state} {self.test} requests={self.requests} seconds={self.seconds:.1f}"


@dataclass(frozen=True, slots=True)
class Expected:
    """Why a test cannot pass, and words that its failure contains."""

    reason: str
    words: str


def expected_failures(path: Path = TABLE) -> dict[str, Expected]:
    """The table of tests that cannot pass."""
    return {test: Expected(**row) for test, row in tomllib.loads(path.read_text()).items()}


def differences(verdicts: Iterable[Verdict], expected: Mapping[str, Expected]) -> list[str]:
    """What is not as the table has it, one line for each test."""
    found = []
    for verdict in verdicts:
        known = expected.get(verdict.test)
        if verdict.passed and known:
            found.append(f"{verdict.test} passes: take it out of the table")
        if not verdict.passed and not known:
            found.append(f"{verdict.test} fails:\n{verdict.words}")
        if not verdict.passed and known and known.words not in verdict.words:
            found.append(f"{verdict.test} fails otherwise than known:\n{verdict.words}")
    return found


def names_of_tests() -> list[str]:
    """The tests of the APSW that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        listed = _child(folder, "none", folder, "--list")
    listed.check_returncode()
    names: list[str] = json.loads(listed.stdout)
    return names


def run_tests(store: str, tests: Iterable[str]) -> Iterator[Verdict]:
    """Run tests over a store, a few at once; the verdicts in order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda test: run_test(store, test), tests)


def run_test(store: str, test: str) -> Verdict:
    """Run one test in a process and a folder of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        working = Path(folder, "work")
        working.mkdir()
        try:
            ended = _child(str(working), store, f"{folder}/store", test)
        except subprocess.TimeoutExpired:
            return Verdict(test, False, f"did not end in {SECONDS_MAX} s", 0, SECONDS_MAX)
    seconds = time.monotonic() - began
    if ended.returncode:
        return Verdict(test, False, f"exit status {ended.returncode}: {ended.stderr}", 0, seconds)
    verdict = json.loads(ended.stdout.splitlines()[-1])
    return Verdict(test, **verdict, seconds=seconds)


def _child(working: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHILD), *arguments],
        cwd=working,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Run APSW's own tests with an S3VFS as default VFS.")
    parser.add_argument("--store", default="memory", choices=STORES)
    parser.add_argument("tests", nargs="*", help="such as APSW.testWAL; all where none is given")
    arguments = parser.parse_args()
    verdicts = []
    for verdict in run_tests(arguments.store, arguments.tests or names_of_tests()):
        verdicts.append(verdict)
        print(verdict, flush=True)
    of_ours = arguments.store in ("memory", "directory")
    found = differences(verdicts, expected_failures() if of_ours else {})
    print(*found, sep="\n\n")
    passed = sum(verdict.passed for verdict in verdicts)
    print(f"{passed} of {len(verdicts)} passed; {len(found)} not as expected")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""The suite of sqlite-s3vfs 0.0.36 with this library: it passes, and sooner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suites.ancestor_suite import compare
from suites.conftest import Report

SUITE = os.environ.get("S3VFS_ANCESTOR_SUITE", "")
HOW_TO_GET_IT = (
    "S3VFS_ANCESTOR_SUITE names no file: check https://github.com/uktrade/sqlite-s3vfs out and set it to"
    " its test_sqlite_s3vfs.py (tests/suites/README.md)"
)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("minio")
@pytest.mark.skipif(not SUITE, reason=HOW_TO_GET_IT)
@pytest.mark.parametrize("slow", [False, True], ids=["all-but-one", "the-slow-one"])
def test_the_suite_of_the_ancestor_passes_and_sooner(slow: bool, report: Report):
    ours, ancestor = compare(Path(SUITE).resolve(), slow=slow)

    report(f"ours: {ours}\nancestor: {ancestor}")
    assert (ours.failed, ancestor.failed) == (0, 0)
    assert ours.passed == ancestor.passed > 0
    assert ours.seconds < ancestor.seconds
    assert ours.wall < ancestor.wall

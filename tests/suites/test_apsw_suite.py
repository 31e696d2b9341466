"""APSW's own tests with an S3VFS as the default VFS, and the driver that runs them."""

from __future__ import annotations

import pytest

from suites.apsw_suite import (
    Expected,
    Verdict,
    differences,
    expected_failures,
    names_of_tests,
    run_test,
    run_tests,
)
from suites.conftest import Report

KNOWN = {"A.test": Expected("files", "no such file")}


@pytest.mark.parametrize(
    ("test", "passed", "words", "difference"),
    [
        ("A.test", False, "open(): no such file", []),
        ("B.test", True, "", []),
        ("A.test", True, "", ["A.test passes: take it out of the table"]),
        ("A.test", False, "locked", ["A.test fails otherwise than known:\nlocked"]),
        ("B.test", False, "locked", ["B.test fails:\nlocked"]),
    ],
)
def test_what_is_not_in_the_table_is_a_difference(
    test: str, passed: bool, words: str, difference: list[str]
):
    assert differences([Verdict(test, passed, words, 1, 0.1)], KNOWN) == difference


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "directory"])
def test_a_test_of_apsw_passes_through_the_store(store: str):
    verdict = run_test(store, "APSW.testRollbackHook")

    assert verdict.passed, verdict.words
    assert verdict.requests > 10


@pytest.mark.slow
def test_a_test_that_does_not_exist_fails():
    assert not run_test("memory", "APSW.testNothing").passed


@pytest.mark.slow
def test_the_table_names_tests_that_exist():
    names = names_of_tests()

    assert len(names) > 200
    assert set(expected_failures()) <= set(names)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("store", ["memory", "directory"])
def test_the_suite_of_apsw_fails_only_where_files_are_asked_for(store: str, report: Report):
    verdicts = list(run_tests(store, names_of_tests()))

    passed = sum(verdict.passed for verdict in verdicts)
    report(
        f"apsw {store}: tests={len(verdicts)} passed={passed} "
        f"requests={sum(verdict.requests for verdict in verdicts)}"
    )
    assert differences(verdicts, expected_failures()) == []

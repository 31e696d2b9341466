"""The runner of sqllogictest scripts itself: what it reads, and that it notices what is wrong."""

from __future__ import annotations

import apsw
import pytest

from suites.sqllogictest import Outcome, Query, ScriptError, Statement, parse, run
from suites.variants import TakingTurns, Variant


def script(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


class InMemory:
    """One connection to a database in memory."""

    def __init__(self) -> None:
        self.connection = apsw.Connection(":memory:")

    def next(self) -> apsw.Connection:
        return self.connection


def outcome_of(text: str, **arguments: float) -> Outcome:
    return run(parse(script(text)), InMemory(), **arguments)


def test_records_carry_their_lines_and_parts():
    found = parse(
        script(
            """# of interest
            statement ok
            CREATE TABLE t(a,
            b)

            # a comment in between
            onlyif sqlite # a reason
            query IT rowsort some-label
            SELECT a, b
            FROM t
            ----
            1
            NULL

            query I
            SELECT 1 WHERE 0
            """
        )
    )

    assert list(found) == [
        Statement(2, "CREATE TABLE t(a,\nb)", fails=False),
        Query(8, "SELECT a, b\nFROM t", "IT", "rowsort", "some-label", ("1", "NULL")),
        Query(15, "SELECT 1 WHERE 0", "I", "nosort", "", ()),
    ]


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("onlyif sqlite", True),
        ("skipif sqlite", False),
        ("onlyif mysql", False),
        ("skipif mysql", True),
        ("onlyif sqlite # why\nskipif sqlite", False),
        ("skipif mysql\nskipif oracle", True),
    ],
)
def test_conditions_leave_records_out(condition: str, runs: bool):
    records = list(parse(script(f"{condition}\nstatement ok\nSELECT 1\n\nstatement ok\nSELECT 2")))

    assert len(records) == 1 + runs


@pytest.mark.parametrize(
    ("condition", "left"), [("", 0), ("onlyif sqlite\n", 0), ("skipif sqlite\n", 1)]
)
def test_a_halt_ends_the_script_for_those_whom_it_is_meant_for(condition: str, left: int):
    assert len(list(parse(script(f"{condition}halt\n\nstatement ok\nSELECT 1")))) == left


@pytest.mark.parametrize(
    "text",
    [
        "statement perhaps\nSELECT 1",
        "query X nosort\nSELECT 1",
        "query I anyhow\nSELECT 1",
        "query I nosort label more\nSELECT 1",
        "SELECT 1",
    ],
)
def test_what_is_no_record_is_refused(text: str):
    with pytest.raises(ScriptError, match="line 1"):
        list(parse(script(text)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("statement ok\nSELECT absent", "no such column"),
        ("statement error\nSELECT 1", "works, and should not"),
        ("query I nosort\nSELECT absent\n----\n1", "no such column"),
        ("query I nosort\nSELECT 1, 2\n----\n1\n2", "2 columns, expected 1"),
        ("query II nosort\nSELECT 1\n----\n1", "1 columns, expected 2"),
        ("query I nosort\nSELECT 2\n----\n1", "expected ('1',)"),
        ("query I nosort\nSELECT 1\n----\n1\n1", "1 values"),
        ("query I nosort\nSELECT 1\n----", "1 values"),
        ("query I nosort\nVALUES (2), (1)\n----\n1\n2", "2 values ['2', '1']"),
        (f"query I nosort\nSELECT 1\n----\n1 values hashing to {'0' * 32}", "1 values"),
    ],
)
def test_what_is_wrong_is_noticed(text: str, problem: str):
    (failure,) = outcome_of(text).failures

    assert failure.startswith("line 1: ")
    assert problem in failure


def test_a_hash_stands_for_the_lines_and_their_number():
    md5_of_1 = "b026324c6904b2a9cb4b88d6d61c81d1"

    right = outcome_of(f"query I nosort\nSELECT 1\n----\n1 values hashing to {md5_of_1}")
    wrong = outcome_of(f"query I nosort\nSELECT 1\n----\n2 values hashing to {md5_of_1}")

    assert (right.failures, len(wrong.failures)) == ([], 1)


def test_queries_with_one_label_have_one_result():
    found = outcome_of(
        """query I nosort same
        SELECT 1
        ----
        1

        query I nosort same
        SELECT 2
        ----
        2"""
    )

    assert [failure[:7] for failure in found.failures] == ["line 6:"]


def test_an_error_of_the_storage_is_no_expected_error():
    connections = InMemory()

    def broken(*arguments: object) -> None:
        raise apsw.exception_for(apsw.SQLITE_IOERR_READ)

    connections.connection.create_scalar_function("broken", broken)
    found = run(parse(script("statement error\nSELECT broken()")), connections)

    assert "IOError" in found.failures[0]


def test_a_script_is_cut_when_its_time_is_over():
    found = outcome_of("statement ok\nSELECT 1", seconds_max=-1)

    assert (found.cut, found.records) == (True, 0)


def test_connections_take_turns_and_are_opened_again():
    opened: list[apsw.Connection] = []

    def opens() -> apsw.Connection:
        opened.append(apsw.Connection(":memory:"))
        return opened[-1]

    turns = TakingTurns(Variant(name="", connections=2, reopen_every=3, cache_size=5), [opens])
    taken = [opened.index(turns.next()) for _ in range(8)]
    assert opened[0] not in apsw.connections()
    caches = {turns.next().pragma("cache_size") for _ in range(2)}
    turns.close()

    assert taken == [0, 1, 2, 1, 2, 3, 2, 3]
    assert caches == {5}

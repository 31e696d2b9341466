"""``query`` and ``shell``."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from cli.conftest import Command, both, everywhere


@pytest.fixture
def url(folder: str, cli: Command) -> str:
    made = f"{folder}/db.sqlite"
    values = "(1, 'x'), (2, X'00ff'), (3, 1e999), (4, NULL)"
    sql = f"CREATE TABLE t (a INTEGER, b); INSERT INTO t VALUES {values}"
    assert cli("query", "--create", made, sql).code == 0
    return made


def test_rows_as_a_table(cli: Command, url: str):
    assert cli("query", url, "SELECT * FROM t").out == (
        "+---+---------+\n| a |    b    |\n| 1 | x       |\n| 2 | X'00ff' |\n| 3 | inf     |\n"
        "| 4 | NULL    |\n+---+---------+\n"
    )


def test_rows_as_csv(cli: Command, url: str):
    out = cli("query", "--format", "csv", url, "SELECT a, b AS 'x,y' FROM t; SELECT 1 AS no WHERE 0").out

    rows = list(csv.reader(out.splitlines()))
    assert rows == [["a", "x,y"], ["1", "x"], ["2", "X'00ff'"], ["3", "inf"], ["4", ""], ["no"]]


@everywhere
def test_rows_as_json(cli: Command, url: str):
    rows = cli("query", "--json", url, "SELECT * FROM t").json

    assert [row["a"] for row in rows] == [1, 2, 3, 4]
    assert [row["b"] for row in rows] == ["x", "X'00ff'", "inf", None]


@pytest.mark.parametrize("sql", ["SELECT 1 WHERE 0", "", " -- nothing", "BEGIN; COMMIT"])
def test_no_rows_as_json(cli: Command, url: str, sql: str):
    assert cli("query", "--format", "json", url, sql).json == []


def test_equal_names_of_columns_are_told_apart(cli: Command, url: str):
    (row,) = cli("query", "--json", url, "SELECT 1 AS a, 2 AS a, 3 AS b").json

    assert row == {"a": 1, "a:1": 2, "b": 3}


def test_rows_of_several_statements_follow_each_other(cli: Command, url: str):
    rows = cli("query", "--json", url, "SELECT 1 AS a; SELECT 2 AS b UNION SELECT 3; SELECT 4 AS c").json

    assert rows == [{"a": 1}, {"b": 2}, {"b": 3}, {"c": 4}]


def test_values_stand_in_for_question_marks(cli: Command, url: str):
    sql = "SELECT typeof(?) AS i, typeof(?) AS r, typeof(?) AS t, typeof(?) AS n"

    (row,) = cli("query", "--json", url, sql, "1", "1.5", "O'Brien", "NULL").json

    assert list(row.values()) == ["integer", "real", "text", "null"]


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ("-7", "integer", -7),
        ("9223372036854775807", "integer", 2**63 - 1),
        ("9223372036854775808", "real", 2.0**63),
        ("1e3", "real", 1000.0),
        (".5", "real", 0.5),
        ("1_000", "text", "1_000"),
        ("nan", "text", "nan"),
        ("Infinity", "text", "Infinity"),
        (" 1", "text", " 1"),
        ("\u0661", "text", "\u0661"),
        ("", "text", ""),
    ],
)
def test_what_is_a_number(cli: Command, url: str, given: str, kind: str, value: object):
    """As SQL has it, and not as Python reads numbers."""
    (row,) = cli("query", "--json", url, "SELECT typeof(?1) AS kind, ?1 AS value", "--", given).json

    assert (row["kind"], row["value"]) == (kind, value)


def test_a_query_may_not_write_unless_it_is_told(cli: Command, url: str):
    denied = cli("query", url, "DELETE FROM t")
    allowed = cli("query", "--write", url, "DELETE FROM t WHERE a = 4; SELECT count(*) AS n FROM t")

    assert (denied.code, "give --write" in denied.err) == (4, True)
    assert allowed.code == 0
    assert "| 3 |" in allowed.out


def test_a_mistake_in_sql(cli: Command, url: str):
    ended = cli("query", url, "SELEC 1")

    assert ended.code == 10
    assert ended.err == 'sqlite-s3vfs: near "SELEC": syntax error\n'


def test_sql_from_standard_input(program: Command, url: str):
    ended = program("query", "--json", url, "-", stdin="SELECT sum(a) AS n FROM t")

    assert (ended.code, ended.json) == (0, [{"n": 10}])


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_query_in_silence(program: Command, url: str):
    sql = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c LIMIT 999999"
    child = subprocess.Popen(
        [sys.executable, "-m", "sqlite_s3vfs", "query", "--format", "csv", url, sql],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == b"x\n"
    child.stdout.close()

    assert (child.stderr.read(), child.wait(60)) == (b"", 141)
    child.stderr.close()


def test_the_shell_from_a_pipe(program: Command, url: str):
    ended = program("shell", url, stdin=".mode csv\nSELECT count(*), max(a) FROM t;\n.tables\n")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split() == ["4,4", "t"]


def test_the_shell_prints_json(program: Command, url: str):
    ended = program("shell", "--json", url, stdin="SELECT a FROM t WHERE a < 3;")

    assert [row["a"] for row in json.loads(ended.out)] == [1, 2]


@both
def test_the_shell_makes_a_database(program: Command, cli: Command, folder: str):
    url = f"{folder}/new.sqlite"

    sql = "CREATE TABLE t (v); INSERT INTO t VALUES (7);"
    assert program("shell", "--write", url, stdin=sql).code == 0

    assert cli("query", "--json", url, "SELECT v FROM t").json == [{"v": 7}]


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("DELETE FROM t;", 4, "give --write"),
        ("SELEC;", 10, "syntax error"),
        (".nonsense", 10, "Unknown command"),
        ("SELECT 1", 10, "Incomplete SQL"),
    ],
)
def test_the_shell_ends_at_the_first_error_of_a_pipe(
    program: Command, url: str, typed: str, code: int, said: str
):
    ended = program("shell", url, stdin=f"{typed}\nSELECT 'went on';\n" if typed[-1] == ";" else typed)

    assert ended.code == code
    assert said in ended.err
    assert "went on" not in ended.out

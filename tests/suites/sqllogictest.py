"""Reads and runs sqllogictest scripts: SQL with the results that every database should give.

Written from the description of the format, https://www.sqlite.org/sqllogictest/doc/trunk/about.wiki.
A script is a list of records: statements that must work or fail, and queries with their results, one
value to a line, or with the MD5 of those lines where they are many. Records for other databases are
left out.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import apsw

ENGINE = "sqlite"
"""What the conditions of a script are told to be run by."""

NEVER_EXPECTED = frozenset(
    {
        apsw.SQLITE_BUSY,
        apsw.SQLITE_CANTOPEN,
        apsw.SQLITE_CORRUPT,
        apsw.SQLITE_FULL,
        apsw.SQLITE_INTERNAL,
        apsw.SQLITE_IOERR,
        apsw.SQLITE_NOTADB,
        apsw.SQLITE_PERM,
        apsw.SQLITE_PROTOCOL,
    }
)
"""Primary result codes that are no answer to SQL: ``statement error`` does not mean these."""

_HASHED = re.compile(r"(\d+) values hashing to ([0-9a-f]{32})")
_INTEGER_PREFIX = re.compile(r"\s*[+-]?\d+")
_UNPRINTABLE = re.compile(r"[^ -~]")

Value = int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that must work, or, where ``fails``, must not."""

    line: int
    sql: str
    fails: bool


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with its results. ``types`` has one of ``I``, ``R`` and ``T`` for each column."""

    line: int
    sql: str
    types: str
    sort: str
    label: str
    expected: tuple[str, ...]


Record = Statement | Query


class ScriptError(Exception):
    """The script is not in the format."""


def parse(lines: Iterable[str]) -> Iterator[Record]:
    """The records of a script that are meant for SQLite, in order.

    Raises:
        ScriptError: a record that the format does not have.
    """
    for number, paragraph in _paragraphs(lines):
        ours = True
        for index, line in enumerate(paragraph):
            words = line.split("#")[0].split() if line.startswith(("skipif", "onlyif")) else line.split()
            match words:
                case ["skipif", engine]:
                    ours = ours and engine != ENGINE
                case ["onlyif", engine]:
                    ours = ours and engine == ENGINE
                case ["hash-threshold", _]:
                    break           # when to hash is for those who write scripts; readers see it
                case ["halt", *_]:
                    if ours:
                        return
                    break
                case ["statement" | "query", *_]:
                    if ours:
                        yield _record(words, paragraph[index + 1 :], number + index)
                    break
                case _:
                    raise ScriptError(f"line {number + index}: {line!r}")


def _paragraphs(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """What stands between empty lines, without comments, each with the number of its first line."""
    paragraph: list[str] = []
    start = 0
    for number, raw in enumerate(chain(lines, [""]), start=1):
        line = raw.rstrip("\r\n")
        if line.startswith("#"):
            start += not paragraph
            continue
        if line.strip():
            start = start if paragraph else number
            paragraph.append(line)
        elif paragraph:
            yield start, paragraph
            paragraph = []


def _record(words: list[str], body: list[str], line: int) -> Record:
    match words:
        case ["statement", "ok" | "error" as outcome, *_]:
            return Statement(line, "\n".join(body), outcome == "error")
        case ["query", types, *rest] if len(rest) <= 2 and set(types) <= set("IRT"):
            sort, label = (*rest, "nosort", "")[:2] if rest else ("nosort", "")
            label = label if len(rest) == 2 else ""
            if sort not in ("nosort", "rowsort", "valuesort"):
                raise ScriptError(f"line {line}: no such order: {sort!r}")
            end = body.index("----") if "----" in body else len(body)
            return Query(line, "\n".join(body[:end]), types, sort, label, tuple(body[end + 1 :]))
    raise ScriptError(f"line {line}: {' '.join(words)!r}")


def shown(value: Value, kind: str) -> str:
    """A value as scripts show it: ``kind`` is ``I``, ``R`` or ``T``."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if kind == "I":
        if isinstance(value, str):
            found = _INTEGER_PREFIX.match(value)
            value = int(found[0]) if found else 0
        return str(int(value))
    if kind == "R":
        return f"{float(value):.3f}"
    if isinstance(value, float):
        value = f"{value:.15g}" if value != int(value) else f"{value:.1f}"
    return _UNPRINTABLE.sub("@", str(value)) or "(empty)"


def results(query: Query, rows: Iterable[tuple[Value, ...]]) -> list[str]:
    """The lines that ``rows`` are to ``query``."""
    if query.types.count("I") == len(query.types):
        texts = [
            tuple(str(value) if value.__class__ is int else shown(value, "I") for value in row)
            for row in rows
        ]
    else:
        texts = [tuple(map(shown, row, query.types)) for row in rows]
    if query.sort == "rowsort":
        texts.sort()
    values = [value for row in texts for value in row]
    return sorted(values) if query.sort == "valuesort" else values


def digest(lines: Iterable[str]) -> str:
    """The MD5 of result lines."""
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Connections(Protocol):
    """Where records are run."""

    def next(self) -> apsw.Connection:
        """The connection for the next record."""


@dataclass(slots=True)
class Outcome:
    """What running a script came to. ``cut``: the time was over before the script was."""

    statements: int = 0
    queries: int = 0
    seconds: float = 0.0
    cut: bool = False
    failures: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        return self.statements + self.queries


def run(
    records: Iterable[Record], connections: Connections, *, seconds_max: float = float("inf")
) -> Outcome:
    """Run records until they end or the time is over."""
    outcome, digests = Outcome(), dict[str, str]()
    began = time.monotonic()
    for record in records:
        outcome.seconds = time.monotonic() - began
        if outcome.seconds > seconds_max:
            outcome.cut = True
            break
        if isinstance(record, Statement):
            outcome.statements += 1
            problem = _run_statement(record, connections.next())
        else:
            outcome.queries += 1
            problem = _run_query(record, connections.next(), digests)
        if problem:
            outcome.failures.append(f"line {record.line}: {problem}: {record.sql:.200}")
    outcome.seconds = time.monotonic() - began
    return outcome


def _run_statement(statement: Statement, connection: apsw.Connection) -> str:
    try:
        connection.execute(statement.sql)
    except apsw.Error as error:
        if statement.fails and getattr(error, "result", apsw.SQLITE_ERROR) not in NEVER_EXPECTED:
            return ""
        return f"{type(error).__name__}: {error}"
    return "works, and should not" if statement.fails else ""


def _run_query(query: Query, connection: apsw.Connection, digests: dict[str, str]) -> str:
    try:
        rows = connection.execute(query.sql).fetchall()
    except apsw.Error as error:
        return f"{type(error).__name__}: {error}"
    if rows and len(rows[0]) != len(query.types):
        return f"{len(rows[0])} columns, expected {len(query.types)}"
    found = results(query, rows)
    if query.label and digests.setdefault(query.label, digest(found)) != digest(found):
        return f"other results than those before with the label {query.label}"
    hashed = _HASHED.fullmatch(query.expected[0]) if len(query.expected) == 1 else None
    if hashed:
        same = (len(found), digest(found)) == (int(hashed[1]), hashed[2])
    else:
        same = tuple(found) == query.expected
    return "" if same else f"{len(found)} values {found[:8]}, expected {query.expected[:8]}"

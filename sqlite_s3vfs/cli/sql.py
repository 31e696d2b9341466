"""``shell`` and ``query``: SQL on a database, by hand and from scripts."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw
import click

from sqlite_s3vfs.cli.exits import Exit
from sqlite_s3vfs.cli.moments import moment_options
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.places import opened_connection
from sqlite_s3vfs.errors import ReadOnlyError
from sqlite_s3vfs.past import Moment

_UNBOUNDED = 1 << 20
"""Characters of a table's line where nobody has a terminal of some width."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_INTEGER_LIMIT = 1 << 63
"""What is larger is a floating-point number (https://www.sqlite.org/syntax/numeric-literal.html)."""
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

Values = Sequence["apsw.SQLiteValue"]
Result = tuple[list[str], Values]


@click.command("shell")
@database_argument
@click.option("--write", is_flag=True, help="Allow changes; DATABASE is made where it does not exist.")
@command_options()
@moment_options
def shell_command(asked: Asked, database: str, *, write: bool, moment: Moment) -> int:
    """Open an SQL shell on DATABASE: APSW's, with the commands of sqlite3 (.help tells).

    For reading, unless --write is given. What changes something outside BEGIN … COMMIT is a commit of
    its own. From a pipe the first error ends it.
    """
    mode = "rwc" if write else "ro"
    with opened_connection(asked, database, mode=mode, moment=moment) as connection, _hint():
        shell = _shell(connection)
        if asked.as_json:
            shell.process_command(".mode json")
        shell.prompt = f"{database.rpartition('/')[2]}> " if write else "(reading) sqlite> "
        try:
            shell.cmdloop()
        except SystemExit as ended:             # .exit and .quit
            return int(ended.code or 0)
    return 0


def _shell(connection: apsw.Connection) -> Any:
    from apsw.shell import Shell  # slow to import

    class TerminalShell(Shell):
        """Tells after each error what the command line could do about it."""

        def handle_exception(self) -> None:
            error = sys.exception()
            seen = getattr(error, "_handle_exception_saw_this", False)     # it comes more than once
            super().handle_exception()  # type: ignore[no-untyped-call]
            if isinstance(error, apsw.ReadOnlyError) and not seen:
                said = "the database is open for reading: start the shell with --write.\n"
                self.write_error(said)  # type: ignore[no-untyped-call]

    class PipedShell(Shell):
        """Ends at the first error instead of asking for the next command."""

        def handle_exception(self) -> None:
            error = sys.exception()
            if isinstance(error, self.Error):
                raise ShellError(str(error).strip()) from error
            raise

    piped = not (sys.stdin.isatty() and sys.stdout.isatty())
    kind = PipedShell if piped else TerminalShell
    return kind(stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr, db=connection)


class ShellError(click.ClickException):
    """A command of the shell that cannot be carried out."""

    exit_code = Exit.SQL


@contextmanager
def _hint() -> Iterator[None]:
    """Tell how a database is opened for writing."""
    try:
        yield
    except apsw.ReadOnlyError as error:
        raise ReadOnlyError("the database is open for reading: give --write to change it.") from error


@click.command("query")
@database_argument
@click.argument("sql", metavar="SQL")
@click.argument("values", metavar="[VALUE]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table",
              show_default=True, help="How rows are printed.")
@click.option("--write", is_flag=True, help="Allow changes.")
@click.option("--create", is_flag=True, help="Make DATABASE where it does not exist; implies --write.")
@command_options()
@moment_options
def query_command(
    asked: Asked, database: str, sql: str, values: Sequence[str], *,
    form: str, write: bool, create: bool, moment: Moment,
) -> None:
    """Run SQL on DATABASE and print the rows; SQL - reads it from standard input.

    VALUEs stand in for the question marks in it: numbers, NULL, or else text. Blobs are printed
    as X'hex'.
    """
    text = sys.stdin.read() if sql == "-" else sql
    mode = "rwc" if create else "rw" if write else "ro"
    with opened_connection(asked, database, mode=mode, moment=moment) as connection, _hint():
        _PRINTERS["json" if asked.as_json else form](connection, text, [_value(v) for v in values])


def _print_tables(connection: apsw.Connection, sql: str, values: Values) -> None:
    from apsw.ext import format_query_table  # slow to import

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    table = format_query_table(
        connection, sql, values or None, binary=_blob, null="NULL", text_width=width,
        use_unicode=sys.stdout.isatty(),
    )
    click.echo(table, nl=False)


def _print_csv(connection: apsw.Connection, sql: str, values: Values) -> None:
    """As RFC 4180 has it but for the ends of lines; a line of names before each result."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    shown: list[str] | None = None
    for names, row in _results(connection, sql, values):
        if names is not shown:
            shown = names
            writer.writerow(names)
        if row:
            writer.writerow(["" if value is None else _text(value) for value in row])


def _print_json(connection: apsw.Connection, sql: str, values: Values) -> None:
    """One list of objects, written as the rows come."""
    separator = "["
    for names, row in _results(connection, sql, values):
        if not row:
            continue
        told = json.dumps(dict(zip(names, map(_json_value, row), strict=True)), ensure_ascii=False)
        click.echo(f"{separator}\n  {told}", nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


_PRINTERS: dict[str, Callable[[apsw.Connection, str, Values], None]] = {
    "table": _print_tables,
    "csv": _print_csv,
    "json": _print_json,
}


def _results(connection: apsw.Connection, sql: str, values: Values) -> Iterator[Result]:
    """Rows with their names; a result without rows gives its names and an empty row."""
    names: list[str] = []
    waiting: list[list[str]] = []

    def started(cursor: apsw.Cursor, _: str, __: Any) -> bool:
        nonlocal names
        names = _unlike([name for name, *_ in cursor.get_description()])
        if names:
            waiting.append(names)
        return True

    cursor = connection.cursor()
    cursor.exec_trace = started
    for row in cursor.execute(sql, values or None):
        while waiting and waiting[0] is not names:
            yield waiting.pop(0), ()
        waiting.clear()
        yield names, row
    for empty in waiting:
        yield empty, ()


def _unlike(names: list[str]) -> list[str]:
    """Names that are all different: ``a``, ``a:1`` …"""
    return [f"{name}:{names[:at].count(name)}" if name in names[:at] else name
            for at, name in enumerate(names)]


def _value(text: str) -> apsw.SQLiteValue:
    """A number as SQL spells it (Python's ``1_000`` and ``nan`` are text), NULL, or the text."""
    if _INTEGER.fullmatch(text) and -_INTEGER_LIMIT <= int(text) < _INTEGER_LIMIT:
        return int(text)
    if _REAL.fullmatch(text):
        return float(text)
    return None if text == "NULL" else text


def _blob(value: bytes) -> str:
    return f"X'{value.hex()}'"


def _text(value: apsw.SQLiteValue) -> str:
    return _blob(value) if isinstance(value, bytes) else str(value)


def _json_value(value: apsw.SQLiteValue) -> object:
    """JSON knows no bytes and no infinity."""
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        return _text(value)
    return value

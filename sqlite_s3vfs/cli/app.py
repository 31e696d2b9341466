"""The program: its commands, and how what went wrong becomes a message and an exit code."""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from sqlite_s3vfs.cli.exits import Exit, exit_of, first_of_ours
from sqlite_s3vfs.cli.options import access_of, access_options

COMMANDS: dict[str, str] = {
    "ls": "listing",
    "info": "facts",
    "show": "objects",
    "shell": "sql",
    "query": "sql",
    "import": "files",
    "export": "files",
    "log": "history",
    "retention": "history",
    "restore": "history",
    "checkpoint": "checkpoints",
    "diff": "branches",
    "fork": "branches",
    "verify": "care",
    "collect": "care",
    "rm": "care",
    "upgrade": "upgrading",
    "doctor": "doctor",
    "completion": "completion",
}
"""Each command and the module that has it, in the order of the help."""

PROGRAM = "sqlite-s3vfs"

_EPILOG = """\b
Databases are named by URL: s3://bucket/my/cool.sqlite or file:///directory/cool.sqlite.
Credentials, region and endpoint are found where the AWS tools find them.
Exit codes: 0 done, 1 something was found, 2 wrong arguments, 3 not there, 4 no right,
5 store unavailable, 6 conflict, 7 damaged; all: docs/command-line.md.
"""


class LazyGroup(click.Group):
    """Commands in their order; the module of one is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"sqlite_s3vfs.cli.{COMMANDS[cmd_name]}")
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found


    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:            # click itself would end the process
            raise ReaderGoneError from error


class ReaderGoneError(Exception):
    """Nobody reads the output any more."""


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from sqlite_s3vfs.cli.versions import versions

        click.echo(versions())
        context.exit()


@click.group(cls=LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["--help", "-h"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
              help="Print the versions of this library and of what it stands on.")
@access_options
@click.pass_context
def group(
    context: click.Context, region: str | None, profile: str | None, endpoint_url: str | None
) -> None:
    """SQLite databases that live in S3: look into them, copy, check and clean them."""
    context.obj = access_of(region, profile, endpoint_url)


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out the command line; the exit code. What went wrong is told on standard error."""
    asked = sys.argv[1:] if arguments is None else arguments
    with _warnings(as_json="--json" in asked):
        return _run(asked)


def _run(asked: Sequence[str]) -> int:
    try:
        ended: Any = group.main(
            args=list(asked),
            prog_name=PROGRAM,
            standalone_mode=False,
        )
        sys.stdout.flush()
    except click.UsageError as error:
        if "--json" in asked:
            return _told("UsageError", error.format_message(), Exit.USAGE, as_json=True)
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        name = type(error).__name__
        return _told(name, error.format_message(), Exit(error.exit_code), as_json="--json" in asked)
    except click.Abort:                             # Ctrl-C, or the end of input at a question
        click.echo("\ninterrupted.", err=True)
        return Exit.INTERRUPTED
    except SystemExit:
        raise
    except BaseException as error:
        code = exit_of(error.__cause__ if isinstance(error, ReaderGoneError) else error)
        if code is Exit.BUG:
            traceback.print_exception(error)
            raise SystemExit(code) from error
        return _failed(error, code, as_json="--json" in asked)
    return int(ended or Exit.DONE)


def _failed(error: BaseException, code: Exit, *, as_json: bool) -> int:
    if code is Exit.PIPE_CLOSED:
        # What is still buffered has no reader; see https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    told = first_of_ours(error) or error
    message = str(told)
    if isinstance(told, OSError) and told.filename is not None:
        message = f"{str(told.strerror).lower()}. file={told.filename!r}"
    return _told(type(told).__name__, message, code, as_json=as_json)


@contextmanager
def _warnings(*, as_json: bool) -> Iterator[None]:
    """What the library logs, a line each and without tracebacks; not beside errors in JSON."""
    log = logging.getLogger("sqlite_s3vfs")
    handler: logging.Handler = logging.NullHandler() if as_json else _Lines()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        cause = f": {error}" if error else ""
        click.echo(f"{PROGRAM}: warning: {record.getMessage()}{cause}", err=True)


def _told(name: str, message: str, code: Exit, *, as_json: bool) -> int:
    """Say on standard error what went wrong."""
    if as_json:
        said = {"error": name, "message": message, "exit": int(code)}
        click.echo(json.dumps(said, ensure_ascii=False), err=True)
    else:
        click.echo(f"{PROGRAM}: {message or name}", err=True)
    return code

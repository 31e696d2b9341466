"""Which version a command means: ``--version``, ``--at`` or ``--checkpoint``; how long, in words."""

from __future__ import annotations

import functools
import re
from typing import Any

import click

from sqlite_s3vfs.cli.options import Asked, Command
from sqlite_s3vfs.cli.output import duration_text
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.past import FOREVER, Moment

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment_options(function: Command) -> Command:
    """Give a command the options; it gets a ``Moment`` as ``moment``."""

    @functools.wraps(function)
    def command(
        asked: Asked, *arguments: Any, version: int | None, at: str | None, checkpoint: str | None,
        **others: Any,
    ) -> Any:
        return function(asked, *arguments, moment=Moment(version, at, checkpoint), **others)

    wrapped: Command = command
    for option in (
        click.option("--checkpoint", metavar="NAME", help="The version with this name."),
        click.option("--at", metavar="TIME",
                     help="The newest version at a time: 2026-11-20T10:00:00Z, or -5m, -2h, -3d back."),
        click.option("--version", type=int, metavar="N", help="The version with this number."),
    ):
        wrapped = option(wrapped)
    return wrapped


def parameters_of(moment: Moment) -> dict[str, str]:
    """The same as parameters of a URI."""
    named = {"version": moment.version, "at": moment.at, "checkpoint": moment.checkpoint}
    return {name: str(value) for name, value in named.items() if value is not None}


def seconds_of(text: str) -> int:
    """``90s``, ``5m``, ``2h``, ``3d``, ``1w`` or ``forever``.

    Raises:
        InvalidArgumentError: anything else.
    """
    if text == "forever":
        return FOREVER
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(f"write 90s, 5m, 2h, 3d, 1w or forever. duration={text!r}")
    return int(match[1]) * _SECONDS[match[2]]


def retention_text(seconds: int) -> str:
    """The inverse, for people."""
    return "forever" if seconds == FOREVER else duration_text(seconds)

"""What all commands take: where S3 is, ``--json``, and a question before something is destroyed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from sqlite_s3vfs.cli.exits import Exit
from sqlite_s3vfs.store.access import Access

Command = Callable[..., Any]


class DeclinedError(click.ClickException):
    """The question was not answered with yes, or there was nobody to ask."""

    exit_code = Exit.DECLINED


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for, beside the command's own arguments."""

    access: Access
    as_json: bool
    yes: bool = False

    def confirm(self, question: str) -> None:
        """Go on only with ``--yes``, or where somebody at a terminal says so.

        Raises:
            DeclinedError: no, or nobody to ask.
        """
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise DeclinedError(f"{question} nobody to ask: give --yes to go on.")
        if not click.confirm(f"{question} Go on?", err=True):
            raise DeclinedError("nothing was changed.")


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def access_options(function: Command) -> Command:
    """``--endpoint-url``, ``--profile`` and ``--region``, as the AWS command line has them."""
    for option in (
        click.option("--region", help="AWS region; otherwise as the AWS tools find it.", metavar="NAME"),
        click.option("--profile", help="AWS profile with the credentials to use.", metavar="NAME"),
        click.option("--endpoint-url", help="Where S3 is, where it is not AWS.", metavar="URL"),
    ):
        function = option(function)
    return function


def access_of(region: str | None, profile: str | None, endpoint_url: str | None) -> Access:
    """The options' values; what is not given here was given before the command, or not at all."""
    context = click.get_current_context()
    before = context.obj if isinstance(context.obj, Access) else Access()
    return Access(
        endpoint_url=endpoint_url or before.endpoint_url,
        profile=profile or before.profile,
        region=region or before.region,
    )


def command_options(*, destroys: bool = False) -> Callable[[Command], Command]:
    """Give a command the common options; it gets an ``Asked`` as its first argument."""

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def command(
            *,
            region: str | None,
            profile: str | None,
            endpoint_url: str | None,
            as_json: bool,
            yes: bool = False,
            **arguments: Any,
        ) -> Any:
            asked = Asked(access_of(region, profile, endpoint_url), as_json, yes)
            return function(asked, **arguments)

        wrapped: Command = access_options(command)
        wrapped = json_option(wrapped)
        if destroys:
            wrapped = click.option("--yes", "-y", is_flag=True, help="Do not ask first.")(wrapped)
        return wrapped

    return decorate


database_argument = click.argument("database", metavar="DATABASE")
"""``s3://bucket/key`` or ``file:///directory/name``."""

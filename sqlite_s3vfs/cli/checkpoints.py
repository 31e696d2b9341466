"""``checkpoint``: names for versions, which keep them longer than the retention."""

from __future__ import annotations

import click

from sqlite_s3vfs import past
from sqlite_s3vfs.cli.moments import moment_options
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import print_columns, print_json
from sqlite_s3vfs.cli.places import existing, opened_database

_name = click.argument("name", metavar="NAME")


@click.group("checkpoint")
def checkpoint_command() -> None:
    """Name versions of a database; a version with a name is kept until the name is removed."""


@checkpoint_command.command("create")
@database_argument
@_name
@command_options()
@moment_options
def create_command(asked: Asked, database: str, name: str, *, moment: past.Moment) -> None:
    """Give a version of DATABASE a NAME: the newest, unless another one is chosen."""
    with opened_database(asked, database) as opened:
        existing(opened, database)
        made = past.checkpoint_create(opened, name, moment)
    _print(asked, {"url": database, "name": made.name, "version": made.version},
           f"version {made.version} of {database} is kept as {made.name}")


@checkpoint_command.command("list")
@database_argument
@command_options()
def list_command(asked: Asked, database: str) -> None:
    """List the names of versions of DATABASE."""
    with opened_database(asked, database) as opened:
        existing(opened, database)
        found = past.checkpoint_list(opened)
    if asked.as_json:
        print_json([{"name": row.name, "version": row.version} for row in found])
    else:
        print_columns([">VERSION", "NAME"], [[str(row.version), row.name] for row in found])


@checkpoint_command.command("remove")
@database_argument
@_name
@command_options(destroys=True)
def remove_command(asked: Asked, database: str, name: str) -> None:
    """Remove the NAME of a version of DATABASE; out of retention the version is gone, too."""
    with opened_database(asked, database) as opened:
        existing(opened, database)
        asked.confirm(f"checkpoint {name} of {database} would be removed.")
        past.checkpoint_remove(opened, name)
    _print(asked, {"url": database, "removed": name}, f"checkpoint {name} of {database} is removed")


def _print(asked: Asked, told: dict[str, object], said: str) -> None:
    if asked.as_json:
        print_json(told)
    else:
        click.echo(said)

"""``fork`` and ``diff``: a database that begins as another one, and what came between two versions."""

from __future__ import annotations

import re

import click

from sqlite_s3vfs import past
from sqlite_s3vfs.cli.moments import moment_options
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import counted, print_columns, print_json
from sqlite_s3vfs.cli.places import existing, opened_database, opened_vfs
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.vfs.past import VersionDiff
from sqlite_s3vfs.wiring import open_database, store_from_url

_TIME = re.compile(r"-\d|\d{4}-\d\d-\d\d")
_PAGES_SHOWN = 20


@click.command("fork")
@database_argument
@click.argument("child", metavar="NEW")
@command_options()
@moment_options
def fork_command(asked: Asked, database: str, child: str, *, moment: past.Moment) -> None:
    """Make NEW, in the same bucket, a database that begins as DATABASE is, or was.

    No block is copied, and each goes its own way from there.
    """
    with opened_database(asked, database) as opened:
        existing(opened, database)
        store, prefix = store_from_url(child, asked.access)
        if store.identity != opened.engine.store.identity:
            raise InvalidArgumentError(
                f"a fork lies in the bucket, or the directory, of its parent. url={child!r}"
            )
        version = past.open_at(opened, moment).version
        made = past.fork(opened, open_database(opened.engine, prefix), past.Moment(version=version))
    if asked.as_json:
        print_json({"url": child, "parent": database, "forked": version, "version": made.version})
    else:
        click.echo(f"{child} begins as version {version} of {database}")


@click.command("diff", context_settings={"ignore_unknown_options": True})
@database_argument
@click.argument("older", metavar="OLDER")
@click.argument("newer", metavar="[NEWER]", required=False)
@command_options()
def diff_command(asked: Asked, database: str, older: str, newer: str | None) -> None:
    """Tell what came between two versions of DATABASE: pages, and numbers of rows in tables.

    A version is a number, a time (2026-11-20T10:00:00Z, -5m, -2h) or a checkpoint's name. NEWER is the
    newest version where it is left out.
    """
    moments = _moment(older), _moment(newer) if newer else past.NEWEST
    with opened_vfs(asked, database) as (vfs, prefix):
        found = vfs.past(prefix).diff(*moments)
    if asked.as_json:
        print_json(_told(database, found))
        return
    changed = f"{counted(len(found.pages), 'page')} changed{_numbers(found.pages)}"
    click.echo(f"version {found.older} to version {found.newer}: {changed}")
    if found.tables is None:
        click.echo("rows: one of them cannot be read by SQLite")
    elif found.tables:
        rows = [[_count(row.older), _count(row.newer), row.table] for row in found.tables]
        print_columns([">ROWS BEFORE", ">AFTER", "TABLE"], rows)
    else:
        click.echo("rows: each table has as many as before")


def _moment(text: str) -> past.Moment:
    if text.isdecimal():
        return past.Moment(version=int(text))
    return past.Moment(at=text) if _TIME.match(text) else past.Moment(checkpoint=text)


def _told(database: str, found: VersionDiff) -> dict[str, object]:
    tables = None if found.tables is None else [
        {"table": row.table, "older": row.older, "newer": row.newer} for row in found.tables
    ]
    return {
        "url": database, "older": found.older, "newer": found.newer, "pages": list(found.pages),
        "tables": tables,
    }


def _numbers(pages: tuple[int, ...]) -> str:
    if not pages:
        return ""
    shown = ", ".join(map(str, pages[:_PAGES_SHOWN]))
    return f" ({shown}{', …' if len(pages) > _PAGES_SHOWN else ''})"


def _count(rows: int | None) -> str:
    return "-" if rows is None else str(rows)

"""``log``, ``retention``, ``restore``: what was, how long it is kept, and back to it."""

from __future__ import annotations

import click

from sqlite_s3vfs import past
from sqlite_s3vfs.cli.moments import moment_options, retention_text, seconds_of
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import bytes_text, iso_time, print_columns, print_json, time_text
from sqlite_s3vfs.cli.places import existing, opened_database
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.past.retaining import check_retention


@click.command("log")
@database_argument
@click.option("--limit", "-n", type=click.IntRange(min=1), metavar="N", help="The newest N only.")
@command_options()
def log_command(asked: Asked, database: str, *, limit: int | None) -> None:
    """List the versions of DATABASE that can be read, the newest first: when, by whom, how much."""
    with opened_database(asked, database) as opened:
        entries = list(past.log(opened, limit=limit))
    if asked.as_json:
        print_json([
            {
                "version": entry.version,
                "commit_id": entry.commit_id.hex(),
                "time": iso_time(entry.time_ms),
                "time_ms": entry.time_ms,
                "writer": entry.writer,
                "size": entry.size,
                "pages": entry.pages,
                "restored": entry.restored,
                "checkpoints": list(entry.checkpoints),
            }
            for entry in entries
        ])
        return
    print_columns(
        [">VERSION", "COMMITTED (UTC)", ">PAGES", ">SIZE", "WRITER", "NOTES"],
        [
            [
                str(entry.version), time_text(entry.time_ms), str(entry.pages), bytes_text(entry.size),
                entry.writer, _notes(entry),
            ]
            for entry in entries
        ],
    )


def _notes(entry: past.LogEntry) -> str:
    notes = [f"restored version {entry.restored}"] if entry.restored else []
    return ", ".join([*notes, *(f"checkpoint {name}" for name in entry.checkpoints)])


@click.command("retention")
@database_argument
@click.argument("duration", metavar="[DURATION]", required=False)
@command_options(destroys=True)
def retention_command(asked: Asked, database: str, duration: str | None) -> None:
    """Tell how long old versions of DATABASE are kept, or keep them for DURATION: 90s, 2h, 3d, forever.

    Shortening asks first: versions that fall out of it are deleted by later commits.
    """
    with opened_database(asked, database) as opened:
        seconds = past.retention(opened)
        if duration is not None:
            wanted = seconds_of(duration)
            check_retention(wanted)
            if wanted < seconds:
                asked.confirm(f"versions older than {retention_text(wanted)} could no longer be read.")
            past.set_retention(opened, wanted)
            seconds = wanted
    if asked.as_json:
        print_json({"url": database, "retention_seconds": seconds, "forever": seconds == past.FOREVER})
    else:
        click.echo(retention_text(seconds))


@click.command("restore")
@database_argument
@command_options(destroys=True)
@moment_options
def restore_command(asked: Asked, database: str, *, moment: past.Moment) -> None:
    """Make an old version of DATABASE the newest, by a commit that copies no block.

    What it replaces stays in the log, and can be restored as well as long as it is kept.
    """
    if moment == past.NEWEST:
        raise InvalidArgumentError("say which version: --version, --at or --checkpoint.")
    with opened_database(asked, database) as opened:
        newest = existing(opened, database).snapshot.version
        wanted = past.open_at(opened, moment).version
        asked.confirm(f"version {newest} of {database} would be replaced by version {wanted}.")
        made = past.restore(opened, past.Moment(version=wanted)).version
    if asked.as_json:
        print_json({"url": database, "restored": wanted, "replaced": newest, "version": made})
    else:
        click.echo(f"version {wanted} of {database} is the newest again, as version {made}")

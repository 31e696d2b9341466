"""``upgrade``: a database with small blocks, as sqlite-s3vfs 0.0.x wrote them, in today's.

A database keeps its block size as long as it lives, so that it is copied to another name, in one commit;
the old one stays as it is, and can be compared and removed at leisure.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import bytes_text, print_json, progress_bar
from sqlite_s3vfs.cli.places import existing, opened_database
from sqlite_s3vfs.errors import ConflictError, InvalidArgumentError
from sqlite_s3vfs.progress import OnProgress
from sqlite_s3vfs.reader import Snapshot
from sqlite_s3vfs.transfer import deserialize_iter, serialize_snapshot
from sqlite_s3vfs.wiring import Database


@click.command("upgrade")
@database_argument
@click.argument("new", metavar="NEW")
@command_options()
def upgrade_command(asked: Asked, database: str, new: str) -> None:
    """Copy DATABASE, of sqlite-s3vfs 0.0.x or with small blocks, to NEW in today's, in one commit.

    Stop its writers first. DATABASE is not changed. Without this command it works as well, in its own
    blocks: its first commit adopts it in place.
    """
    with opened_database(asked, database) as old, opened_database(asked, new) as made:
        snapshot = existing(old, database).snapshot
        wanted = made.engine.settings.block_size
        if snapshot.block_size >= wanted:
            raise InvalidArgumentError(
                f"the database has blocks of today's size, or larger ones: there is nothing to do. "
                f"url={database!r} block_size={snapshot.block_size} wanted={wanted}"
            )
        if made.snapshot().manifest.commits:
            raise InvalidArgumentError(f"choose a name where nothing is yet. url={new!r}")
        with progress_bar("upgrade", snapshot.size) as on_progress:
            deserialize_iter(made, _unchanged(old, snapshot, on_progress))
        size = made.snapshot().size
    told = {
        "url": new, "old": database, "bytes": size, "old_block_size": snapshot.block_size,
        "block_size": wanted,
    }
    if asked.as_json:
        print_json(told)
    else:
        click.echo(f"{new} holds {bytes_text(size)} in blocks of {wanted} bytes "
                   f"({database}: {snapshot.block_size})")


def _unchanged(database: Database, snapshot: Snapshot, on_progress: OnProgress) -> Iterator[bytes]:
    """The version's bytes, and an error in the place of their end where it is no longer the newest."""
    yield from serialize_snapshot(snapshot, on_progress=on_progress)
    if database.snapshot().identity != snapshot.identity:
        raise ConflictError(
            "somebody wrote to the database while it was copied: stop the writers, and give the command "
            f"again. nothing was made. prefix={database.prefix!r}"
        )

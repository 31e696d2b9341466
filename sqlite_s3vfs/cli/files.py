"""``import`` and ``export``: plain SQLite files in and out."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import apsw
import click

from sqlite_s3vfs import transfer
from sqlite_s3vfs.cli.download import Download, download
from sqlite_s3vfs.cli.moments import moment_options
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import bytes_text, print_json, progress_bar
from sqlite_s3vfs.cli.places import existing, opened_database
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.past import NEWEST, Moment, open_at

_CHUNK = 1 << 20
_STREAM = "-"


@click.command("import")
@database_argument
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@command_options(destroys=True)
def import_command(asked: Asked, database: str, file: str) -> None:
    """Put the SQLite database FILE (- for standard input) into DATABASE, in one commit.

    What DATABASE held before is replaced, after a question; it can be restored within its retention.
    """
    with opened_database(asked, database) as opened:
        found = opened.snapshot()
        replaced = found.version if found.manifest.commits else 0
        if replaced:
            asked.confirm(f"{database} exists and would be replaced by {file}.")
        with _source(file) as (source, size), progress_bar("import", size) as on_progress:
            chunks = iter(lambda: source.read(_CHUNK), b"")
            transfer.deserialize_iter(opened, chunks, on_progress=on_progress)
        snapshot = opened.snapshot()
    told = {
        "url": database, "bytes": snapshot.size, "version": snapshot.version,
        "replaced": replaced or None,
    }
    if asked.as_json:
        print_json(told)
    else:
        click.echo(f"imported {bytes_text(snapshot.size)} as version {snapshot.version} of {database}")


@contextmanager
def _source(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The bytes of one state of a database file, and how many they are where that is known.

    SQLite opens it first: an unfinished transaction is rolled back, nobody changes it meanwhile, and
    what a write-ahead log holds is not left out (https://www.sqlite.org/howtocorrupt.html#_backup_or_restore_while_a_transaction_is_active).
    """
    if file == _STREAM:
        yield sys.stdin.buffer, None
        return
    with tempfile.TemporaryDirectory() as scratch, closing(_opened(file)) as connection:
        try:
            connection.execute("BEGIN; SELECT count(*) FROM sqlite_schema").fetchall()
            if connection.pragma("journal_mode") == "wal":
                file = str(Path(scratch, "copy"))
                _back_up(connection, file)
        except apsw.NotADBError as error:
            raise InvalidArgumentError(f"the file is no SQLite database. file={file!r}") from error
        with Path(file).open("rb") as source:
            yield source, os.fstat(source.fileno()).st_size


def _back_up(connection: apsw.Connection, file: str) -> None:
    with closing(apsw.Connection(file)) as copy:
        backup = copy.backup("main", connection, "main")
        backup.step(-1)
        backup.finish()


def _opened(file: str) -> apsw.Connection:
    return apsw.Connection(
        f"file:{quote(str(Path(file).absolute()))}?mode=rw",
        flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI,
    )


@click.command("export")
@database_argument
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@command_options(destroys=True)
@moment_options
def export_command(asked: Asked, database: str, file: str, *, moment: Moment) -> None:
    """Write DATABASE to FILE (- for standard output) as a plain SQLite file.

    FILE appears when it is whole; one that exists is replaced, after a question. Where the connection
    breaks, the export goes on by itself for a while, and otherwise when the command is given again.
    """
    with opened_database(asked, database) as opened:
        existing(opened, database)
        snapshot = open_at(opened, moment) if moment != NEWEST else opened.newest()
        if file == _STREAM:
            with progress_bar("export", snapshot.size) as on_progress:
                for chunk in transfer.serialize_snapshot(snapshot, on_progress=on_progress):
                    sys.stdout.buffer.write(chunk)
            return
        target = Path(file)
        if target.exists():
            asked.confirm(f"{file} exists and would be replaced.")
        with progress_bar("export", snapshot.size) as on_progress:
            done = download(Download(snapshot, target, opened.engine.clock), on_progress)
    told = {
        "file": file, "url": database, "bytes": snapshot.size, "version": snapshot.version,
        "resumed_at": done.resumed_at,
    }
    if asked.as_json:
        print_json(told)
        return
    resumed = f", the first {bytes_text(done.resumed_at)} earlier" if done.resumed_at else ""
    click.echo(f"exported version {snapshot.version} to {file}: {bytes_text(snapshot.size)}{resumed}")

"""``ls``: the databases below a bucket, a prefix or a directory.

A database shows by its manifest, or by block 0 of the layout of sqlite-s3vfs 0.0.x. What lies in
the folders of its objects is passed over: a listing costs requests by databases, not by objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import click

from sqlite_s3vfs.cli.exits import Exit, exit_of
from sqlite_s3vfs.cli.options import Asked, command_options
from sqlite_s3vfs.cli.output import bytes_text, iso_time, print_columns, print_json, time_text
from sqlite_s3vfs.cli.places import opened_engine
from sqlite_s3vfs.database import Version
from sqlite_s3vfs.errors import AccessDeniedError, CorruptError, InvalidArgumentError, NotFoundError
from sqlite_s3vfs.format.keys import check_prefix, parse_object_name
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.wiring import Engine, open_database

_FOLDERS = ("history", "maps", "segments")
_DATABASES_AT_ONCE = 8
_ROWS_IN_ONE_REQUEST = 1000
_AFTER_ALL_NAMES = "~"
"""Sorts after every name of an object: these begin with a digit."""


@click.command("ls")
@click.argument("url", metavar="URL")
@command_options()
def ls_command(asked: Asked, url: str) -> int:
    """List the databases below URL: s3://bucket, s3://bucket/prefix or file:///directory.

    One that cannot be read, for want of a right or because it is damaged, is named with the reason,
    and the command ends with 1.
    """
    with opened_engine(asked, url) as (engine, prefix):
        names = list(_databases(engine.store, prefix))
        with ThreadPoolExecutor(_DATABASES_AT_ONCE, "s3vfs-ls") as threads:
            rows = list(threads.map(partial(_row, engine, prefix), names))
    found = [row for row in rows if row is not None]
    if asked.as_json:
        print_json(found)
    else:
        headings = [">SIZE", ">VERSION", "LAST COMMIT (UTC)", "NAME"]
        print_columns(headings, [_cells(row) for row in found])
    unreadable = any(row.get("exit", Exit.MISSING) is not Exit.MISSING for row in found)
    return Exit.FOUND if unreadable else Exit.DONE


def _cells(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return ["?", "?", "?", f"{row['name']}: {row['error']}"]
    version = f"{row['version']}" if row["layout"] == "1" else "0.0.x"
    return [bytes_text(row["size"]), version, time_text(row["last_commit_ms"]), row["name"]]


def _databases(store: ObjectStore, prefix: str) -> Iterator[str]:
    """The keys of databases, in order. 1 LIST or 2 for each database that has many objects."""
    after = ""
    while True:
        skip = ""
        before = ""
        for number, row in enumerate(store.list(prefix, start_after=after)):
            name, _, last = row.key.rpartition("/")
            old = last == "0000000000" and name != before and not name.endswith("-journal")
            if last == "manifest" or old:
                before = name
                if _can_be_database(name):
                    yield name
            skip = _folder(row.key)
            if skip and number >= _ROWS_IN_ONE_REQUEST:
                break
        else:
            return
        after = f"{skip}/{_AFTER_ALL_NAMES}"


def _folder(key: str) -> str:
    """The folder of a database's objects that the key lies in; empty where it lies in none."""
    folder, _, last = key.rpartition("/")
    inside = folder.rpartition("/")[2] in _FOLDERS and parse_object_name(last) is not None
    return folder if inside else ""


def _can_be_database(name: str) -> bool:
    try:
        return check_prefix(name) == name
    except InvalidArgumentError:
        return False


def _row(engine: Engine, prefix: str, name: str) -> dict[str, Any] | None:
    """What is told of a database, or of a fork in the making; None where nothing is there (any more).

    Of one that cannot be read, the reason, and the exit code that other commands give for it. 1 GET,
    or 2 LISTs more.
    """
    shown = name.removeprefix(prefix) if name != prefix.rstrip("/") else name
    try:
        version = open_database(engine, name).version()
    except (AccessDeniedError, CorruptError, NotFoundError) as error:
        return {"name": shown, "error": str(error), "exit": exit_of(error)}
    if not version.snapshot.manifest.commits:
        return None
    return {"name": shown, **_told(version)}


def _told(version: Version) -> dict[str, Any]:
    manifest = version.origin.manifest
    head = version.origin.head
    time_ms = head.time_ms if head else 0
    return {
        "layout": "1" if head else "0.0.x",
        "size": manifest.size,
        "version": manifest.version,
        "last_commit": iso_time(time_ms),
        "last_commit_ms": time_ms,
    }

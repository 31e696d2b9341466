"""``info``: what is known of a database without reading it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from sqlite_s3vfs.cli.moments import retention_text
from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import (
    bytes_text,
    counted,
    iso_time,
    print_facts,
    print_json,
    time_text,
)
from sqlite_s3vfs.cli.places import existing, opened_database
from sqlite_s3vfs.database import Version
from sqlite_s3vfs.format.ancestor import is_block_name
from sqlite_s3vfs.format.geometry import unit_count
from sqlite_s3vfs.wiring import Database


@click.command("info")
@database_argument
@click.option("--objects", is_flag=True, help="Count what is stored, too: 1 request per 1 000 objects.")
@command_options()
def info_command(asked: Asked, database: str, *, objects: bool) -> None:
    """Tell what DATABASE is: size, version, last commit, settings. 1 request."""
    with opened_database(asked, database) as opened:
        version = existing(opened, database)
        told = {"url": database, **described(version)}
        if version.origin.head is None:
            told |= _of_old_layout(opened)
        if objects:
            told["objects"] = _objects(opened)
    if asked.as_json:
        print_json(told)
    else:
        print_facts(_lines(told))


def described(version: Version) -> dict[str, Any]:
    """The facts, as JSON has them."""
    manifest, head = version.origin.manifest, version.origin.head
    newest = manifest.commits[-1]
    return {
        "layout": "1" if head else "0.0.x",
        "database_id": manifest.database_id.hex(),
        "version": manifest.version,
        "commit_id": manifest.commit_id.hex(),
        "last_commit": iso_time(head.time_ms if head else 0),
        "last_commit_ms": head.time_ms if head else 0,
        "writer": newest.writer,
        "size": manifest.size,
        "page_size": manifest.page_size,
        "pages": unit_count(manifest.size, manifest.page_size) if manifest.page_size else 0,
        "block_size": manifest.block_size,
        "blocks": manifest.block_count,
        "tail_pages": len(manifest.tail),
        "retention_seconds": manifest.retention_seconds,
        "oldest_readable": manifest.oldest_readable,
        "checkpoints": [{"name": pin.name, "version": pin.version} for pin in manifest.pins if pin.name],
        "forks": [
            {"prefix": pin.child_prefix, "version": pin.version}
            for pin in manifest.pins
            if pin.child_prefix
        ],
        "forked_from": [{"prefix": row.prefix, "version": row.version} for row in manifest.owners],
    }


def _of_old_layout(database: Database) -> dict[str, Any]:
    """What sqlite-s3vfs 0.0.x left of what it did not note: when it wrote. 1 LIST per 1 000 blocks.

    An id and a retention are given by the first commit; until then there is nothing to tell.
    """
    own = f"{database.prefix}/"
    blocks = (row for row in database.engine.store.list(own) if is_block_name(row.key.removeprefix(own)))
    written_ms = max((int(row.last_modified * 1000) for row in blocks), default=0)
    return {
        "last_write": iso_time(written_ms), "last_write_ms": written_ms,
        "database_id": None, "retention_seconds": None,
    }


def _objects(database: Database) -> dict[str, dict[str, int]]:
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    own = f"{database.prefix}/"
    for row in database.engine.store.list(own):
        folder, slash, _ = row.key.removeprefix(own).rpartition("/")
        kind = folder if slash else "manifest" if row.key == database.keys.manifest else "others"
        kind = kind if kind in ("manifest", "segments", "maps", "history", "lease") else "others"
        count[kind] += 1
        size[kind] += row.size
    return {kind: {"count": count[kind], "bytes": size[kind]} for kind in sorted(count)}


def _lines(told: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("database", told["url"]),
        *(_newest(told) if told["layout"] == "1" else _newest_of_old_layout(told)),
        ("size", f"{bytes_text(told['size'])}, {counted(told['pages'], 'page')} of "
                 f"{told['page_size']} bytes"),
        ("stored in", f"{counted(told['blocks'], 'block')} of {told['block_size']} bytes, and "
                      f"{counted(told['tail_pages'], 'page')} in the manifest"),
        *(_kept(told) if told["layout"] == "1" else []),
    ]
    lines += [("checkpoint", f"{row['name']}: version {row['version']}") for row in told["checkpoints"]]
    lines += [("fork", f"{row['prefix']} of version {row['version']}") for row in told["forks"]]
    lines += [("forked from", f"{r['prefix']} at version {r['version']}") for r in told["forked_from"]]
    lines += [
        (kind, f"{counted(row['count'], 'object')}, {bytes_text(row['bytes'])}")
        for kind, row in told.get("objects", {}).items()
    ]
    return lines


def _newest(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("layout", told["layout"]),
        ("version", f"{told['version']}, commit {told['commit_id']}"),
        ("last commit", f"{time_text(told['last_commit_ms'])} UTC by {told['writer']}"),
    ]


def _newest_of_old_layout(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("layout", "that of sqlite-s3vfs 0.0.x, which keeps no past: see `upgrade`"),
        ("last write", f"{time_text(told['last_write_ms'])} UTC"),
    ]


def _kept(told: dict[str, Any]) -> list[tuple[str, str]]:
    kept = retention_text(told["retention_seconds"])
    return [
        ("retention", f"{kept}, oldest version that can be read: {told['oldest_readable']}"),
        ("database id", told["database_id"]),
    ]

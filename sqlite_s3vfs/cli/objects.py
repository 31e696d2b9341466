"""``show``: one stored object, decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from sqlite_s3vfs.cli.options import Asked, command_options, database_argument
from sqlite_s3vfs.cli.output import plain, print_json
from sqlite_s3vfs.cli.places import opened_database
from sqlite_s3vfs.errors import CorruptError, InvalidArgumentError, NotFoundError, unreadable
from sqlite_s3vfs.format.envelope import ObjectKind, unseal
from sqlite_s3vfs.format.fields import unpack_map
from sqlite_s3vfs.format.history import decode_history
from sqlite_s3vfs.format.keys import ObjectName, parse_object_name
from sqlite_s3vfs.format.manifestcodec import decode_manifest
from sqlite_s3vfs.format.mapcodec import decode_node, decode_piece
from sqlite_s3vfs.format.segment import decode_directory, decode_frame
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.wiring import Database

_SHOWN_MAX = 64
"""Characters of one value that are shown to people."""

Decode = Callable[[bytes, ObjectName], dict[str, Any]]


@click.command("show")
@database_argument
@click.argument("object_name", metavar="[OBJECT]", default="manifest")
@command_options()
def show_command(asked: Asked, database: str, object_name: str) -> None:
    """Decode one object of DATABASE: its manifest, or segments/NAME, maps/NAME, history/NAME.

    Checksums and identity are checked. Bytes are in hex. 1 request.
    """
    with opened_database(asked, database) as opened:
        told = _decoded(opened, object_name)
    if asked.as_json:
        print_json(told)
    else:
        for line in _lines(told):
            click.echo(line)


def _decoded(database: Database, name: str) -> dict[str, Any]:
    folder, _, last = name.rpartition("/")
    decode, parsed = _DECODERS.get(folder), parse_object_name(last)
    if name != "manifest" and (decode is None or parsed is None):
        raise InvalidArgumentError(
            "objects are named manifest, segments/NAME, maps/NAME or history/NAME, below the database. "
            f"object={name!r}"
        )
    key = f"{database.prefix}/{name}"
    found = database.engine.store.get(key)
    if not isinstance(found, Fetched):
        raise NotFoundError(f"there is no such object: `info --objects` counts them. key={key!r}")
    try:
        told = decode(found.body, parsed) if decode and parsed else _manifest(found.body)
    except CorruptError as error:
        raise unreadable("the object", key, error) from error
    return {"key": key, "bytes": len(found.body), "etag": found.etag, **told}


def _manifest(data: bytes) -> dict[str, Any]:
    told = plain(decode_manifest(data))
    return {"kind": "manifest", "nonce": unseal(data, ObjectKind.MANIFEST).object_id.hex(), **told}


def _segment(data: bytes, name: ObjectName) -> dict[str, Any]:
    database_id, found, rows = decode_directory(data)
    if found != name:
        raise CorruptError(f"another object lies where this one should. found={found}")
    for row in rows:
        placed = row.placed
        decode_frame(data[placed.offset : placed.offset + placed.length], name.random, placed.block)
    blocks = [{**row.placed._asdict(), "content_hash": row.content_hash.hex()} for row in rows]
    head = {"database_id": database_id.hex(), "version": found.version}
    return {"kind": "segment", **head, "blocks": blocks}


def _map_object(data: bytes, name: ObjectName) -> dict[str, Any]:
    envelope = unseal(data, ObjectKind.MAP_PIECE)
    head = {"database_id": envelope.database_id.hex(), "version": name.version}
    if "pieces" in unpack_map(envelope.payload, "map object"):
        refs = decode_node(data, envelope.database_id, name)
        return {"kind": "map node", **head, "pieces": plain(refs)}
    return {"kind": "map piece", **head, **plain(decode_piece(data, envelope.database_id, name))}


def _history(data: bytes, name: ObjectName) -> dict[str, Any]:
    envelope = unseal(data, ObjectKind.HISTORY)
    return {"kind": "history", **plain(decode_history(data, envelope.database_id, name))}


_DECODERS: Mapping[str, Decode] = {"segments": _segment, "maps": _map_object, "history": _history}


def _lines(value: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Nested names and values; a row of a list, or of a table, is one line."""
    width = max(map(len, value), default=0)
    for name, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            yield f"{indent}{name}:"
            yield from (f"{indent}  {_text(row)}" for row in item)
        elif isinstance(item, dict) and item and all(isinstance(row, dict) for row in item.values()):
            yield f"{indent}{name}:"
            yield from _lines(item, f"{indent}  ")
        else:
            yield f"{indent}{name:<{width}}  {_text(item)}".rstrip()


def _text(item: object) -> str:
    """One line; of long bytes only the first ones (``--json`` has them all)."""
    if isinstance(item, dict):
        return "  ".join(f"{name}={_text(inner)}" for name, inner in item.items())
    if isinstance(item, list):
        return ", ".join(map(_text, item))
    text = str(item)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(text) // 2} bytes)"

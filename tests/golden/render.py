"""A bucket as text: the worked example of docs/format.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgpack
import zstandard

HEADER = 64
FRAME_HEADER = 32
WIDTH = 100
CODECS = {0: "stored", 1: "zstd"}


def rendered(objects: Mapping[str, bytes], file: bytes) -> str:
    """The file, then each object: all bytes, then what they say."""
    parts = [f"The file, {len(file)} bytes:\n", fenced(hexdump(file))]
    for key, data in sorted(objects.items(), key=lambda row: order(row[0])):
        parts += [f"\n`{key}`, {len(data)} bytes:\n", fenced(hexdump(data)), "", fenced(told(data))]
    return "\n".join(parts) + "\n"


def order(key: str) -> tuple[bool, str]:
    return (not key.endswith("/manifest"), key)


def fenced(lines: Iterable[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def hexdump(data: bytes) -> Iterator[str]:
    """As ``hexdump -C`` prints it: a star stands for lines like the one before."""
    before, starred = b"", False
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        if row == before:
            if not starred:
                yield "*"
            starred = True
            continue
        before, starred = row, False
        octets = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        shown = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        yield f"{offset:08x}  {octets:<48}  |{shown}|"
    yield f"{len(data):08x}"


def told(data: bytes) -> Iterator[str]:
    """The envelope and the payload of an object, and a segment's frames."""
    kind, codec = data[10:11], CODECS[data[11]]
    end = HEADER + int.from_bytes(data[16:24], "little")
    yield f"kind {kind.decode()}, format {data[8]}, payload {codec}, bytes {HEADER} to {end}"
    yield f"database id {data[24:40].hex()}"
    yield f"object id   {data[40:48].hex()}"
    stored = data[HEADER:end]
    payload = msgpack.unpackb(zstandard.decompress(stored) if codec == "zstd" else stored)
    if kind == b"H":
        yield "manifest:"
        payload = msgpack.unpackb(payload["manifest"])
    yield from fields_of(payload)
    offset = end
    for block, length, size, _ in payload["blocks"] if kind == b"S" else ():
        content = f"content {CODECS[data[offset + 2]]}, {length - FRAME_HEADER} bytes of {size}"
        yield f"frame of block {block}: bytes {offset} to {offset + length}, {content}"
        offset += length


def fields_of(payload: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, payload))
    for name, value in payload.items():
        first, *more = wrapped(diagnostic(value), WIDTH - width - 2)
        yield f"{name:<{width}}  {first}"
        yield from (" " * (width + 2) + line for line in more)


def diagnostic(value: object) -> str:
    """A payload's value as text; bytes are in hex, as in ``h'00ff'``."""
    match value:
        case bytes():
            return f"h'{value.hex()}'"
        case str():
            return f'"{value}"'
        case list():
            return "[" + ", ".join(map(diagnostic, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {diagnostic(item)}" for key, item in value.items()) + "}"
        case None:
            return "nil"
    return str(value)


def wrapped(text: str, width: int) -> Iterator[str]:
    while len(text) > width:
        cut = text.rfind(" ", 0, width) + 1 or width
        yield text[:cut].rstrip()
        text = text[cut:]
    yield text

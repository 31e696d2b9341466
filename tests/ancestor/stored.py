"""A database of the ancestor as it lies in a bucket, put together by the pure reading of the layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from sqlite_s3vfs.format.ancestor import (
    AncestorFile,
    AncestorLayout,
    assemble_journal,
    describe_file,
    read_layout,
)
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.format.rollback_journal import JournalPlayback, played_back
from tests.ancestor.environment import Ancestor, AncestorDiedError

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

ROWS_OF_TEXT = "INSERT INTO t VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the objects of a prefix say, and the file that they hold."""

    layout: AncestorLayout
    playback: JournalPlayback | None
    file: AncestorFile
    content: bytes

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Ask the file, as plain SQLite sees it."""
        connection = apsw.Connection(":memory:")
        connection.deserialize("main", self.content)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()


def listed(bucket: Bucket, prefix: str) -> list[tuple[str, int, str]]:
    """Key, size and ETag of the objects of a database and of its journal."""
    return [
        (found.key, found.size, found.e_tag)
        for parent in (f"{prefix}/", DatabaseKeys(prefix).ancestor_journal_prefix)
        for found in bucket.objects.filter(Prefix=parent)
    ]


def stored(bucket: Bucket, prefix: str) -> Stored:
    """Read a database of the ancestor, journal and all."""

    def body(key: str) -> bytes:
        return bucket.Object(key).get()["Body"].read()

    layout = read_layout(prefix, listed(bucket, prefix))
    assert layout is not None
    keys = DatabaseKeys(prefix)
    first_bytes = b"".join(body(keys.ancestor_block(b.index)) for b in layout.header_blocks)
    indexes = (block.index for block in layout.journal)
    journal = assemble_journal(
        {index: body(key) for index, key in zip(indexes, layout.journal_keys, strict=True)}
    )
    playback = played_back(journal, page_size=4096)
    file = describe_file(layout, first_bytes, playback=playback)
    content = bytearray(file.size)
    for block in file.blocks:
        start = block.index * file.block_size
        content[start : start + block.size] = body(keys.ancestor_block(block.index))[: block.size]
    for number, page in (playback.pages if playback is not None else {}).items():
        content[(number - 1) * len(page) : number * len(page)] = page
    return Stored(layout, playback, file, bytes(content[: file.size]))


def create(ancestor: Ancestor, key: str, *, block_size: int, page_size: int, rows: int) -> None:
    """Have the ancestor write a table of ``rows`` rows, and an index; the connection stays open.

    In one transaction with its journal in memory: the ancestor asks for an object at a time.
    """
    ancestor.ask("open", key=key, block_size=block_size)
    ancestor.run(
        key,
        f"PRAGMA page_size={page_size}",
        "PRAGMA journal_mode=MEMORY",
        "BEGIN",
        "CREATE TABLE t(n INTEGER PRIMARY KEY, text)",
        "CREATE INDEX by_text ON t(text)",
    )
    ancestor.ask("insert", key=key, statement=ROWS_OF_TEXT, first=1, count=rows, text_size=100)
    ancestor.run(key, "COMMIT", "PRAGMA journal_mode=DELETE")


def serialized(ancestor: Ancestor, key: str, block_size: int, folder: Path) -> bytes:
    """What the ancestor's ``serialize_iter`` yields."""
    path = folder / "serialized"
    ancestor.ask("serialize", key=key, block_size=block_size, path=str(path))
    return path.read_bytes()


def die_in(ancestor: Ancestor, key: str, *statements: str) -> None:
    """Have the process die after these statements, a transaction left open."""
    ancestor.run(key, *statements)
    try:
        ancestor.ask("die")
    except AncestorDiedError:
        return
    raise AssertionError("the process is alive")

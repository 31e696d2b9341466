"""Whole buckets of format 1 open for ever, and the document shows one of them byte for byte."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import zstandard
from unit.independent import Stored

from golden import buckets
from golden.example import PREFIX
from golden.render import rendered
from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.pool import InlinePool
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.testing import ManualClock, SeededIds
from sqlite_s3vfs.transfer import serialize_iter

ZSTD_OF_THE_FILES = (1, 5, 7)
NAMES = pytest.mark.parametrize("name", buckets.MAKERS)
Bucket = dict[str, object]


def objects_of(bucket: Bucket) -> dict[str, bytes]:
    objects = bucket["objects"]
    assert isinstance(objects, dict)
    return {key: bytes.fromhex(data) for key, data in objects.items()}


def files_of(bucket: Bucket) -> list[bytes]:
    files = bucket["files"]
    assert isinstance(files, list)
    return [bytes.fromhex(data) for data in files]


def test_every_file_is_read_by_a_test():
    assert {path.stem for path in buckets.FILES.iterdir()} == set(buckets.MAKERS)


@NAMES
def test_a_bucket_of_then_opens_today(name: str):
    store = MemoryObjectStore(clock=ManualClock(), ids=SeededIds("store"))
    for key, data in objects_of(buckets.kept(name)).items():
        store.put(key, data)
    engine = Engine(store, Settings(), pool=InlinePool(), clock=ManualClock(), ids=SeededIds(1))

    assert b"".join(serialize_iter(Database(engine, PREFIX))) == files_of(buckets.kept(name))[-1]


@pytest.mark.parametrize("bucket_of", [buckets.kept, buckets.made], ids=["then", "today"])
@NAMES
def test_the_document_is_enough_to_read_every_version(name: str, bucket_of: Callable[[str], Bucket]):
    """By a reader that was written from it and uses nothing of the library."""
    bucket = bucket_of(name)
    database = Stored(objects_of(bucket), PREFIX)

    for version, file in enumerate(files_of(bucket), 1):
        assert database.serving(version).file(version) == file


@pytest.mark.skipif(
    zstandard.ZSTD_VERSION != ZSTD_OF_THE_FILES, reason="another zstd compresses to other bytes"
)
@NAMES
def test_the_engine_writes_the_same_bytes_today(name: str):
    assert buckets.made(name) == buckets.kept(name), "if it is meant: python -m tests.golden.buckets"


def worked_example() -> str:
    text = buckets.DOCUMENT.read_text()
    assert text.count(buckets.BEGIN) == text.count(buckets.END) == 1
    return text.partition(buckets.BEGIN)[2].partition(buckets.END)[0]


DUMP = re.compile(r"^(The file|`[^`]+`), (\d+) bytes:\n\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^([0-9a-f]{8})(?:  ([0-9a-f ]{1,48}))?(?:  \|.*\|)?$")


def shown() -> dict[str, bytes]:
    """The bytes that the document shows, by key, or under "The file"."""
    found = {}
    for heading, size, dump in DUMP.findall(worked_example()):
        found[heading.strip("`")] = data = undumped(dump.split("\n"))
        assert len(data) == int(size)
    return found


def undumped(lines: list[str]) -> bytes:
    data, row, starred = bytearray(), b"", False
    for line in lines:
        if line == "*":
            starred = True
            continue
        match = LINE.match(line)
        assert match, line
        while starred and len(data) < int(match[1], 16):
            data += row
        starred = False
        assert len(data) == int(match[1], 16), line
        row = bytes.fromhex(match[2] or "")
        data += row
    return bytes(data)


def test_the_bytes_in_the_document_are_those_of_the_example():
    objects = shown()
    file = objects.pop("The file")

    assert objects == objects_of(buckets.kept("example"))
    assert file == files_of(buckets.kept("example"))[-1]


def test_the_words_beside_the_bytes_are_what_they_say():
    objects = shown()
    file = objects.pop("The file")

    assert worked_example() == f"\n{rendered(objects, file)}\n"

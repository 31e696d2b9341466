"""docs/format.md says of fields, roles and numbers what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgpack
import pytest

from sqlite_s3vfs.format import blockmap, envelope, keys, segment
from sqlite_s3vfs.format.keys import ObjectName, Role
from sqlite_s3vfs.format.manifest import HISTORY_NAMES, RECENT_COMMITS, Commit, Manifest, State
from sqlite_s3vfs.format.manifestcodec import KNOWN_FEATURES, payload_of_manifest
from sqlite_s3vfs.format.mapcodec import encode_locators
from sqlite_s3vfs.format.tail import Encoding
from sqlite_s3vfs.planning import commit, interior, mapfold
from sqlite_s3vfs.settings import BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, RETENTION_SECONDS_MIN, WRITER_SIZE_MAX
from sqlite_s3vfs.uploads import FLOOR_MARGIN_MS

TEXT = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
SECTIONS = dict(re.findall(r"^## (\d+)\. .+?\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))


def table(section: str, column: str) -> list[str]:
    """The first cells of the section's table whose header begins with ``column``."""
    found = re.search(rf"^\| {column} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", SECTIONS[section], re.M)
    assert found, f"section {section} has no table of {column}"
    return [row.split("|")[1].strip() for row in found[1].splitlines()]


def number(text: str) -> str:
    return f"{int(text):,}".replace(",", " ")


def test_the_manifest_has_the_keys_of_the_table():
    row = Commit(1, bytes(8), 0, "", 0, 0)
    manifest = Manifest(bytes(16), 0, 0, 1, 60, 1, (row,))
    named = [key for cell in table("3", "key") for key in re.findall(r"`(\w+)`", cell)]

    assert sorted(named) == sorted(msgpack.unpackb(payload_of_manifest(manifest)))


def test_a_table_of_locators_has_its_columns():
    row = blockmap.Locator(blockmap.AncestorSource('""'), 0, 0, 1)

    assert table("4", "array") == ["block", *row._fields]
    assert set(encode_locators({0: row})) == {"count", "columns", "sources"}


def test_roles_encodings_kinds_and_states_are_listed():
    roles = [int(role) for cell in table("3", "role") for role in cell.split(", ")]

    assert roles == sorted(Role)
    assert [int(cell) for cell in table("6", "encoding")] == sorted(Encoding)
    for kind in envelope.ObjectKind:
        assert f"`{kind.value.decode()}`" in SECTIONS["2"]
    for state in State:
        assert f'"{state.value}"' in SECTIONS["3"]
    assert not KNOWN_FEATURES
    assert "This release knows none." in SECTIONS["13"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("1", f"and {len(f'/segments/{ObjectName(0, bytes(8))}')} bytes more MUST fit 1 024 bytes"),
        ("2", "`89 53 33 56 46 53 0D 0A`"),
        ("2", f"begins with {envelope.HEADER_SIZE} bytes"),
        ("3", f"{BLOCK_SIZE_MIN} to 2^{BLOCK_SIZE_MAX.bit_length() - 1} for new databases"),
        ("3", f"at least {RETENTION_SECONDS_MIN};"),
        ("3", f"at most {WRITER_SIZE_MAX}\nbytes"),
        ("3", f"SHOULD be the last {RECENT_COMMITS} at least"),
        ("4", f"`{{piece_span: {blockmap.PIECE_SPAN}, node_span: {blockmap.NODE_SPAN}, recent,"),
        ("7", f"up to {interior.INTERIOR_MAX >> 10} KiB"),
        ("8", f"| {segment.FRAME_HEADER_SIZE} | | the stored content |"),
        ("9", f"the newest {HISTORY_NAMES} (or fewer)"),
        ("11", f"`floor` + {number(FLOOR_MARGIN_MS)}"),
        ("12", f"tail to {commit.TAIL_HARD_MAX >> 10} KiB"),
        ("12", f"part of it to {commit.TAIL_COMMIT_MAX >> 10} KiB"),
        ("12", f"`recent` to {number(mapfold.RECENT_MAX)} blocks"),
        ("12", f"`pieces` to {mapfold.PIECES_MAX} rows and `dead` to {number(mapfold.DEAD_MAX)}"),
    ],
)
def test_numbers_are_those_of_the_code(section: str, words: str):
    assert words in SECTIONS[section]


def test_magic_and_names():
    assert envelope.MAGIC.hex(" ").upper() == "89 53 33 56 46 53 0D 0A"
    assert keys.KEY_SIZE_MAX == 1024
    assert "`[0-9]{20}-[0-9a-f]{16}`" in SECTIONS["1"]
    for element in keys.RESERVED_ELEMENTS:
        assert f"`{element}`" in SECTIONS["1"]

"""Objects that were written once are read for ever; see ``generate`` for how they were made."""

from __future__ import annotations

import json

import pytest

from golden.generate import FILES, GOLDEN, plain
from sqlite_s3vfs.errors import CorruptError

NAMES = pytest.mark.parametrize("name", GOLDEN)


def stored(name: str) -> bytes:
    return (FILES / f"{name}.bin").read_bytes()


def meaning(name: str) -> object:
    return json.loads((FILES / f"{name}.json").read_text(encoding="utf-8"))


def test_every_file_is_read_by_a_test():
    kept = {path.name for path in FILES.iterdir()}

    assert kept == {f"{name}.{kind}" for name in GOLDEN for kind in ("bin", "json")}


@NAMES
def test_the_stored_bytes_mean_what_they_always_meant(name: str):
    assert plain(GOLDEN[name].decode(stored(name))) == meaning(name)


@NAMES
def test_what_is_encoded_today_means_the_same(name: str):
    golden = GOLDEN[name]
    read = golden.decode(stored(name))

    assert plain(golden.decode(golden.encode(read))) == meaning(name)
    assert plain(golden.decode(golden.encode(golden.value))) == meaning(name)


@NAMES
def test_no_damaged_byte_passes(name: str):
    whole = stored(name)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        try:
            GOLDEN[name].decode(bytes(damaged))
        except CorruptError:
            continue
        pytest.fail(f"a damaged byte passed. position={position}")


@NAMES
def test_no_part_passes(name: str):
    whole = stored(name)
    for size in range(len(whole)):
        with pytest.raises(CorruptError):
            GOLDEN[name].decode(whole[:size])

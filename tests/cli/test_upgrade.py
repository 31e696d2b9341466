"""``upgrade``, of what sqlite-s3vfs 0.0.x left and of databases with small blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Command, both
from sqlite_s3vfs.cli.output import time_text
from sqlite_s3vfs.format.keys import DatabaseKeys
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.access import Access
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.transfer import deserialize_iter, serialize
from sqlite_s3vfs.wiring import Engine, open_database, store_from_url

OLD_BLOCK = 4096


@pytest.fixture
def old(folder: str, plain_file: Path) -> str:
    """The plain file as the objects of sqlite-s3vfs 0.0.x."""
    url = f"{folder}/old.sqlite"
    store, prefix = store_from_url(url, Access())
    content = plain_file.read_bytes()
    for index in range(len(content) // OLD_BLOCK):
        block = content[index * OLD_BLOCK : (index + 1) * OLD_BLOCK]
        store.put(DatabaseKeys(prefix).ancestor_block(index), block)
    return url


def kept(store: ObjectStore, prefix: str) -> list[tuple[str, str]]:
    return [(row.key, row.etag) for row in store.list(f"{prefix}/")]


@both
def test_a_database_of_the_old_release(
    cli: Command, old: str, folder: str, plain_file: Path, tmp_path: Path
):
    before = kept(*store_from_url(old, Access()))
    assert cli("info", "--json", old).json["layout"] == "0.0.x"
    assert cli("ls", "--json", folder).json[0]["layout"] == "0.0.x"

    told = cli("upgrade", "--json", old, f"{folder}/new.sqlite").json

    assert (told["old_block_size"], told["block_size"]) == (OLD_BLOCK, 65536)
    assert cli("info", "--json", f"{folder}/new.sqlite").json["block_size"] == 65536
    assert cli("export", f"{folder}/new.sqlite", tmp_path / "out").code == 0
    assert (tmp_path / "out").read_bytes() == plain_file.read_bytes()
    assert kept(*store_from_url(old, Access())) == before


@both
def test_info_tells_what_is_known_of_a_database_of_the_old_release(cli: Command, old: str):
    """It noted no time, no id and no retention; when its objects were written the store knows."""
    store, prefix = store_from_url(old, Access())
    written_ms = max(int(row.last_modified * 1000) for row in store.list(f"{prefix}/"))
    store.put(f"{prefix}/below/manifest", b"of another database")

    told, text = cli("info", "--json", old).json, cli("info", old).out

    assert (told["last_commit"], told["last_write_ms"]) == (None, written_ms)
    assert told["last_write"].endswith("Z")
    assert (told["database_id"], told["retention_seconds"]) == (None, None)
    assert f"last write  {time_text(written_ms)} UTC\n" in text
    for unknown in ("?", "None", "last commit", "retention", "database id"):
        assert unknown not in text


def test_a_database_with_small_blocks(cli: Command, folder: str, plain_file: Path):
    store, prefix = store_from_url(f"{folder}/small.sqlite", Access())
    engine = Engine(store, Settings(block_size=8192))
    deserialize_iter(open_database(engine, prefix), [plain_file.read_bytes()])
    engine.close()

    ended = cli("upgrade", f"{folder}/small.sqlite", f"{folder}/new.sqlite")

    assert ended.out.endswith(f"in blocks of 65536 bytes ({folder}/small.sqlite: 8192)\n")


def test_where_there_is_nothing_to_do(cli: Command, library: str, old: str, folder: str):
    refused = cli("upgrade", library, f"{folder}/new.sqlite")
    occupied = cli("upgrade", old, library)

    assert (refused.code, "nothing to do" in refused.err) == (2, True)
    assert (occupied.code, "where nothing is yet" in occupied.err) == (2, True)


def test_a_writer_meanwhile_is_noticed(
    cli: Command, old: str, folder: str, monkeypatch: pytest.MonkeyPatch
):
    """Of the old release: one of its objects is another one at the end of the copy."""
    parts = serialize._part_ranges

    def interfered(snapshot: object, first: int):
        yield from parts(snapshot, first)
        store, prefix = store_from_url(old, Access())
        store.put(DatabaseKeys(prefix).ancestor_block(7), bytes(OLD_BLOCK))

    monkeypatch.setattr(serialize, "_part_ranges", interfered)

    ended = cli("upgrade", old, f"{folder}/new.sqlite")

    assert ended.code in (6, 7)         # 7 where it is noticed by a block's ETag already
    assert cli("info", f"{folder}/new.sqlite").code == 3

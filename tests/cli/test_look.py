"""``ls``, ``info`` and ``show``."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from cli.conftest import Command, Ended, both
from sqlite_s3vfs import S3VFS, DirectoryObjectStore
from sqlite_s3vfs.cli.listing import _databases
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.metrics import Metrics
from sqlite_s3vfs.store.measured import MeasuredStore
from sqlite_s3vfs.store.memory import MemoryObjectStore


@both
def test_ls_names_databases_and_what_they_are(cli: Command, folder: str, library: str):
    assert cli("query", "--create", f"{folder}/deep/er/small.sqlite", "CREATE TABLE t (v)").code == 0

    listed = cli("ls", folder)

    assert listed.code == 0
    heading, deep, top = listed.out.splitlines()
    assert heading.split() == ["SIZE", "VERSION", "LAST", "COMMIT", "(UTC)", "NAME"]
    assert deep.split()[:3] == ["8.0", "KiB", "1"]
    assert deep.endswith("  deep/er/small.sqlite")
    assert top.endswith("  library.sqlite")


def test_ls_as_json(cli: Command, folder: str, library: str, plain_file: Path):
    (row,) = cli("ls", "--json", folder).json

    assert row["name"] == "library.sqlite"
    assert row["size"] == plain_file.stat().st_size
    assert (row["layout"], row["version"]) == ("1", 1)
    assert row["last_commit"].endswith("Z")


@both
def test_ls_of_a_database_lists_it_and_those_below(cli: Command, folder: str, library: str):
    cli("query", "--create", f"{library}/below", "CREATE TABLE t (v)")

    names = [row["name"] for row in cli("ls", "--json", library).json]

    assert [name.rpartition("/")[2] for name in names] in (["below"], ["below", "library.sqlite"])


def test_ls_where_nothing_is(cli: Command, folder: str):
    assert cli("ls", "--json", folder) == Ended(0, "[]\n", "")


def test_ls_names_a_damaged_database_beside_what_is_whole(
    cli: Command, folder: str, library: str, tmp_path: Path
):
    DirectoryObjectStore(tmp_path / "bucket").put("broken/manifest", b"no manifest")

    as_json, listed = cli("ls", "--json", folder), cli("ls", folder)

    damaged, whole = as_json.json
    assert (damaged["name"], damaged["exit"], whole["name"]) == ("broken", 7, "library.sqlite")
    assert "the manifest cannot be read" in damaged["error"]
    assert (as_json.code, listed.code) == (1, 1)
    _, damaged, whole = listed.out.splitlines()
    assert damaged.endswith(f"  broken: {as_json.json[0]['error']}")
    assert whole.split()[-1] == "library.sqlite"


def test_ls_names_a_fork_that_was_cut_off_beside_what_is_whole(
    cli: Command, folder: str, library: str, monkeypatch: pytest.MonkeyPatch
):
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sqlite_s3vfs.past.forking._activate", die)
        patch.setattr("sqlite_s3vfs.past.forking._tidy_up", lambda *arguments: None)
        assert cli("fork", library, f"{folder}/child").code == 130

    listed = cli("ls", "--json", folder)

    cut_off, whole = listed.json
    assert listed.code == 0                             # nothing is wrong with it
    assert cut_off["name"] == "child"
    assert "a fork is being made" in cut_off["error"]
    assert (whole["name"], whole["version"]) == ("library.sqlite", 1)


def test_ls_names_a_database_that_is_called_a_journal(cli: Command, folder: str, tmp_path: Path):
    """Only beside blocks of the old layout the name is that of a journal."""
    assert cli("query", "--create", f"{folder}/my-journal", "CREATE TABLE t (v)").code == 0
    DirectoryObjectStore(tmp_path / "bucket").put("old-journal/0000000000", bytes(512))

    assert [row["name"] for row in cli("ls", "--json", folder).json] == ["my-journal"]


def test_a_listing_passes_over_the_objects_of_a_large_database():
    store = MeasuredStore(MemoryObjectStore(), metrics := Metrics())
    for number in range(5000):
        store.put(f"large/segments/{ObjectName(number, b'12345678')}", b"")
    for key in ("large/manifest", "small/manifest", "small/manifest/segments/x", "small/history/note"):
        store.put(key, b"")

    assert list(_databases(store, "")) == ["large", "small"]
    assert metrics.snapshot().list.requests <= 4


@both
def test_info_tells_what_a_database_is(cli: Command, library: str, plain_file: Path):
    told = cli("info", "--objects", "--json", library).json

    size = plain_file.stat().st_size
    assert (told["url"], told["version"], told["size"]) == (library, 1, size)
    assert told["pages"] * told["page_size"] == size
    assert told["objects"]["manifest"]["count"] == 1
    assert told["objects"]["segments"]["bytes"] > 0
    text = cli("info", "--objects", library).out
    assert f"version      1, commit {told['commit_id']}" in text
    assert "retention    1 h" in text


def test_info_tells_that_all_is_kept(cli: Command, library: str):
    assert cli("retention", library, "forever").code == 0

    assert "retention    forever, oldest version that can be read: 1" in cli("info", library).out


def test_info_costs_one_request(library: str, cli: Command, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    get = MeasuredStore.get
    monkeypatch.setattr(MeasuredStore, "get", lambda *a, **k: asked.append(a[1]) or get(*a, **k))

    cli("info", library)

    assert [key.rpartition("/")[2] for key in asked] == ["manifest"]


def objects_of(cli: Command, url: str) -> list[str]:
    """One object of each kind, as `show` names them."""
    manifest = cli("show", "--json", url).json
    (segment, *_) = {row["source"]["name"] for row in manifest["blocks"]["recent"].values()}
    return ["manifest", f"segments/{segment}"]


@both
def test_show_decodes_a_manifest_and_a_segment(cli: Command, library: str):
    manifest_name, segment_name = objects_of(cli, library)

    manifest = cli("show", "--json", library, manifest_name).json
    segment = cli("show", "--json", library, segment_name).json

    assert (manifest["kind"], manifest["version"]) == ("manifest", 1)
    assert segment["database_id"] == manifest["database_id"]
    assert {row["block"] for row in segment["blocks"]} <= {int(n) for n in manifest["blocks"]["recent"]}
    text = cli("show", library, segment_name).out
    assert "kind         segment" in text
    assert f"content_hash={segment['blocks'][0]['content_hash']}" in text


def test_show_decodes_history(cli: Command, library: str, plain_file: Path):
    assert cli("import", "--yes", library, plain_file).code == 0
    (kept,) = cli("show", "--json", library).json["history"]

    told = cli("show", "--json", library, f"history/{kept['name']}").json

    assert (told["kind"], told["version"]) == ("history", 1)


def test_show_decodes_pieces_and_nodes_of_a_map(cli: Command):
    """As the objects of the golden bucket have them."""
    golden = Path(__file__).parents[1] / "golden" / "v1"
    from sqlite_s3vfs.cli.objects import _map_object
    from sqlite_s3vfs.format.envelope import ObjectKind, unseal
    from sqlite_s3vfs.format.fields import unpack_map

    for kind in ("piece", "node"):
        data = (golden / f"map-{kind}.bin").read_bytes()
        envelope = unseal(data, ObjectKind.MAP_PIECE)
        version = unpack_map(envelope.payload, "map")["version"]
        told = _map_object(data, ObjectName(version, envelope.object_id))
        assert told["kind"] == f"map {kind}"
        assert json.dumps(told)
        assert told["pieces" if kind == "node" else "locators"]


@pytest.mark.parametrize("name", ["segments", "nonsense", "history/1-2", "manifest/x"])
def test_show_refuses_what_is_no_object(cli: Command, library: str, name: str):
    ended = cli("show", library, name)

    assert ended.code == 2
    assert f"object={name!r}" in ended.err


def test_show_of_an_object_that_is_not_there(cli: Command, library: str):
    name = f"segments/{ObjectName(7, bytes(8))}"

    ended = cli("show", library, name)

    assert ended.code == 3
    assert name in ended.err


def test_show_names_a_damaged_object(cli: Command, folder: str, tmp_path: Path):
    store = DirectoryObjectStore(tmp_path / "bucket")
    vfs = S3VFS(store)
    apsw.Connection("db", vfs=vfs.name).execute("CREATE TABLE t (v)")
    vfs.close()
    found = store.get("db/manifest")
    store.put("db/manifest", found.body[:-1] + b"?")

    ended = cli("show", f"{folder}/db")

    assert ended.code == 7
    assert "key='db/manifest'" in ended.err

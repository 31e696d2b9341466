"""Names that cannot be databases, and names that only look so: by name, by URI and by ATTACH."""

from __future__ import annotations

from urllib.parse import quote

import apsw
import pytest

from errors.conftest import MakeVFS
from errors.expect import check_message, objects, refused, untouched
from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError
from sqlite_s3vfs.format.keys import KEY_SIZE_MAX
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

URI = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
SUFFIX_SIZE = len("/segments/") + 20 + 1 + 16

PLAIN_FORM = ("write it in its plain form", "name=")
RESERVED = ("choose another element", "name=")
TOO_LONG = (f"S3 keys end at {KEY_SIZE_MAX} bytes", "size=")
CONTROL = ("no control characters", "name=")

BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "parent": ("..", PLAIN_FORM),
    "parent before": ("../a", PLAIN_FORM),
    "parent between": ("a/../b", PLAIN_FORM),
    "parent after": ("a/..", PLAIN_FORM),
    "dot": (".", PLAIN_FORM),
    "dot between": ("a/./b", PLAIN_FORM),
    "slash": ("/", PLAIN_FORM),
    "slash before": ("/a", PLAIN_FORM),
    "slash after": ("a/", PLAIN_FORM),
    "two slashes": ("a//b", PLAIN_FORM),
    "only slashes": ("///", PLAIN_FORM),
    "manifest": ("manifest", RESERVED),
    "segments": ("a/segments", RESERVED),
    "maps": ("maps/a", RESERVED),
    "history": ("a/history/b", RESERVED),
    "lease": ("a/lease", RESERVED),
    "tab": ("a\tb", CONTROL),
    "line feed": ("a\n", CONTROL),
    "delete": ("\x7f", CONTROL),
    "too long": ("x" * (KEY_SIZE_MAX - SUFFIX_SIZE + 1), TOO_LONG),
    "too long in bytes": ("ü" * 489, TOO_LONG),
    "much too long": ("x" * 100_000, ()),
    "too deep": ("d/" * 511 + "d", TOO_LONG),
}
GOOD = {
    "question mark": "is this=one?no",
    "hash": "a#b",
    "percent": "100%/a%20b",
    "blank": " ",
    "three dots": "...",
    "dots in names": "a..b/.c",
    "backslash": "a\\b",
    "colon": "C:a",
    "star": "a*b|c<d>\"e'",
    "emoji": "😀/👩‍👩‍👧.db",
    "not normalised": "e\u0301",
    "normalised": "é",
    "no character of XML": "a\ufffeb",
    "like a journal": "a-journal",
    "like a block": "0000000000",
    "reserved in part": "manifests/history-of-segments",
    "reserved but for case": "Manifest",
    "longest": "x" * 255 + "/" + "y" * 255 + "/" + "z" * 255 + "/" + "w" * 209,
    "very deep": "/".join("d" * 200),
    "device of Windows": "con/nul.txt",
}


@pytest.fixture
def vfs(make_vfs: MakeVFS, any_store: ObjectStore) -> S3VFS:
    return make_vfs(any_store)


def by_name(vfs: S3VFS, name: str) -> apsw.Connection:
    return apsw.Connection(name, vfs=vfs.name)


def by_uri(vfs: S3VFS, name: str) -> apsw.Connection:
    return apsw.Connection(f"file:{quote(name, safe='/')}?vfs={vfs.name}", flags=URI)


def by_attach(vfs: S3VFS, name: str) -> apsw.Connection:
    connection = apsw.Connection(":memory:", vfs=vfs.name)
    connection.execute("ATTACH ? AS other", (name,))
    return connection


def by_attached_uri(vfs: S3VFS, name: str) -> apsw.Connection:
    connection = apsw.Connection(":memory:", flags=URI)
    connection.execute("ATTACH ? AS other", (f"file:{quote(name, safe='/')}?vfs={vfs.name}",))
    return connection


WAYS = {"name": by_name, "uri": by_uri, "attach": by_attach, "attached uri": by_attached_uri}


@pytest.mark.parametrize(("name", "words"), BAD.values(), ids=BAD)
def test_a_bad_name_is_refused_each_way_before_anything_is_asked(
    make_vfs: MakeVFS, any_store: ObjectStore, prefix: str, name: str, words: tuple[str, ...]
) -> None:
    """Also under the test's own prefix, where ``name`` would be deep in the bucket."""
    vfs = make_vfs(any_store)
    for way in WAYS.values():
        with refused(InvalidArgumentError, apsw.SQLITE_CANTOPEN, *words):
            way(vfs, name)
    for method in (vfs.serialize_iter, vfs.serialize_fileobj):
        with refused(InvalidArgumentError, None, *words):
            method(name)
    with refused(InvalidArgumentError, None, *words):
        vfs.deserialize_iter(name, [b"unused"])

    assert vfs.metrics().total.requests == 0


@pytest.mark.parametrize("name", GOOD.values(), ids=GOOD)
def test_a_good_name_is_one_database_each_way(
    vfs: S3VFS, any_store: ObjectStore, prefix: str, name: str
) -> None:
    """And what lies in the store lies under that very name."""
    if len(name) < 900:
        name = prefix + name
    connection = by_name(vfs, name)
    connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES (?)", (name,))

    for way in WAYS.values():
        assert way(vfs, name).execute("SELECT v FROM t").get == name
    assert len(b"".join(vfs.serialize_iter(name))) == 8192
    vfs.deserialize_iter(name, [b"".join(vfs.serialize_iter(name))])
    assert connection.filename == name
    assert connection.execute("SELECT v FROM t").get == name
    assert f"{name}/manifest" in objects(any_store, name)
    any_store.delete(list(objects(any_store, f"{name}/")))


def test_names_that_look_alike_are_different_databases(vfs: S3VFS, prefix: str) -> None:
    names = [f"{prefix}{name}" for name in ("é", "e\u0301", "É", "e", "e ", "e.", "e/e", "e-journal")]
    for name in names:
        by_name(vfs, name).execute("CREATE TABLE t (v); INSERT INTO t VALUES (?)", (name,))

    assert [by_name(vfs, name).execute("SELECT v FROM t").get for name in names] == names


@pytest.mark.parametrize("name", ["", "\udc80", "a/\ud800b"], ids=ascii)
def test_what_is_no_text_and_the_empty_name(
    vfs: S3VFS, any_store: ObjectStore, prefix: str, name: str
) -> None:
    """APSW refuses lone surrogates itself; the empty name is SQLite's private temporary database."""
    with untouched(any_store, prefix):
        if name:
            for way in WAYS.values():
                with pytest.raises(UnicodeEncodeError):
                    way(vfs, name)
        else:
            by_name(vfs, name).execute("CREATE TABLE t (v)")
        for method in (vfs.serialize_iter, vfs.serialize_fileobj):
            with pytest.raises(InvalidArgumentError) as caught:
                method(name)
            check_message(caught.value)
        with pytest.raises(InvalidArgumentError) as caught:
            vfs.deserialize_iter(name, [])
        check_message(caught.value)

    assert vfs.metrics().total.requests == 0


def test_a_uri_is_decoded_as_sqlite_decodes_it(vfs: S3VFS, prefix: str) -> None:
    """https://www.sqlite.org/uri.html"""
    name = f"{prefix}a?b#c d"
    by_name(vfs, name).execute("CREATE TABLE t (v)")

    encoded = f"file:{prefix}a%3Fb%23c%20d"
    found = apsw.Connection(f"{encoded}?vfs={vfs.name}&mode=ro#fragment", flags=URI)
    assert found.filename == name
    assert found.execute("SELECT count(*) FROM t").get == 0
    with refused(InvalidArgumentError, apsw.SQLITE_CANTOPEN, *PLAIN_FORM):
        apsw.Connection(f"file:///{prefix}db?vfs={vfs.name}", flags=URI)
    with refused(InvalidArgumentError, apsw.SQLITE_CANTOPEN, *PLAIN_FORM):
        apsw.Connection(f"file:{prefix}%2e%2e?vfs={vfs.name}", flags=URI)
    with pytest.raises(apsw.SQLError, match="authority"):
        apsw.Connection(f"file://bucket/{prefix}db?vfs={vfs.name}", flags=URI)


@pytest.mark.parametrize("name", ["s3://bucket/a", "https://a/b", "file:///a"])
def test_a_url_is_no_name_and_who_takes_urls_is_told(vfs: S3VFS, name: str) -> None:
    with refused(InvalidArgumentError, apsw.SQLITE_CANTOPEN, "sqlite_s3vfs.connect", f"name={name!r}"):
        by_name(vfs, name)


@pytest.mark.parametrize("parameters", ["mode=ro", "mode=rw"])
def test_a_missing_database_is_missing_without_create(
    vfs: S3VFS, any_store: ObjectStore, prefix: str, parameters: str
) -> None:
    uri = f"file:{prefix}missing?vfs={vfs.name}&{parameters}"
    with untouched(any_store, prefix):
        for _ in range(2):
            with refused(
                NotFoundError, apsw.SQLITE_CANTOPEN, "mode=rwc", f"name='{prefix}missing'"
            ):
                apsw.Connection(uri, flags=URI)
            memory = apsw.Connection(":memory:", flags=URI)
            with refused(NotFoundError, apsw.SQLITE_CANTOPEN, f"name='{prefix}missing'"):
                memory.execute("ATTACH ? AS b", (uri,))
    by_name(vfs, f"{prefix}missing").execute("CREATE TABLE t (v)")

    assert apsw.Connection(uri, flags=URI).execute("SELECT count(*) FROM t").get == 0

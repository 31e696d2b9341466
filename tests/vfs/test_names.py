"""Which names are databases, and what is said of the others."""

from __future__ import annotations

import apsw
import pytest

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from vfs.conftest import Connect

GOOD = [
    "a",
    "my/path/cool.sqlite",
    "ключ/数据.db",
    "with space?and=more#and&",
    "x" * 900,
    "a-journal",
    "a-wal",
]
BAD = {
    "/a": "no slash at its ends",
    "a/": "no slash at its ends",
    "a//b": "no empty",
    "../a": "'..' element",
    "a/../b": "'..' element",
    "a/./b": "'.'",
    "a\tb": "control characters",
    "a\x7f": "control characters",
    "x" * 1000: "too long",
    "é" * 500: "too long",
    "manifest": "choose another element",
    "a/segments/b": "choose another element",
    "a/maps": "choose another element",
    "history/a": "choose another element",
    "a/lease": "choose another element",
    "s3://bucket/key": "sqlite_s3vfs.connect",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_taken_as_it_is(vfs: S3VFS, name: str) -> None:
    connection = apsw.Connection(name, vfs=vfs.name)
    connection.execute("CREATE TABLE t (v)")

    assert connection.filename == name
    other = apsw.Connection(name, vfs=vfs.name)
    assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("t",)]


@pytest.mark.parametrize(("name", "way_out"), BAD.items())
def test_a_bad_name_is_refused_with_the_way_out(vfs: S3VFS, name: str, way_out: str) -> None:
    before = vfs.metrics()

    with pytest.raises(apsw.CantOpenError, match=way_out) as caught:
        apsw.Connection(name, vfs=vfs.name)
    with pytest.raises(apsw.CantOpenError, match=way_out):
        apsw.Connection("good", vfs=vfs.name).execute("ATTACH ? AS b", (name,))

    assert isinstance(caught.value.__cause__, InvalidArgumentError)
    assert (vfs.metrics() - before).put.requests == 0


@pytest.mark.parametrize("name", [name for name in BAD if "://" not in name])
def test_the_ancestors_methods_refuse_the_same_names(vfs: S3VFS, name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        vfs.serialize_iter(name)
    with pytest.raises(InvalidArgumentError):
        vfs.serialize_fileobj(name)
    with pytest.raises(InvalidArgumentError):
        vfs.deserialize_iter(name, [])


def test_a_name_with_a_nul_never_gets_that_far(vfs: S3VFS) -> None:
    with pytest.raises(ValueError, match="null"):
        apsw.Connection("a\0b", vfs=vfs.name)
    with pytest.raises(InvalidArgumentError):
        vfs.serialize_iter("a\0b")


def test_an_empty_name_is_sqlites_private_temporary_database(connect: Connect, vfs: S3VFS) -> None:
    connection = apsw.Connection("", vfs=vfs.name)
    connection.execute(
        "PRAGMA cache_size=5; CREATE TABLE t (v); INSERT INTO t VALUES (zeroblob(1000000))"
    )

    assert vfs.metrics().total.requests == 0


def test_databases_beside_and_below_each_other_do_not_touch(connect: Connect) -> None:
    names = ["sales", "sales/2024", "sales/2024/east", "sales-journal", "sales2"]
    for name in names:
        connect(name).execute("CREATE TABLE t (v); INSERT INTO t VALUES (?)", (name,))

    for name in names:
        assert connect(name).execute("SELECT v FROM t").fetchall() == [(name,)]

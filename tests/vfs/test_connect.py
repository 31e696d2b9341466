"""From a URL to a connection."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.connect import connect
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from tests.conftest import ACCESS_KEY, ENDPOINT, SECRET_KEY

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket


@pytest.fixture(params=["memory", "directory", "minio"])
def url(
    request: pytest.FixtureRequest, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A database that does not exist, in each kind of store."""
    if request.param == "memory":
        return f"memory:{prefix}cool.sqlite"
    if request.param == "directory":
        return f"file://{tmp_path}/store/cool.sqlite"
    bucket: Bucket = request.getfixturevalue("minio_bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", ENDPOINT)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return f"s3://{bucket.name}/{prefix}cool.sqlite"


def test_one_line_opens_a_database(url: str) -> None:
    with connect(url) as connection:
        connection.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")

    assert connect(url).execute("SELECT v FROM t").get == 1


def test_parameters_go_to_sqlite(url: str) -> None:
    with pytest.raises(apsw.CantOpenError) as caught:
        connect(f"{url}?mode=rw")
    assert isinstance(caught.value.__cause__, NotFoundError)
    writer = connect(url)
    writer.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")

    read_only, pinned = connect(f"{url}?mode=ro"), connect(f"{url}?immutable=1")
    writer.execute("INSERT INTO t VALUES (2)")

    assert read_only.execute("SELECT count(*) FROM t").get == 2
    assert pinned.execute("SELECT count(*) FROM t").get == 1
    with pytest.raises(apsw.ReadOnlyError):
        read_only.execute("DELETE FROM t")
    with pytest.raises(apsw.ReadOnlyError):
        connect(url, flags=apsw.SQLITE_OPEN_READONLY).execute("DELETE FROM t")


def test_connections_to_one_store_share_a_vfs(url: str) -> None:
    connections = [connect(url), connect(url), connect(f"{url}-other")]

    assert len({connection.open_vfs for connection in connections}) == 1


def test_threads_that_connect_at_once_share_it_too(url: str) -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(connect(url).open_vfs)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(names)) == 1
    assert len(names) == 8


def test_names_with_special_characters_are_percent_encoded(tmp_path: Path) -> None:
    connect(f"file://{tmp_path}/k%20y%3F%23%25.sqlite").execute("CREATE TABLE t (v)")

    connection = connect(f"file://{tmp_path}/k%20y%3F%23%25.sqlite?mode=rw")
    assert connection.filename == "k y?#%.sqlite"


def test_stores_in_memory_and_directories_are_apart(tmp_path: Path) -> None:
    connect(f"file://{tmp_path}/one/db").execute("CREATE TABLE one (v)")
    connect(f"file://{tmp_path}/two/db").execute("CREATE TABLE two (v)")

    for name in ("one", "two"):
        tables = connect(f"file://{tmp_path}/{name}/db").execute("SELECT name FROM sqlite_schema")
        assert tables.get == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cool.sqlite",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "https://bucket/key",
        "memory:",
        "file:relative.sqlite",
        "/plain/path",
    ],
)
def test_what_is_no_such_url_is_refused_with_the_way_out(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="s3://bucket/key"):
        connect(url)


@pytest.mark.parametrize(
    "url",
    [
        "memory:sales#2024",
        "memory:sales#2024?mode=ro",
        "memory:sal\tes",
        " memory:sales",
        "memory:sal%00es",
        "memory:%ff",
        "s3://[bucket/sales",
    ],
)
def test_no_part_of_a_url_is_passed_over(url: str) -> None:
    """``sales#2024`` must not lead to ``sales``."""
    with pytest.raises(InvalidArgumentError) as caught:
        connect(url)

    assert repr(url.partition("?")[0]) in str(caught.value)


def test_a_bad_name_in_a_url_is_refused() -> None:
    with pytest.raises(apsw.CantOpenError) as caught:
        connect("memory:a/../b")

    assert isinstance(caught.value.__cause__, InvalidArgumentError)


def test_what_a_vfs_takes_connect_takes(url: str) -> None:
    settings = Settings(writer="connect", pool_size=3)
    connection = connect(url, settings=settings, block_size=4096, max_age=7, locking="none")
    connection.execute("CREATE TABLE t (v)")

    same = connect(url, settings=settings, block_size=4096, max_age=7, locking="none")
    other = connect(url, settings=settings, block_size=4096, max_age=8, locking="none")

    assert connection.pragma("s3vfs_block_size") == "4096"
    assert same.open_vfs == connection.open_vfs != other.open_vfs


def test_extra_arguments_are_for_buckets(url: str) -> None:
    if not url.startswith("s3:"):
        with pytest.raises(InvalidArgumentError, match="S3 buckets only"):
            connect(url, extra_args={"StorageClass": "STANDARD"})
        return
    connection = connect(url, extra_args={"StorageClass": "STANDARD"})
    assert connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    assert connection.open_vfs != connect(url).open_vfs


@pytest.mark.parametrize("mode", ["", "?mode=ro", "?mode=rw", "?mode=ro&lazy=1"])
def test_opening_and_one_question_are_two_requests(url: str, mode: str) -> None:
    connect(url).execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    connection = connect(f"{url}{mode}", settings=Settings(writer=f"{url[-60:]}{mode}"))

    assert connection.execute("SELECT v FROM t").get == 1

    assert json.loads(connection.pragma("s3vfs_stats"))["get"]["requests"] == 2


@pytest.mark.parametrize("parameters", ["mode=ro&lazy=1", "mode=rw&lazy=1"])
def test_a_lazy_connection_is_told_by_its_first_statement(parameters: str) -> None:
    vfs = S3VFS(MemoryObjectStore())
    uri = f"file:db?vfs={vfs.name}&{parameters}"
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI)
    assert vfs.metrics().total.requests == 0

    for _ in range(2):
        with pytest.raises(apsw.CantOpenError, match="does not exist") as caught:
            connection.execute("SELECT * FROM t")
        assert isinstance(caught.value.__cause__, NotFoundError)

    apsw.Connection("db", vfs=vfs.name).execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT v FROM t").get == 1


def test_a_lazy_connection_that_may_see_old_versions_looks_again() -> None:
    store = MemoryObjectStore()
    vfs, other = S3VFS(store, max_age=1000), S3VFS(store)
    assert apsw.Connection("db", vfs=vfs.name).execute("SELECT count(*) FROM sqlite_schema").get == 0
    apsw.Connection("db", vfs=other.name).execute("CREATE TABLE t (v)")
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI

    lazy = apsw.Connection(f"file:db?vfs={vfs.name}&lazy=1", flags=flags)

    assert lazy.execute("SELECT count(*) FROM t").get == 0

"""From a URL to a connection."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError
from sqlite_s3vfs.vfs.connect import connect
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


def test_a_bad_name_in_a_url_is_refused() -> None:
    with pytest.raises(apsw.CantOpenError) as caught:
        connect("memory:a/../b")

    assert isinstance(caught.value.__cause__, InvalidArgumentError)

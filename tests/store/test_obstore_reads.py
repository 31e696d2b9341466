"""Reads through obstore end as with boto3: the same suite, the same trouble, the same errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import boto3
import pytest
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session
from obstore.exceptions import BaseError
from scripted_server import Answer, ScriptedServer, error, found, scripted_server
from test_s3 import Around

import sqlite_s3vfs
from sqlite_s3vfs.errors import AccessDeniedError, InvalidArgumentError, S3VFSError
from sqlite_s3vfs.store import obstore_reads
from sqlite_s3vfs.store.obstore_reads import FAILURES_MAX, ObstoreReads
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.store.s3 import S3ObjectStore
from sqlite_s3vfs.store.signed_requests import UnusualRequestError, check_plain_connection
from sqlite_s3vfs.testing.store_suite import ObjectStoreSuite
from sqlite_s3vfs.testing.store_suite.reading import ReadTests
from sqlite_s3vfs.testing.store_suite.sharing import SharingTests
from sqlite_s3vfs.wiring import store_for
from tests.conftest import ACCESS_KEY, ENDPOINT, SECRET_KEY


@pytest.fixture(autouse=True)
def _start_at_once(monkeypatch):
    """The first ranged read shows the way, the second one goes through obstore."""
    monkeypatch.setattr(obstore_reads, "READS_BEFORE", 0)


@pytest.fixture
def by_obstore(monkeypatch) -> list[str]:
    """The keys of what obstore has read, in order."""
    keys: list[str] = []
    get = obstore_reads.obstore.get

    def noted(reader, key, **options):
        keys.append(key)
        return get(reader, key, **options)

    monkeypatch.setattr(obstore_reads.obstore, "get", noted)
    return keys


def learned(store: ObstoreReads, bucket) -> ObstoreReads:
    """The store, after the read that shows it how."""
    bucket.put_object(Key="first", Body=b"0123456789")
    assert isinstance(store.get("first", byte_range=(0, 5)), Fetched)
    return store


class Surroundings:
    @pytest.fixture
    def store(self, minio_bucket) -> Iterator[ObstoreReads]:
        store = learned(ObstoreReads(S3ObjectStore(minio_bucket)), minio_bucket)
        yield store
        store.close()

    @pytest.fixture
    def around(self, minio_bucket) -> Around:
        return Around(minio_bucket)


class TestReads(Surroundings, ReadTests, SharingTests):
    """What differs from boto3's store."""


@pytest.mark.long
class TestSuite(Surroundings, ObjectStoreSuite):
    """All of it."""


def test_ranges_are_read_by_obstore_and_the_rest_by_boto3(minio_bucket, prefix, by_obstore):
    store = learned(ObstoreReads(S3ObjectStore(minio_bucket)), minio_bucket)
    etag = store.put(f"{prefix}key", b"0123456789").etag

    ranged = store.get(f"{prefix}key", byte_range=(2, 5))
    store.get(f"{prefix}key")
    store.get(f"{prefix}key", byte_range=(2, 5), if_match=etag)
    store.get(f"{prefix}key", byte_range=(2, 5), if_none_match=etag)

    assert isinstance(ranged, Fetched)
    assert (ranged.body, ranged.etag) == (b"234", etag)
    assert by_obstore == [f"{prefix}key"]
    assert store.extra_requests == 0
    store.close()


def test_a_lookup_never_starts_it(minio_bucket, prefix, by_obstore, monkeypatch):
    monkeypatch.setattr(obstore_reads, "READS_BEFORE", 4)
    store = learned(ObstoreReads(S3ObjectStore(minio_bucket)), minio_bucket)

    for _ in range(4):
        store.get("first", byte_range=(0, 5))
    assert by_obstore == []
    store.get("first", byte_range=(0, 5))
    assert by_obstore == ["first"]


@pytest.mark.parametrize("name", ["a b", "ü", "a%2Fb", "a//b", "a+b", "~", "x/"])
def test_keys_that_are_spelt_in_several_ways_are_left_to_boto3(
    minio_bucket, prefix, by_obstore, name
):
    store = learned(ObstoreReads(S3ObjectStore(minio_bucket)), minio_bucket)
    key = f"{prefix}{name}"
    try:
        minio_bucket.put_object(Key=key, Body=b"0123456789")
    except minio_bucket.meta.client.exceptions.ClientError:
        pytest.skip("this server does not take the key")

    answer = store.get(key, byte_range=(2, 5))

    assert isinstance(answer, Fetched)
    assert answer.body == b"234"
    assert by_obstore == []


def test_temporary_credentials_are_asked_for_again_as_they_are_renewed(minio, minio_bucket, by_obstore):
    """They end in a minute, so botocore gets new ones for each signature."""
    sts = boto3.client(
        "sts", endpoint_url=ENDPOINT, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )  # fmt: skip
    renewals: list[str] = []

    def renew() -> dict[str, str]:
        role = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/t", RoleSessionName="tests")
        key = role["Credentials"]
        renewals.append(key["AccessKeyId"])
        return {
            "access_key": key["AccessKeyId"],
            "secret_key": key["SecretAccessKey"],
            "token": key["SessionToken"],
            "expiry_time": (datetime.now(UTC) + timedelta(seconds=60)).isoformat(),
        }

    session = get_session()
    session._credentials = RefreshableCredentials.create_from_metadata(renew(), renew, "test")
    resource = boto3.session.Session(botocore_session=session, region_name="us-east-1").resource(
        "s3", endpoint_url=ENDPOINT
    )
    store = learned(ObstoreReads(S3ObjectStore(resource.Bucket(minio_bucket.name))), minio_bucket)
    before = len(renewals)

    assert isinstance(store.get("first", byte_range=(0, 5)), Fetched)

    assert by_obstore == ["first"]
    assert store.extra_requests == 0
    assert len(renewals) > before
    store.close()


def in_trouble(server: ScriptedServer, **config: object) -> tuple[S3ObjectStore, ObstoreReads]:
    patience = {"connect_timeout": 60, "read_timeout": 60, "retries": {"total_max_attempts": 1}}
    resource = boto3.resource(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        config=Config(**{**patience, **config}),
    )
    plain = S3ObjectStore(resource.Bucket("bucket"))
    return plain, ObstoreReads(plain)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as script:
        yield script


def part(body: bytes, told: str) -> Answer:
    return Answer(206, body, {**found(b"").headers, "Content-Range": told})


GOOD = part(b"01234", "bytes 0-4/9")
TROUBLE = {
    "internal error": error(500, "InternalError"),
    "slow down": error(503, "SlowDown"),
    "denied": error(403, "AccessDenied"),
    "no bucket": error(404, "NoSuchBucket"),
    "no key": error(404, "NoSuchKey"),
    "no answer": Answer(status=0),
    "silence": Answer(status=-1),
    "a body that breaks off": Answer(206, b"0", {**GOOD.headers}, promised=5),
    "another part": part(b"12345", "bytes 1-5/9"),
    "a shorter part": part(b"012", "bytes 0-2/9"),
    "nonsense": part(b"01234", "nonsense"),
    "another size": part(b"01234", "bytes 0-4/3"),
}


def outcome(ask: Callable[[], object]) -> object:
    """What came, or which error; texts may name what only one of two requests had."""
    try:
        return ask()
    except S3VFSError as raised:
        return type(raised)


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_trouble_ends_as_with_boto3(server, by_obstore, trouble):
    plain, store = in_trouble(server, read_timeout=2 if trouble.status == -1 else 60)
    server.answers = [GOOD]
    store.get("key", byte_range=(0, 5))

    server.answers = [trouble] * 3
    expected = outcome(lambda: plain.get("key", byte_range=(0, 5)))
    server.answers = [trouble] * 4
    seen = outcome(lambda: store.get("key", byte_range=(0, 5)))
    server.answers = [trouble, GOOD]
    recovered = store.get("key", byte_range=(0, 5))

    assert seen == expected
    assert by_obstore == ["key", "key"]
    assert isinstance(recovered, Fetched)
    assert recovered.body == b"01234"
    assert store.extra_requests >= 2


def test_an_error_of_obstore_that_got_out_would_be_noticed(server, monkeypatch):
    """The mistake that the test before looks for, planted."""
    monkeypatch.setattr(obstore_reads, "_NOT_FROM_OBSTORE", ())
    _, store = in_trouble(server)
    server.answers = [GOOD, error(500, "InternalError")]
    store.get("key", byte_range=(0, 5))

    with pytest.raises(BaseError):
        outcome(lambda: store.get("key", byte_range=(0, 5)))


def test_a_server_without_ranges_is_read_by_boto3(server):
    _, store = in_trouble(server)
    server.answers = [GOOD, found(b"012345678"), found(b"012345678")]
    store.get("key", byte_range=(0, 5))

    answer = store.get("key", byte_range=(2, 5))

    assert isinstance(answer, Fetched)
    assert answer.body == b"234"


def test_what_never_works_is_not_tried_for_ever(server, by_obstore):
    _, store = in_trouble(server)
    server.answers = [GOOD] + [error(503, "SlowDown"), GOOD] * FAILURES_MAX + [GOOD] * 2
    for _ in range(FAILURES_MAX + 3):
        store.get("key", byte_range=(0, 5))

    assert len(by_obstore) == FAILURES_MAX


def test_its_times_are_the_last_that_boto3_brought(server):
    _, store = in_trouble(server)
    later = Answer(200, b"x", found(b"").headers, date="Sat, 21 Nov 2026 09:25:24 GMT")
    server.answers = [GOOD, GOOD, later, GOOD]

    first = store.get("key", byte_range=(0, 5))
    second = store.get("key", byte_range=(0, 5))
    third = store.get("key")
    fourth = store.get("key", byte_range=(0, 5))

    dates = [answer.date for answer in (first, second, third, fourth) if isinstance(answer, Fetched)]
    assert dates == [1795249524, 1795249524, 1795253124, 1795253124]


def add_header(request, **_event) -> None:
    request.headers["x-amz-meta-mine"] = "1"


def test_requests_with_headers_of_the_users_own_stay_with_boto3(server, by_obstore):
    plain, store = in_trouble(server)
    plain.client.meta.events.register("before-sign.s3.GetObject", add_header)
    server.answers = [GOOD] * 3

    for _ in range(3):
        store.get("key", byte_range=(0, 5))

    assert by_obstore == []
    assert all(asked.headers["x-amz-meta-mine"] == "1" for asked in server.asked)


@pytest.mark.parametrize("extra", [{"RequestPayer": "requester"}, {"ExpectedBucketOwner": "1" * 12}])
def test_requests_with_extra_arguments_stay_with_boto3(minio_bucket, by_obstore, extra):
    store = learned(ObstoreReads(S3ObjectStore(minio_bucket, extra)), minio_bucket)

    for _ in range(2):
        assert isinstance(store.get("first", byte_range=(0, 5)), Fetched)

    assert by_obstore == []


@pytest.mark.parametrize(
    "config",
    [
        {"signature_version": "s3"},
        {"proxies": {"https": "http://localhost:1"}},
    ],
    ids=str,
)
def test_unusual_clients_stay_with_boto3(server, by_obstore, config):
    _, store = in_trouble(server, **config)
    server.answers = [GOOD] * 3

    for _ in range(3):
        store.get("key", byte_range=(0, 5))

    assert by_obstore == []


@pytest.mark.parametrize(
    ("endpoint", "verify", "usual"),
    [
        ("http://localhost:1", "/own.pem", True),
        ("https://localhost:1", True, True),
        ("https://localhost:1", "/own.pem", False),
        ("https://localhost:1", False, False),
    ],
)
def test_certificates_of_the_users_own_are_heeded_by_boto3_alone(monkeypatch, endpoint, verify, usual):
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", verify=verify)

    if usual:
        check_plain_connection(client)
    else:
        with pytest.raises(UnusualRequestError, match="certificates"):
            check_plain_connection(client)


def test_it_is_chosen_by_a_setting(minio_bucket):
    assert isinstance(store_for(minio_bucket), S3ObjectStore)
    assert isinstance(store_for(minio_bucket, transport="obstore"), ObstoreReads)
    with pytest.raises(InvalidArgumentError, match="boto3 Bucket only"):
        store_for(S3ObjectStore(minio_bucket), transport="obstore")
    with pytest.raises(InvalidArgumentError, match="use 'boto3' or 'obstore'"):
        sqlite_s3vfs.Settings(transport="carrier pigeon")  # type: ignore[arg-type]


def test_a_database_is_read_through_it(minio_bucket, prefix, by_obstore):
    name = f"{prefix}db"
    writer = sqlite_s3vfs.S3VFS(minio_bucket)
    with closing(apsw.Connection(name, vfs=writer.name)) as connection:
        connection.execute("CREATE TABLE t(x)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (randomblob(?))", [(100_000,)] * 30)
        connection.execute("COMMIT")
    reader = sqlite_s3vfs.S3VFS(
        minio_bucket, settings=sqlite_s3vfs.Settings(transport="obstore")
    )

    with closing(apsw.Connection(name, vfs=reader.name)) as connection:
        found = connection.execute("SELECT count(*), sum(length(x)) FROM t").fetchall()

    assert found == [(30, 3_000_000)]
    assert by_obstore
    assert all(key.startswith(f"{name}/segments/") for key in by_obstore)
    assert reader.metrics().get.retries == 0
    writer.close()
    reader.close()


def test_where_it_is_not_installed_the_error_says_how_to(minio_bucket, monkeypatch):
    monkeypatch.delitem(sys.modules, "sqlite_s3vfs.store.obstore_reads")
    monkeypatch.delattr(sqlite_s3vfs.store, "obstore_reads")
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(InvalidArgumentError, match=r"pip install 'sqlite-s3vfs\[fast\]'"):
        store_for(minio_bucket, transport="obstore")


def test_wrong_credentials_are_denied_access(minio_bucket):
    session = boto3.session.Session("NOBODY", "x", region_name="us-east-1")
    bucket = session.resource("s3", endpoint_url=ENDPOINT).Bucket(minio_bucket.name)
    store = ObstoreReads(S3ObjectStore(bucket))

    for _ in range(3):
        with pytest.raises(AccessDeniedError):
            store.get("first", byte_range=(0, 5))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_reads_with_boto3(minio_bucket, prefix):
    """obstore's threads are not there any more: a read would wait for ever."""
    script = """
import os, sys, boto3
from sqlite_s3vfs.store import obstore_reads
from sqlite_s3vfs.store.s3 import S3ObjectStore
bucket, endpoint, access, secret = sys.argv[1:]
session = boto3.session.Session(access, secret, region_name="us-east-1")
resource = session.resource("s3", endpoint_url=endpoint)
store = obstore_reads.ObstoreReads(S3ObjectStore(resource.Bucket(bucket)))
obstore_reads.READS_BEFORE = 0
for _ in range(3):
    assert store.get("first", byte_range=(0, 5)).body == b"01234"
assert store._reader is not None
child = os.fork()
if child == 0:
    store.close()
for _ in range(3):
    assert store.get("first", byte_range=(0, 5)).body == b"01234"
if child:
    assert os.waitpid(child, 0)[1] == 0
store.close()
"""
    minio_bucket.put_object(Key="first", Body=b"0123456789")

    done = subprocess.run(
        [sys.executable, "-c", script, minio_bucket.name, ENDPOINT, ACCESS_KEY, SECRET_KEY],
        env={**os.environ, "PYTHONPATH": str(Path(sqlite_s3vfs.__file__).parent.parent)},
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")

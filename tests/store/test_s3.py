"""The S3 store passes its suite on a real server; beyond that, rights, arguments and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

import sqlite_s3vfs
from sqlite_s3vfs.errors import AccessDeniedError, InvalidArgumentError, NotFoundError
from sqlite_s3vfs.store.port import Fetched
from sqlite_s3vfs.store.s3 import S3ObjectStore
from sqlite_s3vfs.store.s3bucket import bucket_from_environment
from sqlite_s3vfs.testing.store_suite import ObjectStoreSuite


class Around:
    """The bucket, by boto3's own means."""

    def __init__(self, bucket) -> None:
        self._bucket = bucket

    def read(self, key: str) -> bytes | None:
        client = self._bucket.meta.client
        try:
            return client.get_object(Bucket=self._bucket.name, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return None

    def write(self, key: str, body: bytes) -> None:
        self._bucket.put_object(Key=key, Body=body)


class TestS3ObjectStore(ObjectStoreSuite):
    @pytest.fixture
    def store(self, minio_bucket) -> S3ObjectStore:
        return S3ObjectStore(minio_bucket)

    @pytest.fixture
    def around(self, minio_bucket) -> Around:
        return Around(minio_bucket)


CALLS: dict[str, Callable[[S3ObjectStore], object]] = {
    "get": lambda store: store.get("key"),
    "get a range": lambda store: store.get("key", byte_range=(1, 2)),
    "put": lambda store: store.put("key", b"body"),
    "create": lambda store: store.put("key", b"body", if_absent=True),
    "replace": lambda store: store.put("key", b"body", if_match='"e"'),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete(["key"]),
    "delete an odd key": lambda store: store.delete(["key\x01"]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_wrong_bucket_is_named_and_never_taken_for_a_missing_object(minio, call):
    store = S3ObjectStore(minio.Bucket("there-is-no-such-bucket"))

    with pytest.raises(NotFoundError, match="there-is-no-such-bucket"):
        call(store)


@pytest.mark.parametrize("wrong", [{"aws_access_key_id": "NOBODY"}, {"aws_secret_access_key": "x"}])
def test_wrong_credentials_are_denied_access(minio, minio_bucket, wrong):
    frozen = minio.meta.client._request_signer._credentials.get_frozen_credentials()
    keys = {"aws_access_key_id": frozen.access_key, "aws_secret_access_key": frozen.secret_key}
    endpoint = minio.meta.client.meta.endpoint_url
    session = boto3.session.Session(**{**keys, **wrong}, region_name="us-east-1")
    store = S3ObjectStore(session.resource("s3", endpoint_url=endpoint).Bucket(minio_bucket.name))

    for call in CALLS.values():
        with pytest.raises(AccessDeniedError, match=minio_bucket.name):
            call(store)
    store.close()


def test_missing_credentials_are_denied_access(minio_bucket, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    endpoint = minio_bucket.meta.client.meta.endpoint_url
    resource = boto3.session.Session(region_name="us-east-1").resource("s3", endpoint_url=endpoint)

    for call in CALLS.values():
        with pytest.raises(AccessDeniedError, match="credentials"):
            call(S3ObjectStore(resource.Bucket(minio_bucket.name)))


def test_with_the_right_to_read_one_can_read(minio_bucket, bucket_allowing, prefix):
    minio_bucket.put_object(Key=f"{prefix}key", Body=b"body")
    store = S3ObjectStore(bucket_allowing("s3:GetObject", "s3:ListBucket"))

    found = store.get(f"{prefix}key")

    assert isinstance(found, Fetched)
    assert found.body == b"body"
    assert store.get(f"{prefix}missing") is None
    assert [row.key for row in store.list(prefix)] == [f"{prefix}key"]
    with pytest.raises(AccessDeniedError, match=f"{prefix}key"):
        store.put(f"{prefix}key", b"other")
    with pytest.raises(AccessDeniedError):
        store.put(f"{prefix}new", b"other", if_absent=True)
    with pytest.raises(AccessDeniedError, match="refused=1"):
        store.delete([f"{prefix}key"])
    assert minio_bucket.Object(f"{prefix}key").get()["Body"].read() == b"body"


def test_without_the_right_to_list_one_cannot_list(bucket_allowing, prefix):
    store = S3ObjectStore(bucket_allowing("s3:GetObject"))

    with pytest.raises(AccessDeniedError, match="list"):
        list(store.list(prefix))


def test_extra_arguments_reach_the_server(minio_bucket, prefix):
    store = S3ObjectStore(minio_bucket, {"StorageClass": "REDUCED_REDUNDANCY"})

    store.put(f"{prefix}key", b"body")

    assert minio_bucket.Object(f"{prefix}key").storage_class == "REDUCED_REDUNDANCY"
    assert isinstance(store.get(f"{prefix}key"), Fetched)
    assert len(list(store.list(prefix))) == 1
    store.delete([f"{prefix}key"])


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        ("get_object", "GetObject"),
        ("head_object", "HeadObject"),
        ("put_object", "PutObject"),
        ("list_objects_v2", "ListObjectsV2"),
        ("delete_object", "DeleteObject"),
        ("delete_objects", "DeleteObjects"),
    ],
)
def test_extra_arguments_go_to_the_operations_that_take_them(
    minio_bucket, prefix, monkeypatch, method, operation
):
    """What S3's model of the operation knows is passed on, and nothing else is."""
    extra = {
        "ServerSideEncryption": "AES256",
        "SSEKMSKeyId": "key",
        "StorageClass": "STANDARD",
        "ExpectedBucketOwner": "123456789012",
        "RequestPayer": "requester",
    }
    client = minio_bucket.meta.client
    known = client.meta.service_model.operation_model(operation).input_shape.members
    asked: list[dict[str, object]] = []
    events = client.meta.events

    def note(params: dict[str, object], **_: object) -> None:
        asked.append(dict(params))

    events.register(f"provide-client-params.s3.{operation}", note)
    try:
        store = S3ObjectStore(minio_bucket, extra)
        minio_bucket.put_object(Key=f"{prefix}key", Body=b"")
        asked.clear()
        for call in (
            lambda: store.get(f"{prefix}key", byte_range=(0, 1)),
            lambda: store.put(f"{prefix}key", b"body"),
            lambda: list(store.list(prefix)),
            lambda: store.delete([f"{prefix}key", f"{prefix}key\x01"]),
        ):
            with suppress(InvalidArgumentError):  # a server without keys cannot encrypt
                call()
    finally:
        events.unregister(f"provide-client-params.s3.{operation}", note)

    assert len(asked) == 1
    assert {name: asked[0].get(name) for name in extra} == {
        name: value if name in known else None for name, value in extra.items()
    }


@pytest.mark.parametrize(
    "extra", [{"ACL": "public-read"}, {"IfMatch": "x"}, {"storageclass": "STANDARD"}]
)
def test_other_extra_arguments_are_refused(minio_bucket, extra):
    with pytest.raises(InvalidArgumentError, match=f"name='{next(iter(extra))}'.*StorageClass"):
        S3ObjectStore(minio_bucket, extra)


def test_an_extra_argument_is_text(minio_bucket):
    with pytest.raises(InvalidArgumentError, match="StorageClass"):
        S3ObjectStore(minio_bucket, {"StorageClass": 7})


def test_what_the_server_refuses_is_an_error_of_the_caller(minio_bucket, prefix):
    store = S3ObjectStore(minio_bucket, {"StorageClass": "NONSENSE"})

    with pytest.raises(InvalidArgumentError, match="InvalidStorageClass"):
        store.put(f"{prefix}key", b"body")
    with pytest.raises(InvalidArgumentError, match=prefix):
        S3ObjectStore(minio_bucket).put(f"{prefix}a/../b", b"body")


def test_a_missing_right_to_encrypt_is_not_called_an_unsafe_store(minio_bucket, prefix):
    """A server without keys answers 501, as others do to conditions that they do not know."""
    store = S3ObjectStore(minio_bucket, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "none"})

    with pytest.raises(InvalidArgumentError):
        store.put(f"{prefix}key", b"body", if_absent=True)


@pytest.mark.parametrize("bucket", ["my-bucket", None, object()])
def test_something_else_than_a_bucket_is_refused(bucket):
    with pytest.raises(InvalidArgumentError, match="Bucket"):
        S3ObjectStore(bucket)


def test_the_pool_of_the_client_is_told(minio_bucket):
    resource = boto3.resource(
        "s3",
        endpoint_url="http://localhost:1",
        region_name="us-east-1",
        config=Config(max_pool_connections=7, signature_version=UNSIGNED),
    )

    assert S3ObjectStore(resource.Bucket("bucket")).parallel_requests == 7


def identity(bucket: str = "bucket", **client: object) -> str:
    config = Config(signature_version=UNSIGNED)
    return S3ObjectStore(boto3.resource("s3", config=config, **client).Bucket(bucket)).identity


def test_the_identity_is_that_of_the_objects():
    """On AWS a bucket is the same from every region and endpoint; elsewhere the endpoint counts."""
    aws = identity(region_name="eu-west-1")
    here = identity(region_name="us-east-1", endpoint_url="http://localhost:9000")

    assert aws == identity(region_name="us-east-1")
    assert aws == identity(
        region_name="us-east-1", endpoint_url="https://s3.dualstack.eu-west-1.amazonaws.com"
    )
    assert aws != identity("other", region_name="eu-west-1")
    assert aws != identity(region_name="cn-north-1")
    assert here == identity(region_name="eu-west-1", endpoint_url="http://LOCALHOST:9000/")
    assert here != identity(region_name="us-east-1", endpoint_url="http://localhost:9001")
    assert len({aws, here, identity("other", region_name="eu-west-1")}) == 3


@pytest.fixture
def environment(minio, monkeypatch) -> Iterator[pytest.MonkeyPatch]:
    """The AWS variables of the test server, and no others."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    client = minio.meta.client
    frozen = client._request_signer._credentials.get_frozen_credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", frozen.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", frozen.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", client.meta.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return monkeypatch


def test_a_bucket_can_come_from_the_environment(environment, minio_bucket, prefix):
    store = S3ObjectStore(bucket_from_environment(minio_bucket.name))

    store.put(f"{prefix}key", b"body")

    assert minio_bucket.Object(f"{prefix}key").get()["Body"].read() == b"body"
    assert store.identity == S3ObjectStore(minio_bucket).identity
    store.close()


def test_a_bucket_of_the_environment_gives_up_a_silent_connection_soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")

    config = bucket_from_environment("bucket").meta.client.meta.config

    assert (config.connect_timeout, config.read_timeout) == (5, 20)
    assert config.max_pool_connections == 32
    assert config.retries["total_max_attempts"] == 2, "retries stay the user's"


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "missing"), ("AWS_ENDPOINT_URL_S3", "no url")]
)
def test_an_environment_that_makes_no_sense_is_refused(environment, name, value):
    environment.setenv(name, value)

    with pytest.raises(InvalidArgumentError, match="AWS_"):
        bucket_from_environment("bucket")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_parent_and_child_both_go_on_after_a_fork(environment, minio_bucket, prefix):
    """The child drops the sockets that it shares with the parent before it uses the store."""
    script = """
import os, sys
from sqlite_s3vfs.store.s3 import S3ObjectStore
from sqlite_s3vfs.store.s3bucket import bucket_from_environment
bucket, prefix = sys.argv[1:]
store = S3ObjectStore(bucket_from_environment(bucket))
store.put(prefix + "key", b"body")
child = os.fork()
if child == 0:
    store.close()
for number in range(50):
    key = f"{prefix}{'child' if child == 0 else 'parent'}{number}"
    store.put(key, key.encode())
    assert store.get(key).body == key.encode()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    source = str(Path(sqlite_s3vfs.__file__).parent.parent)

    done = subprocess.run(
        [sys.executable, "-c", script, minio_bucket.name, prefix],
        env={**os.environ, "PYTHONPATH": source},
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(S3ObjectStore(minio_bucket).list(prefix))) == 101

"""Stores for the tests: memory, a local directory, and a bucket on a real MinIO; and Hypothesis.

Tests with MinIO are skipped, with the reason printed, where no server answers; with
``S3VFS_REQUIRE_MINIO=1`` in the environment they fail instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from hypothesis import settings

from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.store.s3 import S3ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket, S3ServiceResource

pytest.register_assert_rewrite("sqlite_s3vfs.testing.store_suite")

# The ordinary run tries the same examples each time, however busy the machine is; others are tried by
# the long tests, and with `--hypothesis-profile=chance`.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("chance", deadline=None)
settings.load_profile("steady")

ENDPOINT = os.environ.get("S3VFS_TEST_ENDPOINT", "http://localhost:9000")
ACCESS_KEY = os.environ.get("S3VFS_TEST_ACCESS_KEY", "AKIAIDIDIDIDIDIDIDID")
SECRET_KEY = os.environ.get("S3VFS_TEST_SECRET_KEY", "a" * 40)


def _session(access_key: str, secret_key: str, token: str | None = None) -> boto3.session.Session:
    return boto3.session.Session(
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        region_name="us-east-1",
    )


@pytest.fixture(scope="session")
def minio() -> Iterator[S3ServiceResource]:
    """The test server, as a boto3 resource with patience of a few seconds."""
    resource = _session(ACCESS_KEY, SECRET_KEY).resource(
        "s3",
        endpoint_url=ENDPOINT,
        config=Config(connect_timeout=5, read_timeout=30, max_pool_connections=32),
    )
    try:
        resource.meta.client.list_buckets()
    except BotoCoreError as error:
        reason = f"no S3 server answers at {ENDPOINT} (./start-minio.sh starts one): {error}"
        if os.environ.get("S3VFS_REQUIRE_MINIO") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    yield resource
    resource.meta.client.close()


@pytest.fixture(scope="session")
def minio_bucket(minio: S3ServiceResource) -> Iterator[Bucket]:
    """A fresh bucket of this test run; emptied and deleted at the end."""
    bucket = minio.Bucket(f"s3vfs-test-{RandomIds().new_id().hex()}")
    bucket.create()
    yield bucket
    # MinIO leaves objects below others out of a listing: they appear when those are gone.
    for _ in range(10):
        if not bucket.objects.all().delete():
            break
    bucket.delete()


@pytest.fixture
def bucket_allowing(minio: S3ServiceResource, minio_bucket: Bucket) -> Callable[..., Bucket]:
    """Call it with actions (``"s3:GetObject"`` …) for the same bucket, with a right to these only."""

    def restricted(*actions: str) -> Bucket:
        name = minio_bucket.name
        resources = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
        allowed = {"Effect": "Allow", "Action": list(actions), "Resource": resources}
        role = (
            _session(ACCESS_KEY, SECRET_KEY)
            .client("sts", endpoint_url=ENDPOINT)
            .assume_role(
                RoleArn="arn:aws:iam::123456789012:role/tests",
                RoleSessionName="tests",
                Policy=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
            )
        )
        key = role["Credentials"]
        session = _session(key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"])
        return session.resource("s3", endpoint_url=ENDPOINT).Bucket(name)

    return restricted


@pytest.fixture
def prefix() -> str:
    """A part of the bucket that belongs to this test; ends with a slash."""
    return f"{RandomIds().new_id().hex()}/"


@pytest.fixture(params=["memory", "directory", "minio"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """Each kind of store in turn. Keys must begin with ``prefix``: the bucket is shared."""
    store: ObjectStore
    match request.param:
        case "memory":
            store = MemoryObjectStore()
        case "directory":
            store = DirectoryObjectStore(tmp_path / "store")
        case "minio":
            store = S3ObjectStore(request.getfixturevalue("minio_bucket"))
    yield store
    store.close()

"""A sample database in the bucket, and VFS objects that see the bucket with fewer rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import apsw
import boto3
import pytest

from errors.sample import Sample, make_sample
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.store.s3 import S3ObjectStore
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.vfs.s3vfs import S3VFS

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket, S3ServiceResource

MakeVFS = Callable[..., S3VFS]
Open = Callable[..., apsw.Connection]


@pytest.fixture
def make_vfs() -> Iterator[MakeVFS]:
    """Makes VFS objects that are closed at the end of the test."""
    made: list[S3VFS] = []

    def make(over: Bucket | ObjectStore, **arguments: object) -> S3VFS:
        made.append(S3VFS(over, **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for vfs in made:
        vfs.close()


@pytest.fixture
def open_through(make_vfs: MakeVFS) -> Iterator[Open]:
    """Opens connections, by URI; they are closed at the end of the test."""
    opened: list[apsw.Connection] = []

    def open_connection(vfs: S3VFS, name: str, **parameters: str) -> apsw.Connection:
        query = "&".join(f"{key}={value}" for key, value in parameters.items())
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        opened.append(apsw.Connection(f"file:{name}?{query}", flags=flags, vfs=vfs.name))
        return opened[-1]

    yield open_connection
    for connection in opened:
        connection.close(force=True)


@pytest.fixture
def bucket_store(minio_bucket: Bucket) -> ObjectStore:
    """The test's bucket as a store, with every right: to look at what lies there."""
    return S3ObjectStore(minio_bucket)


@pytest.fixture(scope="session")
def owner(minio_bucket: Bucket) -> Iterator[S3VFS]:
    """A VFS with every right."""
    vfs = S3VFS(minio_bucket)
    yield vfs
    vfs.close()


@pytest.fixture
def sample(owner: S3VFS, prefix: str) -> Sample:
    """The sample database in the bucket."""
    return make_sample(owner, f"{prefix}db.sqlite")


@pytest.fixture(scope="session")
def bucket_with_policy(minio: S3ServiceResource, minio_bucket: Bucket) -> Callable[..., Bucket]:
    """Call it with statements of a policy for the same bucket seen with these rights only.

    ``{bucket}`` in a resource stands for the bucket. Buckets are made once for each policy.
    """
    root = minio.meta.client._request_signer._credentials  # type: ignore[attr-defined]
    endpoint = minio.meta.client.meta.endpoint_url
    name = minio_bucket.name

    @cache
    def seen_with(policy: str) -> Bucket:
        session = boto3.session.Session(root.access_key, root.secret_key, region_name="us-east-1")
        key = session.client("sts", endpoint_url=endpoint).assume_role(
            RoleArn="arn:aws:iam::123456789012:role/tests",
            RoleSessionName="tests",
            Policy=policy.replace("{bucket}", f"arn:aws:s3:::{name}"),
        )["Credentials"]
        session = boto3.session.Session(
            key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"], region_name="us-east-1"
        )
        return session.resource("s3", endpoint_url=endpoint).Bucket(name)

    def restricted(*statements: dict[str, object]) -> Bucket:
        return seen_with(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))

    return restricted


@pytest.fixture
def allowed(bucket_with_policy: Callable[..., Bucket], make_vfs: MakeVFS) -> Callable[..., S3VFS]:
    """Call it with actions for a VFS that has the right to these only."""

    def make(*actions: str) -> S3VFS:
        resources = ["{bucket}", "{bucket}/*"]
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": resources}
        return make_vfs(bucket_with_policy(statement))

    return make


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's pauses between attempts take no time, for VFS objects made from here on."""
    monkeypatch.setattr("sqlite_s3vfs.engine.SystemClock", ManualClock)

"""The S3 store passes its suite on a real server; beyond that, errors, arguments and sockets."""

from __future__ import annotations

import pytest

from sqlite_s3vfs.store.s3 import S3ObjectStore
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

"""The ancestor as a process, on the test server's bucket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.ancestor.environment import Ancestor

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

StartAncestor = Callable[[], Ancestor]


@pytest.fixture(scope="session")
def start_ancestor(minio_bucket: Bucket) -> Iterator[StartAncestor]:
    """Start a process of the ancestor on the bucket of this test run: one that may die."""
    started: list[Ancestor] = []

    def start() -> Ancestor:
        process = Ancestor(
            minio_bucket.name,
            endpoint=minio_bucket.meta.client.meta.endpoint_url,
            access_key=os.environ.get("S3VFS_TEST_ACCESS_KEY", "AKIAIDIDIDIDIDIDIDID"),
            secret_key=os.environ.get("S3VFS_TEST_SECRET_KEY", "a" * 40),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()


@pytest.fixture(scope="session")
def ancestor(start_ancestor: StartAncestor) -> Ancestor:
    """One process of the ancestor for all tests that leave it alive."""
    return start_ancestor()

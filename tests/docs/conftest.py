"""What the tests of documents and examples share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import S3ServiceResource


@pytest.fixture(scope="session")
def minio_environment(minio: S3ServiceResource) -> dict[str, str]:
    """The variables with which boto3, left to itself, finds the test server."""
    return {
        "AWS_ENDPOINT_URL": minio.meta.client.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": os.environ.get("S3VFS_TEST_ACCESS_KEY", "AKIAIDIDIDIDIDIDIDID"),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("S3VFS_TEST_SECRET_KEY", "a" * 40),
        "AWS_DEFAULT_REGION": minio.meta.client.meta.region_name,
    }

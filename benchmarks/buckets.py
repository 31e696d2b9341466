"""The bucket that is measured, by a client of its own. It runs in the environment of either library."""

from __future__ import annotations

from typing import Any, Protocol

import boto3
from botocore.config import Config


class Access(Protocol):
    """Which server, and as whom."""

    @property
    def endpoint(self) -> str: ...
    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...


def bucket_at(access: Access, name: str, config: Config | None = None) -> Any:
    """The bucket by a new client with boto3's defaults, or ``config``: no connection is open."""
    resource = boto3.session.Session().resource(
        "s3",
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        region_name="us-east-1",
        config=config,
    )
    return resource.Bucket(name)

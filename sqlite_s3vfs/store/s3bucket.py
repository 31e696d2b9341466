"""A boto3 bucket for whoever has a name only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.access import FROM_ENVIRONMENT, Access

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

CONNECT_SECONDS = 5
READ_SECONDS = 20
"""Without a byte, after which a request is repeated as the AWS settings for retries say. Objects have a
few MiB: what is silent for that long is lost, and SQLite waits. The SDK's own 60 are for larger ones."""


def bucket_from_environment(name: str, access: Access = FROM_ENVIRONMENT) -> Bucket:
    """The bucket ``name``, with credentials, region and endpoint from where the AWS tools take them.

    What ``access`` says goes first; a profile that it names goes before credentials in variables, as
    with the AWS tools. No request is made. Bodies are not hashed for the signature: over TLS the SDK
    does not do so either, over plain HTTP it triples the processor time of a put of 4 MiB. A CRC-32
    goes with each.

    Raises:
        InvalidArgumentError: the environment or the profile is contradictory or incomplete.
    """
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=32,
        s3={"payload_signing_enabled": False},
    )
    try:
        session = boto3.session.Session(
            profile_name=access.profile or None, region_name=access.region or None
        )
        resource = session.resource("s3", config=config, endpoint_url=access.endpoint_url or None)
        return resource.Bucket(name)
    except (BotoCoreError, ValueError) as error:
        raise InvalidArgumentError(
            "boto3 cannot make a client of the environment: check the AWS_… variables, the profile and "
            f"the endpoint. bucket={name!r} profile={access.profile!r} error={type(error).__name__}"
        ) from error

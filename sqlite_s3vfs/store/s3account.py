"""What an operator asks about a bucket beside its objects: whose credentials, which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from sqlite_s3vfs.errors import AccessDeniedError, S3VFSError, StoreUnavailableError
from sqlite_s3vfs.store.access import Access
from sqlite_s3vfs.store.s3bucket import bucket_from_environment
from sqlite_s3vfs.store.s3errors import error_of_answer, explanation


@dataclass(frozen=True, slots=True)
class Caller:
    """Which credentials are used: the end of their public part, and where they were found."""

    key_end: str
    found_in: str


@dataclass(frozen=True, slots=True)
class Versioning:
    """``status`` is Enabled, Suspended or empty; old versions go after ``expires_days``, if ever."""

    status: str
    expires_days: int | None


def caller(access: Access) -> Caller | None:
    """The credentials that requests will be signed with; None where there are none.

    Raises:
        AccessDeniedError: the place where they should come from gives none.
    """
    try:
        session = boto3.session.Session(profile_name=access.profile or None)
        found = session.get_credentials()
        keys = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise AccessDeniedError(
            f"the credentials cannot be had: see what the cause says. error={type(error).__name__}"
        ) from error
    if found is None or keys is None or not keys.access_key:
        return None
    return Caller(keys.access_key[-4:], found.method or "?")


def versioning(name: str, prefix: str, access: Access) -> Versioning:
    """Whether the bucket keeps old versions of objects, and for how long below ``prefix``. 2 requests.

    Raises:
        AccessDeniedError: s3:GetBucketVersioning or s3:GetLifecycleConfiguration is missing.
    """
    client: Any = bucket_from_environment(name, access).meta.client
    status = _asked(client.get_bucket_versioning, name).get("Status", "")
    rules = _asked(client.get_bucket_lifecycle_configuration, name).get("Rules", [])
    days = [days for rule in rules if (days := _expiry(rule, prefix)) is not None]
    return Versioning(status, min(days, default=None))


def _asked(method: Any, name: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = method(Bucket=name)
    except ClientError as error:
        code = error.response["Error"].get("Code", "")
        if code == "NoSuchLifecycleConfiguration":
            return {}
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        kind: type[S3VFSError] = error_of_answer(code, status, conditional=False)
        raise kind(f"{explanation(kind, 'get', code)} bucket={name!r} code={code!r}") from error
    except BotoCoreError as error:
        raise StoreUnavailableError(
            f"the bucket's settings cannot be read. bucket={name!r} error={type(error).__name__}"
        ) from error
    return answer


def _expiry(rule: dict[str, Any], prefix: str) -> int | None:
    """After how many days a rule removes what is no longer the current version below ``prefix``."""
    chosen = rule.get("Filter", {})
    start = chosen.get("Prefix", rule.get("Prefix", ""))
    covers = set(chosen) <= {"Prefix"} and prefix.startswith(start)
    if rule.get("Status") != "Enabled" or not covers:
        return None
    days: int | None = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return days

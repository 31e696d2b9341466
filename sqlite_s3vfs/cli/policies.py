"""The IAM policies of docs/iam.md: what each role needs, and no more.

A prefix may hold IAM's wildcards (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html).
"""

from __future__ import annotations

from typing import Any

Statement = dict[str, Any]

ROLES = ("reader", "writer", "collector")


def policy(role: str, bucket: str, prefix: str) -> dict[str, Any]:
    """The policy document of a role for the database ``prefix`` in ``bucket``."""
    return {"Version": "2012-10-17", "Statement": list(statements(role, bucket, prefix).values())}


def statements(role: str, bucket: str, prefix: str) -> dict[str, Statement]:
    """The statements of a role by the operation that they allow: list, get, put, delete."""
    found = {"list": _list(bucket), "get": _get(bucket, prefix)}
    if role == "writer":
        found["put"] = _allow("Write", "s3:PutObject", bucket, [
            f"{prefix}/manifest", *_immutable(prefix)
        ])
    if role == "collector":
        found["put"] = _allow("Note", "s3:PutObject", bucket, [f"{prefix}/manifest"])
    if role != "reader":
        found["delete"] = _allow("Delete", "s3:DeleteObject", bucket, _immutable(prefix))
    return found


def upgrade_statement(bucket: str, prefix: str) -> Statement:
    """What the first commit to a database of sqlite-s3vfs 0.0.x needs besides: its objects go."""
    return _allow(
        "Upgrade", "s3:DeleteObject", bucket, [f"{prefix}/??????????", f"{prefix}-journal/??????????"]
    )


def _list(bucket: str) -> Statement:
    """For the whole bucket: S3 denies a missing key, instead of calling it missing, to those
    who may not list.

    A condition on s3:prefix cannot hold there, because a get has none
    (https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html).
    """
    return {
        "Sid": "List",
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{bucket}",
    }


def _get(bucket: str, prefix: str) -> Statement:
    return _allow("Read", "s3:GetObject", bucket, [f"{prefix}/*", f"{prefix}-journal/*"])


def _immutable(prefix: str) -> list[str]:
    return [f"{prefix}/{folder}/*" for folder in ("segments", "maps", "history")]


def _allow(name: str, action: str, bucket: str, keys: list[str]) -> Statement:
    resources = [f"arn:aws:s3:::{bucket}/{key}" for key in keys]
    return {"Sid": name, "Effect": "Allow", "Action": action, "Resource": resources}

"""Credentials that nobody knows, that are missing, and that go bad while they are used."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import apsw
import boto3
import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError

from errors.conftest import MakeVFS, Open
from errors.expect import refused, untouched
from errors.operations import READING, WRITING
from errors.sample import LARGE, SMALL, Sample, read_all, sample_of
from sqlite_s3vfs.errors import AccessDeniedError
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

EVERYTHING = [*READING.values(), *WRITING.values()]
WAY_OUT = "check them, renew them"
MANDATORY_SECONDS = 600
"""Credentials that have less to live than this are renewed before they are used."""


class Keys:
    """Credentials as the SDK gets them from a role: asked for anew before every request."""

    def __init__(self, key: str, secret: str) -> None:
        self.right = (key, secret, None)
        self.now = self.right
        self.fail = False

    def fetch(self) -> dict[str, object]:
        """What the SDK calls. They last for less than it demands, and so it comes back each time."""
        if self.fail:
            raise CredentialRetrievalError(provider="test", error_msg="no answer")
        key, secret, token = self.now
        soon = datetime.now(UTC) + timedelta(seconds=MANDATORY_SECONDS // 2)
        return {
            "access_key": key,
            "secret_key": secret,
            "token": token,
            "expiry_time": soon.isoformat(),
        }

    def session(self) -> boto3.session.Session:
        inner = botocore.session.get_session()
        inner._credentials = RefreshableCredentials.create_from_metadata(
            metadata=self.fetch(), refresh_using=self.fetch, method="test",
            advisory_timeout=2 * MANDATORY_SECONDS, mandatory_timeout=MANDATORY_SECONDS,
        )
        return boto3.session.Session(botocore_session=inner, region_name="us-east-1")


@pytest.fixture
def keys(minio) -> Keys:
    frozen = minio.meta.client._request_signer._credentials.get_frozen_credentials()
    return Keys(frozen.access_key, frozen.secret_key)


@pytest.fixture
def vfs(keys: Keys, minio_bucket, make_vfs: MakeVFS) -> S3VFS:
    """A VFS with ``keys``."""
    endpoint = minio_bucket.meta.client.meta.endpoint_url
    resource = keys.session().resource("s3", endpoint_url=endpoint)
    return make_vfs(resource.Bucket(minio_bucket.name))


WRONG = {
    "unknown key": ("NOBODY", "secret", None, "InvalidAccessKeyId"),
    "wrong secret": (None, "not the secret", None, "SignatureDoesNotMatch"),
    "wrong token": (None, None, "no token", "InvalidTokenId"),
}


def spoil(keys: Keys, name: str) -> str:
    """Make ``keys`` wrong; the code that the server answers with."""
    *wrong, code = WRONG[name]
    keys.now = tuple(bad or good for bad, good in zip(wrong, keys.right, strict=True))
    return code


@pytest.mark.parametrize("wrong", WRONG)
def test_credentials_that_the_server_does_not_know(
    vfs: S3VFS, keys: Keys, sample: Sample, wrong: str
) -> None:
    code = spoil(keys, wrong)

    for operation in EVERYTHING:
        with refused(
            AccessDeniedError,
            operation.code and apsw.SQLITE_PERM,
            WAY_OUT,
            f"code='{code}'",
            f"key='{sample.name}/manifest'",
        ):
            operation.run(vfs, sample.name)

    assert vfs.metrics().put.requests == 0


def test_credentials_that_go_bad_are_denied_and_work_again_once_renewed(
    vfs: S3VFS, keys: Keys, sample: Sample, bucket_store: ObjectStore, prefix: str, open_through: Open
) -> None:
    """On one connection, at each moment of a transaction."""
    connection = open_through(vfs, sample.name)
    rows = read_all(connection)
    for begin, wrong in (("BEGIN", "wrong token"), ("BEGIN IMMEDIATE", "unknown key")):
        for sql in (SMALL, LARGE, "VACUUM"):
            with untouched(bucket_store, prefix):
                if sql != "VACUUM":
                    connection.execute(begin).execute(sql)
                spoil(keys, wrong)
                with refused(AccessDeniedError, apsw.SQLITE_PERM, WAY_OUT):
                    connection.execute("VACUUM" if sql == "VACUUM" else "COMMIT")
                assert not connection.in_transaction
                with refused(AccessDeniedError, apsw.SQLITE_PERM, WAY_OUT):
                    connection.execute("SELECT * FROM t")
            keys.now = keys.right
            assert read_all(connection) == rows

    connection.execute(SMALL)
    assert read_all(connection) == sample_of(vfs, sample.name).rows != rows


def test_a_source_of_credentials_that_fails_is_denied_access(
    vfs: S3VFS, keys: Keys, sample: Sample, open_through: Open
) -> None:
    connection = open_through(vfs, sample.name)
    keys.fail = True

    with refused(AccessDeniedError, apsw.SQLITE_PERM, WAY_OUT, "error='CredentialRetrievalError'"):
        connection.execute("SELECT * FROM t")
    keys.fail = False

    assert read_all(connection) == sample.rows


def test_no_credentials_at_all(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path,
    minio_bucket,
    make_vfs: MakeVFS,
    prefix: str,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    endpoint = minio_bucket.meta.client.meta.endpoint_url
    resource = boto3.session.Session(region_name="us-east-1").resource("s3", endpoint_url=endpoint)
    vfs = make_vfs(resource.Bucket(minio_bucket.name))

    for operation in EVERYTHING:
        with refused(
            AccessDeniedError,
            operation.code and apsw.SQLITE_PERM,
            WAY_OUT,
            "error='NoCredentialsError'",
            f"key='{prefix}db/manifest'",
        ):
            operation.run(vfs, f"{prefix}db")

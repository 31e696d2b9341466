"""The MinIO that is measured against: whose it is, which version, and a bucket for one run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.buckets import bucket_at

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    """Where it answers, and to whom."""

    endpoint: str
    access_key: str
    secret_key: str


def server_from_environment() -> Server:
    """The server of the tests, by the same variables."""
    return Server(
        os.environ.get("S3VFS_TEST_ENDPOINT", "http://localhost:9000"),
        os.environ.get("S3VFS_TEST_ACCESS_KEY", "AKIAIDIDIDIDIDIDIDID"),
        os.environ.get("S3VFS_TEST_SECRET_KEY", "a" * 40),
    )


@contextlib.contextmanager
def answering(server: Server) -> Iterator[None]:
    """Where nothing answers, start MinIO for the time being.

    Raises:
        subprocess.CalledProcessError: it could not be started; the script has said why.
    """
    if _answers(server):
        yield
        return
    address = urlsplit(server.endpoint).netloc
    environment = os.environ | {
        "S3VFS_MINIO_ADDRESS": address,
        "S3VFS_MINIO_ACCESS_KEY": server.access_key,
        "S3VFS_MINIO_SECRET_KEY": server.secret_key,
    }
    subprocess.run([ROOT / "start-minio.sh"], env=environment, check=True)
    try:
        yield
    finally:
        subprocess.run([ROOT / "stop-minio.sh"], env=environment, check=True)


def _answers(server: Server) -> bool:
    try:
        with urllib.request.urlopen(f"{server.endpoint}/minio/health/live", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True  # another kind of server: it may be measured too
    except OSError:
        return False


@contextlib.contextmanager
def fresh_bucket(server: Server) -> Iterator[str]:
    """The name of a new bucket, emptied and deleted at the end."""
    bucket = bucket_at(server, f"s3vfs-benchmark-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    bucket.create()
    try:
        yield bucket.name
    finally:
        bucket.objects.all().delete()
        bucket.delete()
        bucket.meta.client.close()


def server_version(server: Server) -> str:
    """What MinIO's admin interface says it is; what the Server header says where there is none."""
    url = f"{server.endpoint}/minio/admin/v3/info"
    request = AWSRequest("GET", url)
    credentials = Credentials(server.access_key, server.secret_key)
    S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
    prepared = urllib.request.Request(url, headers=dict(request.headers.items()))
    try:
        with urllib.request.urlopen(prepared, timeout=5) as response:
            described = json.load(response)["servers"][0]
    except urllib.error.HTTPError as error:
        return error.headers.get("Server") or "unknown"
    return f"MinIO {described['version']}, {described.get('runtime_version', 'unknown Go')}"

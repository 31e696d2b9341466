"""The recorder's figures are those of the wire: held against a counting proxy before a real MinIO."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from counting_proxy import CountingProxy, Seen, counting_proxy

from benchmarks.recorder import Recorder, classify
from benchmarks.trace import Request, longest_chain

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.service_resource import Bucket

METHOD_OF = {"GetObject": "GET", "ListObjects": "GET", "PutObject": "PUT", "DeleteObjects": "POST"}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    uninstall = recorder.install()
    yield recorder
    uninstall()


@pytest.fixture
def proxy(minio_bucket: Bucket) -> Iterator[CountingProxy]:
    with counting_proxy(minio_bucket.meta.client.meta.endpoint_url) as running:
        yield running


@pytest.fixture
def client(proxy: CountingProxy) -> Iterator[S3Client]:
    made = boto3.session.Session().client(
        "s3",
        endpoint_url=proxy.endpoint,
        aws_access_key_id=os.environ.get("S3VFS_TEST_ACCESS_KEY", "AKIAIDIDIDIDIDIDIDID"),
        aws_secret_access_key=os.environ.get("S3VFS_TEST_SECRET_KEY", "a" * 40),
        region_name="us-east-1",
        config=Config(max_pool_connections=8, retries={"mode": "standard", "max_attempts": 3}),
    )
    yield made
    made.close()


def as_counted(requests: list[Request]) -> Counter[tuple[str, int, int, int]]:
    return Counter((METHOD_OF[r.operation], r.status, r.sent, r.received) for r in requests)


def as_seen(seen: list[Seen]) -> Counter[tuple[str, int, int, int]]:
    return Counter((s.method, s.status, s.sent, s.received) for s in seen)


def test_every_request_is_counted_with_its_bytes(
    recorder: Recorder, proxy: CountingProxy, client: S3Client, minio_bucket: Bucket, prefix: str
) -> None:
    """Plain, conditional, ranged, streamed in parts, missing, listed, deleted, in several threads."""
    bucket, key = minio_bucket.name, f"{prefix}a"
    etag = client.put_object(Bucket=bucket, Key=key, Body=b"x" * 100_000, IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key=key, Body=b"other", IfMatch='"0"')
    with pytest.raises(ClientError, match="304"):
        client.get_object(Bucket=bucket, Key=key, IfNoneMatch=etag)
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket=bucket, Key=f"{prefix}missing")
    streamed = client.get_object(Bucket=bucket, Key=key, Range="bytes=10-70009")["Body"]
    assert sum(map(len, streamed.iter_chunks(1000))) == 70_000
    with ThreadPoolExecutor(4) as pool:
        bodies = pool.map(lambda _: client.get_object(Bucket=bucket, Key=key)["Body"].read(), range(8))
        assert [len(body) for body in bodies] == [100_000] * 8
    assert client.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] == 1
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})

    assert as_counted(recorder.requests()) == as_seen(proxy.seen)
    assert recorder.count() == 15
    kinds = Counter(request.kind for request in recorder.requests())
    assert kinds == {
        "PutObject if-none-match": 1,
        "PutObject if-match": 1,
        "GetObject if-none-match": 1,
        "GetObject range": 1,
        "GetObject": 9,
        "ListObjects": 1,
        "DeleteObjects": 1,
    }


def test_a_retry_is_a_request_of_its_own(
    recorder: Recorder, proxy: CountingProxy, client: S3Client, minio_bucket: Bucket, prefix: str
) -> None:
    proxy.refusals = 1

    client.put_object(Bucket=minio_bucket.name, Key=f"{prefix}a", Body=b"again")

    assert [r.status for r in recorder.requests()] == [503, 200] == [s.status for s in proxy.seen]


def test_the_recorded_times_enclose_those_of_the_server_and_the_latency(
    recorder: Recorder, proxy: CountingProxy, client: S3Client, minio_bucket: Bucket, prefix: str
) -> None:
    recorder.latency = 0.02
    for _ in range(3):
        client.put_object(Bucket=minio_bucket.name, Key=f"{prefix}a", Body=b"body")

    requests = recorder.requests()
    for request, seen in zip(requests, proxy.seen, strict=True):
        assert request.start + 0.02 <= seen.start <= seen.end <= request.end
    assert longest_chain(requests) == 3


def test_requests_that_wait_together_are_one_round_trip(
    recorder: Recorder, proxy: CountingProxy, client: S3Client, minio_bucket: Bucket, prefix: str
) -> None:
    """None of them is answered before all have been sent."""
    proxy.together = threading.Barrier(4)

    def put(number: int) -> None:
        client.put_object(Bucket=minio_bucket.name, Key=f"{prefix}{number}", Body=b"body")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(4)))

    assert recorder.count() == 4 == len(proxy.seen)
    assert longest_chain(recorder.requests()) == 1


def test_the_end_of_a_streamed_answer_is_when_it_was_read(
    recorder: Recorder, proxy: CountingProxy, client: S3Client, minio_bucket: Bucket, prefix: str
) -> None:
    client.put_object(Bucket=minio_bucket.name, Key=f"{prefix}a", Body=b"x" * 5000)
    body = client.get_object(Bucket=minio_bucket.name, Key=f"{prefix}a")["Body"]
    before = recorder.requests()[-1]

    body.read()

    after = recorder.requests()[-1]
    assert (before.received, after.received) == (0, 5000)
    assert after.end > before.end


def test_quiet_is_when_nothing_is_under_way(recorder: Recorder, client: S3Client) -> None:
    recorder.latency = 0.05
    thread = threading.Thread(target=client.list_buckets)
    thread.start()
    while not recorder.count():
        pass

    recorder.wait_until_quiet()

    assert [r.status for r in recorder.requests()] == [200]
    thread.join()


@pytest.mark.parametrize(
    ("method", "target", "operation", "key"),
    [
        ("GET", "/bucket/db/manifest", "GetObject", "db/manifest"),
        ("GET", "/bucket/a%20b/%C3%A9?versionId=1", "GetObject", "a b/é"),
        ("GET", "/bucket?list-type=2&prefix=db%2F", "ListObjects", "db/"),
        ("GET", "/bucket", "ListObjects", ""),
        ("PUT", "/bucket/db/segments/1", "PutObject", "db/segments/1"),
        ("PUT", "/bucket/big?partNumber=1&uploadId=u", "UploadPart", "big"),
        ("POST", "/bucket/big?uploads", "CreateMultipartUpload", "big"),
        ("POST", "/bucket/big?uploadId=u", "CompleteMultipartUpload", "big"),
        ("DELETE", "/bucket/big?uploadId=u", "AbortMultipartUpload", "big"),
        ("POST", "/bucket?delete", "DeleteObjects", ""),
        ("DELETE", "/bucket/db/0000000000", "DeleteObject", "db/0000000000"),
        ("HEAD", "/bucket/db/manifest", "HeadObject", "db/manifest"),
        ("HEAD", "/bucket", "HEAD bucket", ""),
    ],
)
def test_a_request_is_named_as_s3_names_it(method: str, target: str, operation: str, key: str) -> None:
    assert classify(method, f"http://localhost:9000{target}") == (operation, key)

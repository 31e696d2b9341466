"""What is learned from a request on its way out, for the places and signatures that AWS knows.

No request leaves: a handler answers in the place of the server.
"""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import boto3
import obstore
import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from obstore.store import S3Store

from sqlite_s3vfs.store.signed_requests import Manner, UnusualRequestError, observing


def client_for(region: str, **config: Any) -> Any:
    client = boto3.client(
        "s3",
        region_name=region,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        aws_session_token="token",
        config=Config(**config),
    )

    def answer(request: Any, **_event: Any) -> AWSResponse:
        raw = BytesIO(b"")
        raw.stream = lambda: iter(())  # type: ignore[attr-defined]
        return AWSResponse(request.url, 200, {"Content-Length": "0"}, raw)

    client.meta.events.register("before-send.s3.GetObject", answer)
    return client


def learned(client: Any, bucket: str, key: str = "db/segments/1") -> Manner:
    with observing(client) as observed:
        client.get_object(Bucket=bucket, Key=key, Range="bytes=0-1")
    return observed.manner(key)


PLACES = {
    "a region": ("eu-west-1", "bucket", {}, "https://bucket.s3.eu-west-1.amazonaws.com"),
    "a dot in the name": ("eu-west-1", "a.b", {}, "https://s3.eu-west-1.amazonaws.com/a.b"),
    "by path": (
        "eu-west-1", "bucket", {"s3": {"addressing_style": "path"}},
        "https://s3.eu-west-1.amazonaws.com/bucket",
    ),
    "both protocols": (
        "eu-west-1", "bucket", {"use_dualstack_endpoint": True},
        "https://bucket.s3.dualstack.eu-west-1.amazonaws.com",
    ),
    "accelerated": (
        "eu-west-1", "bucket", {"s3": {"use_accelerate_endpoint": True}},
        "https://bucket.s3-accelerate.amazonaws.com",
    ),
    "china": ("cn-north-1", "bucket", {}, "https://bucket.s3.cn-north-1.amazonaws.com.cn"),
}  # fmt: skip


@pytest.mark.parametrize(("region", "bucket", "config", "place"), PLACES.values(), ids=PLACES)
def test_obstore_asks_at_the_same_place_for_the_same_region(region, bucket, config, place):
    manner = learned(client_for(region, **config), bucket)

    assert (manner.place, manner.region) == (place, region)
    assert manner.credentials().token == "token"
    store = S3Store(
        "any",
        endpoint=manner.place,
        region=manner.region,
        virtual_hosted_style_request=True,
        access_key_id="key",
        secret_access_key="secret",
    )
    asked = obstore.sign(store, "GET", "db/segments/1", timedelta(minutes=1))
    assert asked.startswith(f"{place}/db/segments/1?")
    assert f"%2F{region}%2Fs3%2F" in asked


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"signature_version": UNSIGNED}, "not signed with version 4"),
        ({"signature_version": "s3"}, "headers of their own: date|not signed with version 4"),
    ],
)
def test_other_signatures_are_unusual(config, reason):
    with pytest.raises(UnusualRequestError, match=reason):
        learned(client_for("eu-west-1", **config), "bucket")


def test_a_key_that_is_spelt_in_another_way_is_unusual():
    with pytest.raises(UnusualRequestError, match="does not end with the key"):
        learned(client_for("eu-west-1"), "bucket", "a b")


def test_the_handlers_are_gone_afterwards():
    client = client_for("eu-west-1")
    first = learned(client, "bucket")

    with observing(client) as observed:
        pass
    client.get_object(Bucket="other", Key="key")

    assert first.place.startswith("https://bucket.")
    with pytest.raises(UnusualRequestError):
        observed.manner("key")

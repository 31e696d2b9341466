"""How the user's boto3 client asks for an object, seen on a request that it has sent itself.

A client's endpoint, addressing style, region and credentials come from a dozen places (arguments, the
environment, profiles, redirects of S3), and handlers of the user may change each request. So nothing
of it is computed anew here: one request is looked at on its way out. If it is a plain one, others may
ask for other keys and ranges in the same way; if anything about it is unusual, they may not.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies

_SIGNED_FOR = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/,]+/\d{8}/([^/,]+)/s3/aws4_request,")
"""https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html"""

_USUAL_HEADERS = frozenset(
    {
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "range",
        "user-agent",
        "x-amz-checksum-mode",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-trace-id",
    }
)
"""What a plain ranged GET carries. Any other one (a payer, an expected owner, one of the user's own)
means something to somebody and would be missing."""


class UnusualRequestError(Exception):
    """The client asks in a way that only it knows."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys that are valid for some minutes at least."""

    access_key: str
    secret_key: str
    token: str | None


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask for any object of the bucket: ``{place}/{key}``, signed for ``region``."""

    place: str
    region: str
    credentials: Callable[[], Credentials]
    """The client's own, renewed by it where they are temporary."""


class ObservedRequest:
    """The last GET that a thread's client has sent inside ``observing``."""

    def __init__(self) -> None:
        self._url = ""
        self._headers: dict[str, str] = {}
        self._signing: Mapping[str, Any] = {}

    def note_signing(self, **event: Any) -> None:
        """botocore's event ``before-sign``: who signs, and for what."""
        self._signing = event

    def note_sending(self, request: Any) -> None:
        """botocore's event ``before-send``: the request as it goes out."""
        self._url = str(request.url)
        self._headers = {
            str(name).lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }

    def manner(self, key: str) -> Manner:
        """What can be learned from the request, which asked for ``key``, an ASCII one.

        Raises:
            UnusualRequestError: it was none that can be repeated for other keys; the text says why.
        """
        unusual = sorted(self._headers.keys() - _USUAL_HEADERS)
        if unusual:
            raise UnusualRequestError(f"requests carry headers of their own: {', '.join(unusual)}")
        place = self._url.removesuffix(f"/{key}")
        if place == self._url:
            raise UnusualRequestError("the url does not end with the key")
        signed = _SIGNED_FOR.match(self._headers.get("authorization", ""))
        if signed is None:
            raise UnusualRequestError("requests are not signed with version 4 for the service s3")
        return Manner(place, signed[1], self._credentials)

    def _credentials(self) -> Credentials:
        signing = self._signing
        signer = signing["request_signer"].get_auth_instance(
            signing["signing_name"], signing["region_name"], signing["signature_version"]
        )
        found = signer.credentials
        return Credentials(found.access_key, found.secret_key, found.token)


@contextmanager
def observing(client: Any) -> Iterator[ObservedRequest]:
    """Look at what ``client`` sends for this thread; the handlers are gone afterwards.

    https://docs.aws.amazon.com/boto3/latest/guide/events.html
    """
    observed = ObservedRequest()
    here = threading.get_ident()

    def before_sign(**event: Any) -> None:
        if threading.get_ident() == here:
            observed.note_signing(**event)

    def before_send(request: Any, **_event: Any) -> None:
        if threading.get_ident() == here:
            observed.note_sending(request)

    events = client.meta.events
    events.register("before-sign.s3.GetObject", before_sign)
    events.register_last("before-send.s3.GetObject", before_send)
    try:
        yield observed
    finally:
        events.unregister("before-sign.s3.GetObject", before_sign)
        events.unregister("before-send.s3.GetObject", before_send)


def check_plain_connection(client: Any) -> None:
    """Refuse a client whose sockets are opened in a way of their own.

    What it was told of certificates is kept by botocore's session alone, which has no public name: a
    release that keeps it elsewhere counts as unusual. Without TLS there are none to heed.

    Raises:
        UnusualRequestError: proxies, certificates, or a botocore that does not tell.
    """
    try:
        session = client._endpoint.http_session
        usual = session._verify is True and session._cert_file is None
        encrypted = not client.meta.endpoint_url.startswith("http://")
    except AttributeError as error:
        raise UnusualRequestError("this botocore does not tell how it connects") from error
    if encrypted and not usual:
        raise UnusualRequestError("the client has certificates of its own")
    if client.meta.config.proxies or any(name in getproxies() for name in ("http", "https", "all")):
        raise UnusualRequestError("requests go through a proxy")

"""What S3 says in trouble, and what comes of it: a server of our own says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import boto3
import pytest
from botocore.config import Config
from scripted_server import DATE, Answer, ScriptedServer, error, found, scripted_server

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    NotFoundError,
    S3VFSError,
    StoreUnavailableError,
    UnsafeStoreError,
)
from sqlite_s3vfs.store.port import ConflictingRequestError, Fetched, PreconditionFailedError
from sqlite_s3vfs.store.s3 import S3ObjectStore


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as script:
        yield script


def connect(endpoint: str, **config: object) -> S3ObjectStore:
    """A store at ``endpoint`` whose client asks once, and has patience with a slow machine."""
    patience = {"connect_timeout": 60, "read_timeout": 60, "retries": {"total_max_attempts": 1}}
    resource = boto3.resource(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        config=Config(**{**patience, **config}),
    )
    return S3ObjectStore(resource.Bucket("bucket"))


@pytest.fixture
def store(server: ScriptedServer) -> Iterator[S3ObjectStore]:
    store = connect(server.endpoint)
    yield store
    store.close()


CALLS: dict[str, Callable[[S3ObjectStore], object]] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", b"body"),
    "create": lambda store: store.put("key", b"body", if_absent=True),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete(["key"]),
}

ANSWERS: dict[str, tuple[Answer, type[S3VFSError]]] = {
    "internal error": (error(500, "InternalError"), StoreUnavailableError),
    "slow down": (error(503, "SlowDown"), StoreUnavailableError),
    "bad gateway": (Answer(502, b"<html>oh</html>"), StoreUnavailableError),
    "request time-out": (error(400, "RequestTimeout"), StoreUnavailableError),
    "connection closed": (Answer(0), StoreUnavailableError),
    "denied": (error(403, "AccessDenied"), AccessDeniedError),
    "expired": (error(400, "ExpiredToken"), AccessDeniedError),
    "no bucket": (error(404, "NoSuchBucket"), NotFoundError),
    "no S3 at all": (Answer(404, b"<html>not here</html>"), NotFoundError),
    "not possible": (error(400, "InvalidRequest"), InvalidArgumentError),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("answer", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_trouble_has_its_class_and_names_the_bucket(server, store, call, answer, expected):
    server.answers = [answer]

    with pytest.raises(expected, match="bucket='bucket'") as caught:
        call(store)

    assert type(caught.value) is expected
    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__) not in str(caught.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_answer_at_all_is_unavailability(server, call):
    server.answers = [Answer(-1)] * 3

    store = connect(server.endpoint, read_timeout=0.1)
    with closing(store), pytest.raises(StoreUnavailableError, match="bucket='bucket'") as caught:
        call(store)

    assert type(caught.value) is StoreUnavailableError
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (error(412, "PreconditionFailed"), PreconditionFailedError),
        (error(404, "NoSuchKey"), PreconditionFailedError),
        (error(409, "ConditionalRequestConflict"), ConflictingRequestError),
        (error(409, "OperationAborted"), ConflictingRequestError),
        (error(501, "NotImplemented"), UnsafeStoreError),
        (error(404, "NoSuchBucket"), NotFoundError),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_conditional_put_that_is_refused_has_its_class(server, store, answer, expected):
    for condition in ({"if_match": '"e"'}, {"if_absent": True}):
        server.answers = [answer]
        with pytest.raises(expected) as caught:
            store.put("key", b"body", **condition)
        assert type(caught.value) is expected


def test_a_denied_read_says_that_the_object_may_be_missing(server, store):
    server.answers = [error(403, "AccessDenied")]

    with pytest.raises(AccessDeniedError, match="denies a missing key too"):
        store.get("key")


def test_no_server_is_unavailability(server):
    with scripted_server() as other:
        gone = other.endpoint

    for call in CALLS.values():
        with pytest.raises(StoreUnavailableError, match=gone):
            call(connect(gone))


def test_an_unknown_host_is_unavailability():
    with pytest.raises(StoreUnavailableError, match=r"no-such-host\.invalid"):
        connect("http://no-such-host.invalid").get("key")


def test_a_body_that_breaks_off_is_asked_for_again(server, store):
    server.answers = [
        Answer(body=b"hal", headers=found(b"").headers, promised=5),
        Answer(body=b"", headers=found(b"").headers, promised=5),
        found(b"whole"),
    ]

    answer = store.get("key")

    assert isinstance(answer, Fetched)
    assert answer.body == b"whole"
    assert store.extra_requests == 2


def test_a_body_that_never_comes_whole_is_unavailability(server, store):
    server.answers = [Answer(body=b"hal", headers=found(b"").headers, promised=5)] * 5

    with pytest.raises(StoreUnavailableError):
        store.get("key")

    assert len(server.asked) == 3


def test_a_part_that_breaks_off_is_asked_for_again(server, store):
    headers = {**found(b"").headers, "Content-Range": "bytes 2-4/9"}
    server.answers = [Answer(206, b"2", headers, promised=3), Answer(206, b"234", headers)]

    answer = store.get("key", byte_range=(2, 5))

    assert isinstance(answer, Fetched)
    assert answer.body == b"234"
    assert [asked.headers["Range"] for asked in server.asked] == ["bytes=2-4"] * 2


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"345", "bytes 3-5/9"),
        (b"2345", "bytes 2-5/9"),
        (b"23", "bytes 2-3/9"),
        (b"234", "bytes 2-5/9"),
        (b"234", "nonsense"),
        (b"234", "bytes 2-4/4"),
    ],
)
def test_another_part_than_was_asked_for_is_never_taken_for_it(server, store, body, told):
    server.answers = [Answer(206, body, {**found(b"").headers, "Content-Range": told})] * 3

    with pytest.raises(StoreUnavailableError):
        store.get("key", byte_range=(2, 5))


def test_the_end_of_an_object_is_shorter_than_what_was_asked_for(server, store):
    server.answers = [Answer(206, b"78", {**found(b"").headers, "Content-Range": "bytes 7-8/9"})]

    answer = store.get("key", byte_range=(7, 100))

    assert isinstance(answer, Fetched)
    assert answer.body == b"78"


def test_a_server_without_ranges_may_send_the_whole_object(server, store):
    server.answers = [found(b"012345678")] * 2

    first = store.get("key", byte_range=(2, 5))
    second = store.get("key", byte_range=(7, 100))

    assert isinstance(first, Fetched)
    assert isinstance(second, Fetched)
    assert (first.body, second.body) == (b"234", b"78")


def test_an_object_that_grows_under_a_read_past_its_end_is_read_again(server, store):
    grown = Answer(206, b"56", {**found(b"").headers, "Content-Range": "bytes 5-6/7"})
    server.answers = [error(416, "InvalidRange"), found(b"0123456"), grown]

    answer = store.get("key", byte_range=(5, 9))

    assert isinstance(answer, Fetched)
    assert answer.body == b"56"
    assert [asked.method for asked in server.asked] == ["GET", "HEAD", "GET"]


def test_an_object_that_vanishes_under_a_read_past_its_end_is_missing(server, store):
    server.answers = [error(416, "InvalidRange"), Answer(404)]

    assert store.get("key", byte_range=(5, 9)) is None


def test_an_answer_without_a_date_is_not_taken(server, store):
    server.answers = [Answer(body=b"body", headers=found(b"").headers, date="")]

    with pytest.raises(StoreUnavailableError, match="date"):
        store.get("key")


def test_an_unreadable_listing_is_unavailability(server, store):
    server.answers = [Answer(body=b"<ListBucketResult><Contents>", headers={})]

    with pytest.raises(StoreUnavailableError):
        list(store.list(""))


def test_some_objects_that_were_not_deleted_are_an_error(server, store):
    said = (
        b"<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error>"
        b"<Error><Key>b</Key><Code>InternalError</Code></Error></DeleteResult>"
    )
    server.answers = [Answer(body=said), Answer(body=said.replace(b"InternalError", b"AccessDenied"))]

    with pytest.raises(StoreUnavailableError, match="first='b' code=InternalError"):
        store.delete(["a", "b", "c"])
    with pytest.raises(AccessDeniedError, match="first='b' code=AccessDenied"):
        store.delete(["a", "b", "c"])


def test_what_is_already_gone_is_no_error(server, store):
    gone = b"<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    server.answers = [Answer(body=gone), error(404, "NoSuchKey")]

    store.delete(["a"])
    store.delete(["a\x01"])

    assert [asked.method for asked in server.asked] == ["POST", "DELETE"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_silent_retries_are_counted(server, mode):
    """The SDK waits up to a second between them."""
    store = connect(server.endpoint, retries={"mode": mode, "total_max_attempts": 2})
    server.answers = [error(503, "SlowDown"), found(b"body")]

    assert isinstance(store.get("key"), Fetched)
    assert store.extra_requests == 1

    server.answers = [error(500, "InternalError")] * 2
    with pytest.raises(StoreUnavailableError):
        store.put("key", b"body")
    assert store.extra_requests == 2


def test_requests_are_made_once_on_one_connection(server, store):
    """No request for checksums or redirects, no body that waits to be asked for, no new socket."""
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    server.answers = [
        found(b"body"),
        found(b""),
        found(b""),
        error(412, "PreconditionFailed"),
        error(404, "NoSuchKey"),
        Answer(304),
        Answer(body=listing),
        Answer(body=b"<DeleteResult/>"),
    ]

    store.get("key")
    store.put("key", b"body")
    store.put("key", b"body", if_match='"e"')
    with pytest.raises(PreconditionFailedError):
        store.put("key", b"body", if_absent=True)
    store.get("missing")
    store.get("key", if_none_match='"e"')
    list(store.list(""))
    store.delete(["a", "b"])

    methods = [asked.method for asked in server.asked]
    assert methods == ["GET", "PUT", "PUT", "PUT", "GET", "GET", "GET", "POST"]
    assert len({asked.connection for asked in server.asked}) == 1
    assert not any("Expect" in asked.headers for asked in server.asked)
    assert server.asked[1].body == b"body"
    assert server.asked[2].headers["If-Match"] == '"e"'
    assert server.asked[3].headers["If-None-Match"] == "*"


def test_store_times_are_those_of_the_answers(server, store):
    earlier = "Fri, 20 Nov 2026 08:25:24 GMT"
    server.answers = [Answer(body=b"x", headers={"ETag": '"e"', "Last-Modified": earlier})]

    answer = store.get("key")

    assert isinstance(answer, Fetched)
    assert DATE == "Sat, 21 Nov 2026 08:25:24 GMT"
    assert answer.date == 1795249524
    assert answer.date - answer.last_modified == 86400

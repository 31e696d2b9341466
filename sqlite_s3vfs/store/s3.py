"""S3 through boto3; the only module that knows boto3, and where its errors become ours.

The user's own ``Bucket`` is used with everything that is set on it: credentials, region, endpoint,
time-outs, retries, pool size. Only its low-level client does requests: it may be shared between
threads, which a resource may not
(https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients).

The SDK repeats requests in silence, so a conditional put can be refused because of its own first
attempt: a ``PreconditionFailedError`` is settled by whoever gets it (invariant I1).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    NotFoundError,
    S3VFSError,
    StoreUnavailableError,
    UnsafeStoreError,
)
from sqlite_s3vfs.store.arguments import (
    KEYS_IN_ONE_REQUEST,
    check_key,
    check_listing,
    check_put_conditions,
    check_range,
)
from sqlite_s3vfs.store.port import Fetched, Listed, NotModified, Stored
from sqlite_s3vfs.store.s3errors import error_of_answer, explanation

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

_FOR_PUTS = frozenset({"ServerSideEncryption", "SSEKMSKeyId", "StorageClass"})
_FOR_ALL = frozenset({"ExpectedBucketOwner", "RequestPayer"})

_BODY_ATTEMPTS = 3
"""How often an object is asked for whose body breaks off: the SDK does not repeat that."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML request cannot name (https://www.w3.org/TR/xml/#charsets)."""

# The first row that fits; what is in none of them is a request that the SDK refused to build.
_ERROR_BY_SDK_CLASS: Sequence[tuple[type[Exception], type[S3VFSError]]] = (
    (sdk.NoCredentialsError, AccessDeniedError),
    (sdk.PartialCredentialsError, AccessDeniedError),
    (sdk.CredentialRetrievalError, AccessDeniedError),
    (sdk.TokenRetrievalError, AccessDeniedError),
    (sdk.SSOError, AccessDeniedError),
    (sdk.HTTPClientError, StoreUnavailableError),
    (sdk.ConnectionError, StoreUnavailableError),
    (sdk.IncompleteReadError, StoreUnavailableError),
    (sdk.FlexibleChecksumError, StoreUnavailableError),
    (ResponseParserError, StoreUnavailableError),
    (OSError, StoreUnavailableError),
)


class S3ObjectStore:
    """The objects of one bucket, on AWS or anything that speaks its protocol.

    ``extra_args`` go along with the requests that accept them, as in boto3's transfers:
    ``ServerSideEncryption``, ``SSEKMSKeyId`` and ``StorageClass`` with each put,
    ``ExpectedBucketOwner`` and ``RequestPayer`` with all.

    Raises:
        InvalidArgumentError: not a boto3 bucket, or an extra argument that is not one of these.
    """

    def __init__(self, bucket: Bucket, extra_args: Mapping[str, str] | None = None) -> None:
        try:
            self._bucket = bucket.name
            self.client: Any = bucket.meta.client       # the user's; it may be shared between threads
        except AttributeError as error:
            raise InvalidArgumentError(
                f'a boto3 bucket is needed: boto3.resource("s3").Bucket(name). got={bucket!r}'
            ) from error
        given = dict(extra_args or {})
        _check_extra_args(given)
        self._with_all = {name: given[name] for name in given if name in _FOR_ALL}
        self._with_puts = given
        self._sent = threading.local()

    @property
    def identity(self) -> str:
        """The endpoint and the bucket; on AWS its partition, in which bucket names are unique."""
        endpoint = urlsplit(self.client.meta.endpoint_url)
        if (endpoint.hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return f"{self.client.meta.partition}:{self._bucket}"
        return f"{endpoint.scheme}://{endpoint.netloc.lower()}{endpoint.path.rstrip('/')}/{self._bucket}"

    @property
    def parallel_requests(self) -> int:
        """How many connections the user's client keeps: more requests at once gain nothing."""
        return int(self.client.meta.config.max_pool_connections)

    @property
    def extra_requests(self) -> int:
        """Requests of this thread so far beyond those that the port tells of.

        The SDK's silent retries where S3 answered in the end, bodies asked for again, and the
        second request that a range past the end costs.
        """
        return getattr(self._sent, "extra", 0)

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        """See ``ObjectStore.get``. A range that starts at or past the end costs two requests."""
        check_key(key)
        check_range(byte_range)
        asked: dict[str, str] = {"Key": key}
        if if_match is not None:
            asked["IfMatch"] = if_match
        if if_none_match is not None:
            asked["IfNoneMatch"] = if_none_match
        failure: Exception | None = None
        for attempt in range(_BODY_ATTEMPTS):
            self._count_extra(min(attempt, 1))
            try:
                return self._fetch(asked, byte_range)
            except _UnusableAnswerError as error:
                failure = error
        raise StoreUnavailableError(
            f"s3 sends the object in part only: try again. bucket={self._bucket!r} key={key!r}"
        ) from failure

    def put(
        self, key: str, body: bytes | bytearray, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        """See ``ObjectStore.put``."""
        check_key(key)
        check_put_conditions(if_match=if_match, if_absent=if_absent)
        # A bytearray goes out with its headers. Of bytes the SDK makes a file, and sends the body of
        # a file only when the server has answered "100 Continue": a round trip more.
        sent = body if isinstance(body, bytearray) else bytearray(body)
        asked: dict[str, Any] = {"Key": key, "Body": sent, **self._with_puts}
        if if_match is not None:
            asked["IfMatch"] = if_match
        if if_absent:
            asked["IfNoneMatch"] = "*"
        answer = self._call("put", self.client.put_object, asked)
        return Stored(etag=str(answer["ETag"]), date=_date(answer))

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        """See ``ObjectStore.list``."""
        check_listing(prefix, start_after, limit)
        return self._rows(prefix, start_after, limit)

    def delete(self, keys: Sequence[str]) -> None:
        """See ``ObjectStore.delete``. A key that XML cannot hold costs a request of its own."""
        for key in keys:
            check_key(key)
        odd = [key for key in keys if _NOT_IN_XML.search(key)]
        plain = [key for key in keys if not _NOT_IN_XML.search(key)] if odd else keys
        for key in odd:
            asked = {"Key": key, **self._with_all}
            self._call("delete", self.client.delete_object, asked, expected={"NoSuchKey"})
        self._count_extra(len(odd) if plain else max(0, len(odd) - 1))
        for start in range(0, len(plain), KEYS_IN_ONE_REQUEST):
            self._delete_batch(plain[start : start + KEYS_IN_ONE_REQUEST])

    def close(self) -> None:
        """Drop the sockets of the user's client; it opens new ones when it is used again."""
        self.client.close()

    def _fetch(
        self, asked: Mapping[str, str], byte_range: tuple[int, int] | None
    ) -> Fetched | NotModified | None:
        request = {**asked, **self._with_all}
        if byte_range is not None:
            request["Range"] = f"bytes={byte_range[0]}-{byte_range[1] - 1}"
        answer = self._call(
            "get", self.client.get_object, request, expected={"304", "NoSuchKey", "InvalidRange"}
        )
        match _error_code(answer):
            case "304":
                return NotModified(date=_date(answer))
            case "NoSuchKey":
                return None
            case "InvalidRange" if byte_range is not None:
                return self._fetch_nothing(asked, byte_range[0])
        return Fetched(
            body=_read_body(answer, byte_range),
            etag=str(answer["ETag"]),
            last_modified=answer["LastModified"].timestamp(),
            date=_date(answer),
        )

    def _fetch_nothing(self, asked: Mapping[str, str], start: int) -> Fetched | NotModified | None:
        """The empty end of an object: S3's refusal of the range does not tell its ETag."""
        self._count_extra(1)
        answer = self._call(
            "get", self.client.head_object, {**asked, **self._with_all}, expected={"304", "404"}
        )
        match _error_code(answer):
            case "304":
                return NotModified(date=_date(answer))
            case "404":
                return None
        if answer["ContentLength"] > start:
            raise _UnusableAnswerError(
                f"the object grew while it was read. bucket={self._bucket} key={asked['Key']!r}"
            )
        return Fetched(
            body=b"",
            etag=str(answer["ETag"]),
            last_modified=answer["LastModified"].timestamp(),
            date=_date(answer),
        )

    def _rows(self, prefix: str, start_after: str, limit: int | None) -> Iterator[Listed]:
        asked: dict[str, Any] = {"Prefix": prefix, "StartAfter": start_after, **self._with_all}
        while limit is None or limit > 0:
            asked["MaxKeys"] = KEYS_IN_ONE_REQUEST if limit is None else min(limit, 1000)
            answer = self._call("list", self.client.list_objects_v2, asked)
            rows = answer.get("Contents", ())
            for row in rows:
                yield Listed(
                    key=row["Key"],
                    size=row["Size"],
                    etag=row["ETag"],
                    last_modified=row["LastModified"].timestamp(),
                )
            if not answer["IsTruncated"]:
                return
            asked["ContinuationToken"] = answer["NextContinuationToken"]
            limit = None if limit is None else limit - len(rows)

    def _delete_batch(self, keys: Sequence[str]) -> None:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        asked = {"Delete": wanted, **self._with_all}
        answer = self._call("delete", self.client.delete_objects, asked)
        refused = [row for row in answer.get("Errors", ()) if row.get("Code") != "NoSuchKey"]
        if refused:
            denied = any(row.get("Code") == "AccessDenied" for row in refused)
            error = AccessDeniedError if denied else StoreUnavailableError
            raise error(
                f"{explanation(error, 'delete', '')} bucket={self._bucket!r} keys={len(keys)} "
                f"refused={len(refused)} first={refused[0].get('Key')!r} "
                f"code={refused[0].get('Code')}"
            )

    def _call(
        self,
        operation: str,
        method: Any,
        asked: Mapping[str, Any],
        *,
        expected: Collection[str] = (),
    ) -> Mapping[str, Any]:
        """One request. An answer with one of the ``expected`` error codes is returned as it is."""
        asked = {"Bucket": self._bucket, **asked}
        endpoint = self.client.meta.endpoint_url
        try:
            answer: Mapping[str, Any] = method(**asked)
        except sdk.ClientError as error:
            self._count_extra(error.response["ResponseMetadata"].get("RetryAttempts", 0))
            if error.response["Error"].get("Code") not in expected:
                raise _translated(operation, asked, error, endpoint=endpoint) from error
            return error.response
        except (sdk.BotoCoreError, ResponseParserError, OSError) as error:
            raise _translated(operation, asked, error, endpoint=endpoint) from error
        self._count_extra(answer["ResponseMetadata"].get("RetryAttempts", 0))
        return answer

    def _count_extra(self, requests: int) -> None:
        self._sent.extra = self.extra_requests + requests


def _translated(
    operation: str, asked: Mapping[str, Any], error: Exception, *, endpoint: str
) -> S3VFSError:
    facts: dict[str, object] = {"bucket": asked["Bucket"]}
    facts |= {name.lower(): asked[name] for name in ("Key", "Prefix") if name in asked}
    answered: str | None = None
    if isinstance(error, sdk.ClientError):
        code = answered = error.response["Error"].get("Code", "")
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        conditional = "IfMatch" in asked or "IfNoneMatch" in asked
        found = error_of_answer(code, status, conditional=conditional)
        if found is UnsafeStoreError and not _FOR_PUTS.isdisjoint(asked):
            found = InvalidArgumentError  # encryption or storage class may be what it lacks
        facts |= {"code": code, "status": status}
        if found is NotFoundError:
            facts["endpoint"] = endpoint
    else:
        rows = (ours for theirs, ours in _ERROR_BY_SDK_CLASS if isinstance(error, theirs))
        found = next(rows, InvalidArgumentError)
        facts |= {"endpoint": endpoint, "error": type(error).__name__}
    said = explanation(found, operation, answered)
    return found(f"{said} {' '.join(f'{name}={value!r}' for name, value in facts.items())}")


class _UnusableAnswerError(StoreUnavailableError):
    """What came is not what was promised; another request may do better."""


def _check_extra_args(extra_args: Mapping[str, str]) -> None:
    for name, value in extra_args.items():
        if name not in _FOR_PUTS | _FOR_ALL:
            raise InvalidArgumentError(
                f"an extra argument is not one that is passed on to s3. "
                f"name={name!r} known={sorted(_FOR_PUTS | _FOR_ALL)}"
            )
        if not isinstance(value, str):
            raise InvalidArgumentError(f"an extra argument must be text. name={name!r} value={value!r}")


def _error_code(answer: Mapping[str, Any]) -> str | None:
    code: str | None = answer.get("Error", {}).get("Code")
    return code


def _read_body(answer: Mapping[str, Any], byte_range: tuple[int, int] | None) -> bytes:
    """The bytes that were asked for, or an error: what the headers promise must have come."""
    with closing(answer["Body"]) as stream:
        try:
            body: bytes = stream.read()
        except (sdk.BotoCoreError, HTTPError, OSError) as error:
            raise _UnusableAnswerError("the body of an object broke off.") from error
    if len(body) != answer.get("ContentLength", len(body)):
        raise _UnusableAnswerError(
            f"an object came in part. promised={answer['ContentLength']} came={len(body)}"
        )
    if byte_range is None:
        return body
    if "ContentRange" not in answer:
        # The whole object: HTTP allows to ignore a range
        # (https://www.rfc-editor.org/rfc/rfc9110#section-14.2).
        return body[slice(*byte_range)]
    promised = _CONTENT_RANGE.fullmatch(answer["ContentRange"])
    start, stop, size = (int(number) for number in promised.groups()) if promised else (0, 0, 0)
    if (start, stop + 1) != (byte_range[0], min(byte_range[1], size)) or len(body) != stop + 1 - start:
        raise _UnusableAnswerError(
            f"another part of an object came than was asked for. start={byte_range[0]} "
            f"stop={byte_range[1]} came={answer['ContentRange']!r} bytes={len(body)}"
        )
    return body


def _date(answer: Mapping[str, Any]) -> float:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    if date is None:
        raise StoreUnavailableError(
            "the store answers without a date, which rules of retention and collection rest on."
        )
    return _seconds(date)


@lru_cache(maxsize=16)
def _seconds(http_date: str) -> float:
    """Seconds since the epoch; many answers of one second share the parsing."""
    return parsedate_to_datetime(http_date).timestamp()

"""Each answer of S3 becomes the class that says what to do next."""

from __future__ import annotations

import itertools

import pytest

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    NotFoundError,
    S3VFSError,
    StoreUnavailableError,
    UnsafeStoreError,
)
from sqlite_s3vfs.store.port import ConflictingRequestError, PreconditionFailedError
from sqlite_s3vfs.store.s3errors import error_of_answer, explanation

ANSWERS: list[tuple[str, int, type[S3VFSError]]] = [
    ("NoSuchBucket", 404, NotFoundError),
    ("404", 404, NotFoundError),
    ("AccessDenied", 403, AccessDeniedError),
    ("InvalidAccessKeyId", 403, AccessDeniedError),
    ("SignatureDoesNotMatch", 403, AccessDeniedError),
    ("RequestTimeTooSkewed", 403, AccessDeniedError),
    ("", 401, AccessDeniedError),
    ("ExpiredToken", 400, AccessDeniedError),
    ("InvalidToken", 400, AccessDeniedError),
    ("TokenRefreshRequired", 400, AccessDeniedError),
    ("AuthorizationHeaderMalformed", 400, AccessDeniedError),
    ("KeyTooLongError", 400, InvalidArgumentError),
    ("InvalidStorageClass", 400, InvalidArgumentError),
    ("PermanentRedirect", 301, InvalidArgumentError),
    ("MethodNotAllowed", 405, InvalidArgumentError),
    ("NotImplemented", 501, InvalidArgumentError),
    ("InternalError", 500, StoreUnavailableError),
    ("ServiceUnavailable", 503, StoreUnavailableError),
    ("SlowDown", 503, StoreUnavailableError),
    ("502", 502, StoreUnavailableError),
    ("TooManyRequests", 429, StoreUnavailableError),
    ("RequestTimeout", 400, StoreUnavailableError),
    ("BadDigest", 400, StoreUnavailableError),
    ("IncompleteBody", 400, StoreUnavailableError),
    ("XAmzContentSHA256Mismatch", 400, StoreUnavailableError),
]


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(("code", "status", "expected"), ANSWERS)
def test_an_answer_has_its_class(code: str, status: int, expected: type[S3VFSError], conditional: bool):
    if conditional and status == 501:
        expected = UnsafeStoreError

    assert error_of_answer(code, status, conditional=conditional) is expected


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("PreconditionFailed", 412, PreconditionFailedError),
        ("", 412, PreconditionFailedError),
        ("NoSuchKey", 404, PreconditionFailedError),
        ("ConditionalRequestConflict", 409, ConflictingRequestError),
        ("OperationAborted", 409, ConflictingRequestError),
        ("", 409, ConflictingRequestError),
    ],
)
def test_only_a_request_with_a_condition_can_be_refused_for_it(
    code: str, status: int, expected: type[S3VFSError]
):
    assert error_of_answer(code, status, conditional=True) is expected
    assert error_of_answer(code, status, conditional=False) is StoreUnavailableError


@pytest.mark.parametrize(
    "error",
    [
        *dict.fromkeys(row[2] for row in ANSWERS),
        PreconditionFailedError,
        ConflictingRequestError,
        UnsafeStoreError,
    ],
    ids=lambda error: error.__name__,
)
def test_every_class_explains_itself(error: type[S3VFSError]):
    for operation, code in itertools.product(("get", "put", "list", "delete"), (None, "", "Code")):
        text = explanation(error, operation, code)

        assert text[0].islower()
        assert text.endswith(".")
        assert "{" not in text


def test_who_is_not_known_is_told_something_else_than_who_is_not_allowed():
    for code in (None, "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        assert "renew" in explanation(AccessDeniedError, "put", code)
    assert "s3:PutObject" in explanation(AccessDeniedError, "put", "AccessDenied")
    assert "s3:ListBucket" in explanation(AccessDeniedError, "list", "AccessDenied")

"""What S3's error answers mean here: the one table from its codes to our classes."""

from __future__ import annotations

from collections.abc import Mapping

from sqlite_s3vfs.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    NotFoundError,
    S3VFSError,
    StoreUnavailableError,
    UnsafeStoreError,
)
from sqlite_s3vfs.store.port import ConflictingRequestError, PreconditionFailedError

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList, as far as the
# HTTP status alone would mislead.
_BY_CODE: Mapping[str, type[S3VFSError]] = {
    # A put with If-Match to a key that is missing.
    "NoSuchKey": PreconditionFailedError,
    "PreconditionFailed": PreconditionFailedError,
    "ConditionalRequestConflict": ConflictingRequestError,
    "OperationAborted": ConflictingRequestError,
    "NoSuchBucket": NotFoundError,
    "AuthorizationHeaderMalformed": AccessDeniedError,
    "ExpiredToken": AccessDeniedError,
    "InvalidToken": AccessDeniedError,
    "TokenRefreshRequired": AccessDeniedError,
    "BadDigest": StoreUnavailableError,
    "IncompleteBody": StoreUnavailableError,
    "RequestTimeout": StoreUnavailableError,
    "RequestLimitExceeded": StoreUnavailableError,
    "Throttling": StoreUnavailableError,
    "ThrottlingException": StoreUnavailableError,
    "XAmzContentChecksumMismatch": StoreUnavailableError,
    "XAmzContentSHA256Mismatch": StoreUnavailableError,
}

_BY_STATUS: Mapping[int, type[S3VFSError]] = {
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: NotFoundError,
    408: StoreUnavailableError,
    409: ConflictingRequestError,
    412: PreconditionFailedError,
    429: StoreUnavailableError,
    501: InvalidArgumentError,
}

_BAD_CREDENTIALS = frozenset(
    {
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "InvalidTokenId",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
"""Codes of answers to whom s3 does not know, as against who is not allowed to."""

_RIGHTS: Mapping[str, str] = {
    "get": "s3:GetObject (and s3:ListBucket, without which s3 denies a missing key too)",
    "put": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}

_EXPLANATIONS: Mapping[type[S3VFSError], str] = {
    AccessDeniedError: "s3 denied the {operation}: grant these credentials the right {right}.",
    ConflictingRequestError: "another request on the key was under way; send this one again.",
    InvalidArgumentError: "s3 cannot carry out the {operation} as it was asked for.",
    NotFoundError: "there is no such bucket at this endpoint: check both names.",
    PreconditionFailedError: "the condition of the {operation} did not hold.",
    StoreUnavailableError: (
        "s3 could not serve the {operation}: see that the endpoint can be reached, and try again."
    ),
    UnsafeStoreError: (
        "the store does not know conditional writes, so it cannot keep two writers apart: use "
        'another store, or locking="none" with one writer at a time, at your own risk.'
    ),
}


def error_of_answer(code: str, status: int, *, conditional: bool) -> type[S3VFSError]:
    """The class for an error code and an HTTP status; ``conditional``: of a put with a condition.

    A store may answer 501 to a header that it does not know: that is its "no conditional writes".
    """
    if conditional and status == 501:
        return UnsafeStoreError
    by_status = StoreUnavailableError if status >= 500 else InvalidArgumentError
    found = _BY_CODE.get(code) or _BY_STATUS.get(status, by_status)
    if not conditional and found in (PreconditionFailedError, ConflictingRequestError):
        return StoreUnavailableError
    return found


def explanation(error: type[S3VFSError], operation: str, code: str | None = None) -> str:
    """What happened to the ``operation`` and, where there is one, the way out.

    ``code`` is the one that s3 answered; None where the request never left.
    """
    if error is AccessDeniedError and (code is None or code in _BAD_CREDENTIALS):
        return (
            f"s3 refused the {operation} with these credentials: check them, renew them where they are "
            "temporary, and see that the clock is right."
        )
    return _EXPLANATIONS[error].format(operation=operation, right=_RIGHTS[operation])

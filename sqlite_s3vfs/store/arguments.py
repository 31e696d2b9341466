"""Which arguments every store refuses, so that all of them refuse the same ones.

A mistake of the caller is found here, before a request is spent on it.
"""

from __future__ import annotations

from sqlite_s3vfs.errors import InvalidArgumentError

LONGEST_KEY = 1024
"""Bytes of UTF-8 that a key may have.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

KEYS_IN_ONE_REQUEST = 1000
"""Rows that S3 lists, and keys that it deletes, in one request.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
"""


def check_key(key: str) -> None:
    """Refuse what no store can hold under this name.

    Raises:
        InvalidArgumentError: ``key`` is empty, begins with a slash, is too long or is not Unicode.
    """
    if not key:
        raise InvalidArgumentError("an object's key cannot be empty.")
    if key.startswith("/"):
        raise InvalidArgumentError(f"an object's key cannot begin with a slash. key={key!r}")
    size = _check_unicode(key)
    if size > LONGEST_KEY:
        raise InvalidArgumentError(
            f"an object's key is too long: choose a shorter name. "
            f"key={key!r} bytes={size} limit={LONGEST_KEY}"
        )


def check_range(byte_range: tuple[int, int] | None) -> None:
    """Refuse a range that HTTP cannot express: an empty one, or one before the start.

    Raises:
        InvalidArgumentError: not ``0 <= start < stop``.
    """
    if byte_range is not None and not 0 <= byte_range[0] < byte_range[1]:
        raise InvalidArgumentError(
            f"a byte range must hold at least one byte. start={byte_range[0]} stop={byte_range[1]}"
        )


def check_put_conditions(*, if_match: str | None, if_absent: bool) -> None:
    """Refuse a put that asks for a present and an absent object at once.

    Raises:
        InvalidArgumentError: both conditions were given.
    """
    if if_absent and if_match is not None:
        raise InvalidArgumentError(f"a put takes if_match or if_absent, not both. if_match={if_match}")


def check_listing(prefix: str, start_after: str, limit: int | None) -> None:
    """Refuse a listing of fewer than no rows, or of keys that cannot be.

    Raises:
        InvalidArgumentError: ``limit`` is negative, or the text is not Unicode.
    """
    if limit is not None and limit < 0:
        raise InvalidArgumentError(f"a listing cannot have fewer than 0 rows. limit={limit}")
    _check_unicode(prefix)
    _check_unicode(start_after)


def _check_unicode(text: str) -> int:
    """The size of ``text`` in bytes of UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"keys must be valid Unicode. text={text!r}") from error

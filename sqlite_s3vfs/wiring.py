"""From what users hold (a boto3 bucket, a URL) to databases: the only place that joins the parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.store.access import FROM_ENVIRONMENT, Access
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

__all__ = [
    "Database",
    "Engine",
    "folder_from_url",
    "open_database",
    "place_from_url",
    "store_for",
    "store_from_url",
]

_memory = MemoryObjectStore()
"""Where ``memory:`` URLs lead."""


def open_database(engine: Engine, prefix: str) -> Database:
    """The database under ``prefix``, existing or not. 0 requests.

    Raises:
        InvalidArgumentError: ``prefix`` cannot name a database.
    """
    return Database(engine, prefix)


def store_for(
    bucket: Bucket | ObjectStore, extra_args: Mapping[str, str] | None = None
) -> ObjectStore:
    """The store behind a boto3 ``Bucket``; a store is given back as it is.

    Raises:
        InvalidArgumentError: neither a bucket nor a store, or arguments that a store cannot take.
    """
    given: Any = bucket                 # told apart by what they can do: boto3 makes classes at run time
    if hasattr(given, "meta") and hasattr(given, "objects"):
        from sqlite_s3vfs.store.s3 import S3ObjectStore  # botocore is slow to import

        return S3ObjectStore(given, extra_args)
    if not (hasattr(given, "get") and hasattr(given, "identity")):
        raise InvalidArgumentError(
            "a boto3 Bucket is needed: boto3.resource('s3').Bucket('name'). "
            f"given={type(bucket).__name__}"
        )
    if extra_args:
        raise InvalidArgumentError("extra_args are for S3 buckets only.")
    store: ObjectStore = given
    return store


def store_from_url(url: str, access: Access = FROM_ENVIRONMENT) -> tuple[ObjectStore, str]:
    """Store and key prefix of ``s3://bucket/key``, ``file:///directory/name`` or ``memory:name``.

    S3 takes credentials, region and endpoint from where the AWS tools take them; ``access`` goes
    first. In a ``file`` URL the last element is the database and the rest the directory. ``memory:``
    lives with the process.

    Raises:
        InvalidArgumentError: another kind of URL, or a part of it is missing.
    """
    place, prefix = place_from_url(url, access)
    return store_for(place), prefix


def place_from_url(
    url: str, access: Access = FROM_ENVIRONMENT
) -> tuple[Bucket | ObjectStore, str]:
    """The same, with the boto3 bucket itself where it is one."""
    scheme, host, path = _parts(url)
    if scheme == "s3" and host and path.strip("/"):
        return _bucket(host, access), path.removeprefix("/")
    if scheme == "file" and not host and "/" in path.strip("/"):
        directory, _, name = path.rpartition("/")
        return DirectoryObjectStore(directory), name
    if scheme == "memory" and not host and path:
        return _memory, path
    raise InvalidArgumentError(
        "use s3://bucket/key, file:///directory/name or memory:name. " f"url={url!r}"
    )


def folder_from_url(url: str, access: Access = FROM_ENVIRONMENT) -> tuple[ObjectStore, str]:
    """Store and prefix of keys of all that lies below a URL, which may name a bucket or a directory.

    The prefix is empty or ends with a slash.

    Raises:
        InvalidArgumentError: another kind of URL.
    """
    scheme, host, path = _parts(url)
    if scheme == "s3" and host:
        prefix = path.strip("/")
        return store_for(_bucket(host, access)), f"{prefix}/" if prefix else ""
    if scheme == "file" and not host and path.strip("/"):
        return DirectoryObjectStore(path), ""
    if scheme == "memory" and not host:
        prefix = path.strip("/")
        return _memory, f"{prefix}/" if prefix else ""
    raise InvalidArgumentError(
        "use s3://bucket, s3://bucket/prefix, file:///directory or memory:. " f"url={url!r}"
    )


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, host and decoded path: all that there may be, so that no part of a name is passed over.

    Raises:
        InvalidArgumentError: there is more, or less, or the path is no text.
    """
    if "?" in url or "#" in url:
        raise InvalidArgumentError(
            "a name in a URL is percent-encoded: write %3F for a '?' and %23 for a '#'. " f"url={url!r}"
        )
    try:
        parts = urlsplit(url)
        path = unquote(parts.path, errors="strict")
    except ValueError as error:
        raise InvalidArgumentError(f"this is no URL. url={url!r} reason={error}") from error
    if url[:1] == " " or any(ord(character) < 32 or ord(character) == 127 for character in url + path):
        raise InvalidArgumentError(
            f"a URL has no control characters, and no space before it. url={url!r}"
        )
    return parts.scheme, parts.netloc, path


def _bucket(name: str, access: Access) -> Bucket:
    from sqlite_s3vfs.store.s3bucket import bucket_from_environment  # boto3 is slow to import

    return bucket_from_environment(name, access)

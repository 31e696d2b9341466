"""From a URL to a connection in one line."""

from __future__ import annotations

import os
from functools import lru_cache
from urllib.parse import quote

import apsw

from sqlite_s3vfs.vfs.s3vfs import S3VFS
from sqlite_s3vfs.wiring import store_from_url

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

Environment = tuple[tuple[str, str], ...]

_vfs_of_store: dict[tuple[str, Environment], S3VFS] = {}


def connect(url: str, *, flags: int = _FLAGS) -> apsw.Connection:
    """Open the database at ``url``: ``s3://bucket/key``, ``file:///directory/name`` or ``memory:name``.

    What follows a ``?`` goes to SQLite, such as ``mode=ro`` or ``immutable=1``
    (https://www.sqlite.org/uri.html#recognized_query_parameters). S3 takes credentials, region and
    endpoint from where the AWS tools take them. Connections to the same store share one VFS, and with
    it the cache and the threads. The result is an ordinary ``apsw.Connection``.

    Raises:
        InvalidArgumentError: not such a URL.
        apsw.CantOpenError: the database cannot be opened; the cause is chained.
    """
    place, _, parameters = url.partition("?")
    environment = tuple(
        sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))
    )
    vfs, prefix = _vfs_and_prefix(place, environment)
    query = "&".join(filter(None, (parameters, f"vfs={vfs.name}")))
    return apsw.Connection(f"file:{quote(prefix)}?{query}", flags=flags | apsw.SQLITE_OPEN_URI)


@lru_cache(maxsize=1024)
def _vfs_and_prefix(place: str, environment: Environment) -> tuple[S3VFS, str]:
    """Other credentials make another VFS; a boto3 client is made once for each URL at most."""
    store, prefix = store_from_url(place)
    key = (store.identity, environment)
    known = _vfs_of_store.get(key)
    if known is None:
        return _vfs_of_store.setdefault(key, S3VFS(store)), prefix
    return known, prefix

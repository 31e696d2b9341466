"""From a URL to a connection in one line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qs, quote

import apsw

from sqlite_s3vfs.settings import Locking, Settings, chosen_settings
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from sqlite_s3vfs.wiring import place_from_url, store_for

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_OF_ONE_VERSION = ("immutable", "version", "at", "checkpoint")

Items = tuple[tuple[str, str], ...]

_vfs_of_store: dict[tuple[str, Settings, Items, Items], S3VFS] = {}


def connect(
    url: str,
    *,
    flags: int = _FLAGS,
    settings: Settings | None = None,
    extra_args: Mapping[str, str] | None = None,
    block_size: int | None = None,
    locking: Locking | None = None,
    max_age: float | None = None,
) -> apsw.Connection:
    """Open the database at ``url``: ``s3://bucket/key``, ``file:///directory/name`` or ``memory:name``.

    What follows a ``?`` goes to SQLite, such as ``mode=ro`` or ``immutable=1``
    (https://www.sqlite.org/uri.html#recognized_query_parameters). S3 takes credentials, region and
    endpoint from where the AWS tools take them. The other arguments are those of ``S3VFS``. Connections
    to the same store with the same settings share one VFS, and with it the cache and the threads. The
    result is an ordinary ``apsw.Connection``.

    0 requests; where the database has to exist, 1, which brings the schema along.

    Raises:
        InvalidArgumentError: not such a URL, or an argument that cannot be right.
        apsw.CantOpenError: the database cannot be opened; the cause is chained.
    """
    place, _, parameters = url.partition("?")
    environment = tuple(
        sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))
    )
    chosen = chosen_settings(settings, block_size=block_size, locking=locking, max_age=max_age)
    extra = tuple(sorted((extra_args or {}).items()))
    vfs, prefix = _vfs_and_prefix(place, chosen, extra, environment)
    required = _has_to_exist(parameters, flags)
    query = "&".join(filter(None, (parameters, "lazy=1" if required else "", f"vfs={vfs.name}")))
    uri = f"file:{quote(prefix)}?{query}"
    connection = apsw.Connection(uri, flags=flags | apsw.SQLITE_OPEN_URI, vfs=vfs.name)
    if required:
        try:
            connection.table_exists("main", "sqlite_schema")    # reads the schema, for one request
        except BaseException:
            connection.close()
            raise
    return connection


def _has_to_exist(parameters: str, flags: int) -> bool:
    """Whether there has to be a database, of which the newest version is read."""
    given = parse_qs(parameters, keep_blank_values=True)
    if not given.keys().isdisjoint(_OF_ONE_VERSION):
        return False
    mode = given.get("mode", [""])[0]
    return mode in ("ro", "rw") or (not mode and not flags & apsw.SQLITE_OPEN_CREATE)


@lru_cache(maxsize=1024)
def _vfs_and_prefix(
    place: str, settings: Settings, extra: Items, environment: Items
) -> tuple[S3VFS, str]:
    """Other credentials make another VFS; a boto3 client is made once for each URL at most."""
    found, prefix = place_from_url(place)
    key = (store_for(found).identity, settings, extra, environment)
    known = _vfs_of_store.get(key)
    if known is None:
        made = S3VFS(found, settings=settings, extra_args=dict(extra))
        return _vfs_of_store.setdefault(key, made), prefix
    return known, prefix

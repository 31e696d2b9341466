"""From a URL and the options to a store, a database, a connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote, urlencode

import apsw

from sqlite_s3vfs.cli.exits import first_of_ours
from sqlite_s3vfs.cli.moments import parameters_of
from sqlite_s3vfs.cli.options import Asked
from sqlite_s3vfs.database import Version
from sqlite_s3vfs.errors import InvalidArgumentError, NotFoundError
from sqlite_s3vfs.format.manifest import Manifest, State
from sqlite_s3vfs.past import NEWEST, Moment
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from sqlite_s3vfs.wiring import Database, Engine, folder_from_url, open_database, store_from_url

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


@contextmanager
def opened_engine(asked: Asked, url: str) -> Iterator[tuple[Engine, str]]:
    """The engine over the store of a URL that names a bucket, a directory or a part of it."""
    store, prefix = folder_from_url(url, asked.access)
    with closing(Engine(store)) as engine:
        yield engine, prefix


@contextmanager
def opened_database(asked: Asked, url: str) -> Iterator[Database]:
    """The database at ``url``, existing or not. 0 requests.

    Raises:
        InvalidArgumentError: the URL cannot name a database.
    """
    store, prefix = store_from_url(url, asked.access)
    with closing(Engine(store)) as engine, closing(open_database(engine, prefix)) as database:
        yield database


def existing(database: Database, url: str) -> Version:
    """The newest version of a database that has to exist. 1 GET; without a manifest 1 LIST more.

    Raises:
        NotFoundError: it does not.
    """
    version = database.version()
    if not version.snapshot.manifest.commits:
        raise NotFoundError(f"there is no such database: `ls` shows those there are. url={url!r}")
    return version


def remnant(database: Database) -> Manifest | None:
    """What stands in the place of a database that was removed, or of a fork in the making. 1 GET.

    None where there is a database, or nothing.
    """
    head = database.manifests.latest()
    return head.manifest if head and head.manifest.state is not State.LIVE else None


@contextmanager
def opened_vfs(asked: Asked, url: str) -> Iterator[tuple[S3VFS, str]]:
    """A VFS over the store of a database, and the database's name in it. 0 requests."""
    store, prefix = store_from_url(url, asked.access)
    with closing(S3VFS(store)) as vfs:
        yield vfs, prefix


@contextmanager
def opened_connection(
    asked: Asked, url: str, *, mode: str, moment: Moment = NEWEST
) -> Iterator[apsw.Connection]:
    """A connection to the database at ``url``; ``mode`` as in SQLite's URIs (ro, rw, rwc)."""
    if moment != NEWEST and mode != "ro":
        raise InvalidArgumentError(f"a version of the past can only be read. {moment}")
    with opened_vfs(asked, url) as (vfs, prefix):
        parameters = {"vfs": vfs.name, "mode": mode, **parameters_of(moment)}
        uri = f"file:{quote(prefix)}?{urlencode(parameters, quote_via=quote)}"
        with _missing_by_url(asked, url), closing(apsw.Connection(uri, flags=_FLAGS)) as connection:
            yield connection


@contextmanager
def _missing_by_url(asked: Asked, url: str) -> Iterator[None]:
    """Say of a database that is not there what all commands say. 1 GET and 1 LIST more then."""
    try:
        yield
    except (NotFoundError, apsw.Error) as error:
        if isinstance(first_of_ours(error), NotFoundError):
            with opened_database(asked, url) as database:
                existing(database, url)
        raise

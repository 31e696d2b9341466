"""What a database's URI says beside its name: which version is meant, and how old it may be.

https://www.sqlite.org/uri.html#the_uri_query_string; SQLite leaves alone what it does not know.
"""

from __future__ import annotations

import apsw

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.past import NEWEST, Moment
from sqlite_s3vfs.past.moments import version_of
from sqlite_s3vfs.settings import check_max_age

_PARAMETERS = ("version", "at", "checkpoint")


def moment_of(name: apsw.URIFilename) -> Moment | None:
    """The moment of the past that the URI asks for; None for the database as it goes on.

    Raises:
        InvalidArgumentError: more than one is given, or one that cannot be right.
    """
    given = {key: value for key in _PARAMETERS if (value := name.uri_parameter(key)) is not None}
    if not given:
        return None
    if "" in given.values():
        raise InvalidArgumentError(f"a parameter of the URI has no value. parameters={given!r}")
    version = given.get("version")
    moment = Moment(
        version=None if version is None else version_of(version),
        at=given.get("at"),
        checkpoint=given.get("checkpoint"),
    )
    assert moment != NEWEST, "something was given"
    return moment


def max_age_of(name: apsw.URIFilename, default: float) -> float:
    """How old a version may be that a read transaction begins with, in seconds.

    Raises:
        InvalidArgumentError: not a number, or negative.
    """
    given = name.uri_parameter("max_age")
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        raise InvalidArgumentError(
            f"max_age must be a number of seconds, 0 or more. max_age={given!r}"
        )
    check_max_age(seconds)
    return seconds

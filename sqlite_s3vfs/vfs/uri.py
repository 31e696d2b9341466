"""What a database's URI says beside its name: which version of the past is meant.

https://www.sqlite.org/uri.html#the_uri_query_string; SQLite leaves alone what it does not know.
"""

from __future__ import annotations

import apsw

from sqlite_s3vfs.errors import InvalidArgumentError
from sqlite_s3vfs.past import NEWEST, Moment
from sqlite_s3vfs.past.moments import version_of

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

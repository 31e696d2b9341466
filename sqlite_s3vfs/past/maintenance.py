"""Changes of a manifest that make no version, each one conditional PUT, settled by its effect (I1).

A refusal or a lost answer says nothing by itself: the manifest is read back. Where the effect is there,
it is done, by whomever; where the manifest is another one, the change is computed once more on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, NotFoundError
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.manifests import BaseMovedError, Head
from sqlite_s3vfs.planning.maintenance import stamped

_ATTEMPTS_MAX = 100

Change = Callable[[Manifest], Manifest]


def maintain(database: Database, change: Change, *, head: Head | None = None) -> Manifest:
    """Replace the newest manifest by ``change`` of it, at the same version; what it is then.

    ``change`` gives back the manifest itself where there is nothing to do, and raises where it must
    not be done. Nobody's transaction is refused for it. 1 conditional GET (not with ``head``), 1 PUT.

    Raises:
        NotFoundError: there is no such database. ConflictError: it was made anew meanwhile.
        CommitUnknownError: no answer tells whether it was done; doing it once more is harmless.
    """
    head = head or manifest_head(database)
    database_id = head.manifest.database_id
    for _ in range(_ATTEMPTS_MAX):
        base = head.manifest
        if base.database_id != database_id:
            raise ConflictError(
                "the database was removed and made anew meanwhile. " f"prefix={database.prefix!r}"
            )
        changed = change(base)
        if changed == base:
            return base
        mark = database.committer.check_writable(base)
        changed = replace(stamped(changed, head.time_ms), conditions_proven=mark)
        try:
            return database.manifests.maintain(
                head, changed, lambda found: change(found) == found
            ).manifest
        except BaseMovedError as error:
            head = error.head
    raise CommitUnknownError(f"the manifest never stood still. key={database.keys.manifest!r}")


def manifest_head(database: Database) -> Head:
    """The manifest that lies there, in whatever state. 1 GET.

    Raises:
        NotFoundError: there is none.
    """
    head = database.manifests.latest()
    if head is None:
        raise no_past(database)
    return head


def no_past(database: Database) -> NotFoundError:
    """The error for a name without a manifest."""
    return NotFoundError(
        "there is no such database, or one of sqlite-s3vfs 0.0.x: that has a past from its next "
        f"commit on. prefix={database.prefix!r}"
    )

"""Any version that is kept, opened for reading."""

from __future__ import annotations

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.past.histories import manifest_at_once
from sqlite_s3vfs.past.moments import Moment


def open_at(database: Database, moment: Moment) -> Snapshot:
    """The version of a moment: exactly the bytes of that commit, for as long as it is kept.

    Costs at most 1 round trip more than the newest version.

    Raises:
        NotFoundError: no such database, version or checkpoint, or it is before the first version.
        SnapshotTooOldError: the version is not kept any more.
        CorruptError: an object is damaged or gone.
    """
    return database.view(manifest_at_once(database, moment))

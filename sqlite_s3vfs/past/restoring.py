"""A version of the past made the newest again, by one commit that copies no block.

The new version has the map of the old one. What cannot be taken as it is are the rows of its tail (they
name versions) and page 1: change counter and schema cookie are raised above both histories, so that no
open connection takes the restored content for the one that it remembers (I9, and
https://www.sqlite.org/fileformat2.html#schema_cookie).
"""

from __future__ import annotations

from dataclasses import replace

from sqlite_s3vfs.database import Database, Snapshot
from sqlite_s3vfs.errors import ConflictError
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.sqlite_header import HEADER_SIZE, parse_header
from sqlite_s3vfs.past.carrying import carry
from sqlite_s3vfs.past.histories import manifest_at
from sqlite_s3vfs.past.moments import Moment
from sqlite_s3vfs.planning.successor import Prepared
from sqlite_s3vfs.uploads import Uploads

_ATTEMPTS_MAX = 20


def restore(database: Database, moment: Moment) -> Snapshot:
    """Make the version of ``moment`` the newest again, as a commit of its own; that one.

    Atomic, and seen by open connections at their next transaction. What is replaced stays readable as
    any other version. No block is copied: about 6 requests, whatever the size.

    Raises:
        NotFoundError, SnapshotTooOldError: the version is out of reach; nothing was changed.
        ConflictError: others keep committing. CommitUnknownError: it may have been restored.
        StoreUnavailableError, AccessDeniedError, CorruptError: nothing was changed.
    """
    kept, _ = manifest_at(database, moment)
    for attempt in range(_ATTEMPTS_MAX):
        base = database.version()
        content = _Restored(database, kept)
        uploads = Uploads(database.engine)
        try:
            return database.publish_content(base, content.prepared, uploads)
        except ConflictError:
            if attempt + 1 == _ATTEMPTS_MAX or base.origin.manifest.database_id != kept.database_id:
                raise
    raise AssertionError("every attempt returns or raises")


class _Restored:
    """The content of a version of the past, for a commit on top of the newest one."""

    def __init__(self, database: Database, kept: Manifest) -> None:
        self._database = database
        self._past = database.view(kept)

    def prepared(self, base: Manifest, snapshot: Snapshot, skeleton: Prepared,
                 uploads: Uploads) -> Prepared:
        """The commit, with its pages in the tail, or where that would be too long in blocks."""
        past, kept = self._past, self._past.manifest
        replaced = parse_header(snapshot.read(0, HEADER_SIZE)) if snapshot.size else None
        carried = carry(
            past, self._database, base.database_id, base.version + 1, uploads, above=replaced
        )
        return replace(
            skeleton,
            restored=kept,
            page_size=kept.page_size,
            size=kept.size,
            entries=carried.entries,
            interior=carried.interior,
            written=carried.written,
            replaced=past.locators(carried.written),
            changed_pages=carried.changed_pages,
            pages_written=carried.pages,
        )

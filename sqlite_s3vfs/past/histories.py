"""The manifests of the past: which history object tells of a version, found and read.

Version *w* is read from the history object with the smallest version that is at least *w*, or
from the newest manifest where there is none (invariant I4). The newest manifest names the newest
64 history objects from ``oldest_readable`` on (and below it some that a pin keeps). Where these are
fewer, or one of them is older than *w*, the names decide; otherwise a listing does, together with the
names: what a listing missed, because it was put after it, is among these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CorruptError, NotFoundError, SnapshotTooOldError, unreadable
from sqlite_s3vfs.format.envelope import ObjectKind, unseal
from sqlite_s3vfs.format.history import decode_history
from sqlite_s3vfs.format.keys import ObjectName, parse_object_name
from sqlite_s3vfs.format.manifest import HISTORY_NAMES, Commit, Manifest, State
from sqlite_s3vfs.manifests import Head
from sqlite_s3vfs.past.maintenance import no_past
from sqlite_s3vfs.past.moments import Moment, time_of
from sqlite_s3vfs.planning.maintenance import readable, stamped
from sqlite_s3vfs.pool import run_all
from sqlite_s3vfs.store.port import Fetched

LISTED_MAX = 1000
"""Rows of one listing request."""

Listing = Callable[[], Sequence[ObjectName]]


class Histories:
    """The past of one database, as the manifest ``head`` has it. Remembers what it has read."""

    def __init__(self, database: Database, head: Head) -> None:
        self.head = head
        self.newest = stamped(head.manifest, head.time_ms)
        self._database = database
        self._read: dict[ObjectName, Manifest | None] = {}

    def at_version(self, version: int, listing: Listing | None = None) -> Manifest:
        """The manifest of a version as it was. 1 GET; 1 LIST before where the names do not tell.

        Raises:
            NotFoundError: there is no such version. SnapshotTooOldError: it is not kept any more.
            CorruptError: an object is damaged or gone.
        """
        self.check_readable(version)
        return past_manifest(self.serving(version, self.newest.database_id, listing), version)

    def serving(
        self, version: int, database_id: bytes, listing: Listing | None = None
    ) -> Manifest:
        """The manifest that a version of ``database_id`` is read from, whole.

        Raises:
            CorruptError: it is damaged or gone. SnapshotTooOldError: it is gone since ``newest``.
        """
        newest = self.newest
        own = newest.database_id == database_id
        if own and version == newest.version:
            return newest
        named = [row.name for row in newest.history] if own else []
        names = [name for name in named if name.version >= newest.oldest_readable]
        later = [name for name in names if name.version >= version]
        all_named = own and version >= newest.oldest_readable and len(names) < HISTORY_NAMES
        if len(later) == len(names) and not all_named:
            listed = listing() if listing else self.list_names(version)
            if len(later) >= HISTORY_NAMES and not any(name <= later[0] for name in listed):
                listed = self.list_names(version)       # more was put meanwhile than is named
            later = sorted({*later, *(name for name in listed if name.version >= version)})
        for name in later:
            found = self.load(name, database_id)
            if found is not None:
                return self._checked(found, version)
        if not own:
            raise CorruptError(
                "no history object tells of a version that is pinned: restore it. "
                f"prefix={self._database.prefix!r} version={version}"
            )
        return self._checked(newest, version)

    def _checked(self, found: Manifest, version: int) -> Manifest:
        """``found``, unless it names an earlier one that tells of the version, and was not there."""
        lost = nearer(found, version)
        if lost is None:
            return found
        if found.database_id == self.newest.database_id:
            now = head_of(self._database).manifest
            if now.database_id != found.database_id or not readable(now, version):
                raise self._too_old(f"version={version}")
        raise CorruptError(
            "a history object is missing: restore it from a copy. "
            f"key={self._database.keys.history(lost)!r} version={version}"
        )

    def at_time(self, time_ms: int) -> Manifest:
        """The manifest of the newest version that was there at that time. 2 GETs, side by side.

        Raises:
            NotFoundError: the database did not exist yet. SnapshotTooOldError: no longer kept.
        """
        manifest = self.newest
        while not 0 < manifest.commits[0].time_ms <= time_ms:
            older = self._older(manifest, time_ms)
            if older is None:
                break
            manifest = older
        version = version_at(manifest.commits, time_ms)
        if version is None:
            if manifest.commits[0].version <= self.newest.oldest_readable == 1:
                raise NotFoundError(
                    "the database did not exist at that time. "
                    f"prefix={self._database.prefix!r} first_ms={manifest.commits[0].time_ms} "
                    f"at_ms={time_ms}"
                )
            raise self._too_old(f"at_ms={time_ms}")
        return self.at_version(version)

    def load(self, name: ObjectName, database_id: bytes) -> Manifest | None:
        """What a history object keeps; None where it is gone or another database's. 1 GET.

        Raises:
            CorruptError: it is damaged.
        """
        if name not in self._read:
            self._read[name] = read_history(self._database, name, database_id)
        return self._read[name]

    def _load_all(self, names: Sequence[ObjectName], database_id: bytes) -> None:
        """Read history objects side by side."""
        lacking = [name for name in names if name not in self._read]
        tasks = [partial(read_history, self._database, name, database_id) for name in lacking]
        self._read.update(zip(lacking, run_all(self._database.engine.pool, tasks), strict=True))

    def check_readable(self, version: int) -> None:
        """Refuse versions that do not exist yet or any more.

        Raises:
            NotFoundError, SnapshotTooOldError: one of these.
        """
        newest = self.newest
        if version > newest.version:
            raise NotFoundError(
                "there is no such version yet. "
                f"prefix={self._database.prefix!r} version={version} newest={newest.version}"
            )
        if not readable(newest, version):
            raise self._too_old(f"version={version}")

    def list_names(self, version: int) -> list[ObjectName]:
        """The history objects from a version on, in their order; 1 LIST of 1 000 at most."""
        return list_names(self._database, version)

    def _older(self, manifest: Manifest, time_ms: int) -> Manifest | None:
        """What tells of the commits at that time, or of earlier ones than ``manifest`` does."""
        earlier = [row for row in manifest.history if row.name.version < manifest.version]
        after = [place for place, row in enumerate(earlier) if row.time_ms > time_ms]
        if not earlier:
            return None
        # The first one after that time serves it; the next one knows the time of its newest commit.
        place = after[0] if after else 0
        names = [row.name for row in earlier[place : place + 2]]
        self._load_all(names, manifest.database_id)
        found = self.load(names[-1], manifest.database_id)
        times = {commit.version: commit.time_ms for commit in manifest.commits}
        return found and _with_times(found, times)

    def _too_old(self, what: str) -> SnapshotTooOldError:
        newest = self.newest
        return SnapshotTooOldError(
            "that version is not kept any more: read a newer one, and set a longer retention to keep "
            f"more. prefix={self._database.prefix!r} {what} oldest_readable={newest.oldest_readable} "
            f"retention_seconds={newest.retention_seconds}"
        )


def head_of(database: Database) -> Head:
    """The newest manifest. 1 conditional GET.

    Raises:
        NotFoundError: there is no database of the format; one of sqlite-s3vfs 0.0.x has no past.
    """
    head = database.version().origin.head
    if head is None or head.manifest.state is not State.LIVE:
        raise no_past(database)
    return head


def histories_of(database: Database) -> Histories:
    """The past of a database that exists. 1 conditional GET."""
    return Histories(database, head_of(database))


def manifest_at(database: Database, moment: Moment) -> tuple[Manifest, Head]:
    """The manifest of a moment, as it was then, and the newest one. Mostly 2 requests, else 3.

    Raises:
        NotFoundError: no such version or checkpoint, or it is before the first version.
        SnapshotTooOldError: it is not kept any more. CorruptError: an object is damaged or gone.
    """
    past = histories_of(database)
    return _at(past, moment, None, database), past.head


def manifest_at_once(database: Database, moment: Moment) -> Manifest:
    """The same for 1 round trip more than the newest one, and maybe a request that was not needed.

    Which history objects the newest manifest names is not known yet: what it may lack is listed beside.
    """
    if moment.version is None and moment.checkpoint is None:
        return manifest_at(database, moment)[0]
    first = moment.version or 0
    listing = database.engine.pool.submit(partial(list_names, database, first))
    try:
        past = histories_of(database)
    finally:
        failed = listing.exception()
    if failed is not None:
        raise failed
    return _at(past, moment, listing.result(), database)


def _at(
    past: Histories, moment: Moment, names: Sequence[ObjectName] | None, database: Database
) -> Manifest:
    if moment.at is not None:
        now_ms = int(database.engine.store.last_date * 1000)
        return past.at_time(time_of(moment.at, now_ms=now_ms))
    if moment.version is None and moment.checkpoint is None:
        return past.newest
    version = moment.version or checkpointed(past.newest, moment.checkpoint or "", database.prefix)
    covered = names is not None and (len(names) < LISTED_MAX or names[-1].version >= version)
    return past.at_version(version, (lambda: names or []) if covered else None)


def checkpointed(manifest: Manifest, name: str, prefix: str) -> int:
    """The version of a checkpoint.

    Raises:
        NotFoundError: there is none of that name.
    """
    for pin in manifest.pins:
        if pin.name == name and not pin.child_prefix and pin.database_id == manifest.database_id:
            return pin.version
    raise NotFoundError(f"there is no such checkpoint. prefix={prefix!r} checkpoint={name!r}")


def pinned_versions(manifest: Manifest) -> frozenset[int]:
    """The versions that pins of this very database hold."""
    own = (pin.version for pin in manifest.pins if pin.database_id == manifest.database_id)
    return frozenset(own)


def nearer(served: Manifest, version: int) -> ObjectName | None:
    """The history object that ``version`` is to be read from instead of ``served``, which names it."""
    names = (row.name for row in served.history)
    return min((name for name in names if version <= name.version < served.version), default=None)


def past_manifest(kept: Manifest, version: int) -> Manifest:
    """A version as it was, from the manifest that serves it.

    Raises:
        CorruptError: the manifest does not tell of it.
    """
    if version == kept.version:
        return kept
    commits = tuple(commit for commit in kept.commits if commit.version <= version)
    if not commits or commits[-1].version != version:
        raise CorruptError(
            f"a history object does not tell of its versions. version={version} kept={kept.version}"
        )
    size = commits[-1].size
    return replace(
        kept,
        version=version,
        size=size,
        commits=commits,
        tail=tuple(entry for entry in kept.tail if entry.version <= version),
        interior=tuple(copy for copy in kept.interior if copy.page * kept.page_size <= size),
        oldest_readable=min(kept.oldest_readable, version),
    )


def version_at(commits: Sequence[Commit], time_ms: int) -> int | None:
    """The newest version that was made up to that time."""
    until = [commit.version for commit in commits if 0 < commit.time_ms <= time_ms]
    return until[-1] if until else None


def list_names(database: Database, version: int) -> list[ObjectName]:
    """The names of the history objects from a version on; 1 LIST, of 1 000 at most."""
    prefix = database.keys.history_prefix
    after = f"{prefix}{version:020d}"
    rows = database.engine.store.list(prefix, start_after=after, limit=LISTED_MAX)
    return list(_names(row.key.removeprefix(prefix) for row in rows))


def read_history(database: Database, name: ObjectName, database_id: bytes) -> Manifest | None:
    """What a history object keeps; None where it is gone, or of another database of that name. 1 GET.

    Raises:
        CorruptError: it is damaged.
    """
    key = database.keys.history(name)
    found = database.engine.store.get(key)
    if not isinstance(found, Fetched):
        return None
    try:
        if unseal(found.body, ObjectKind.HISTORY).database_id != database_id:
            return None
        return decode_history(found.body, database_id, name)
    except CorruptError as error:
        raise unreadable("a history object", key, error) from error


def _names(texts: Iterable[str]) -> Iterable[ObjectName]:
    return filter(None, map(parse_object_name, texts))


def _with_times(manifest: Manifest, times: dict[int, int]) -> Manifest:
    commits = tuple(
        commit if commit.time_ms else commit._replace(time_ms=times.get(commit.version, 0))
        for commit in manifest.commits
    )
    return replace(manifest, commits=commits)

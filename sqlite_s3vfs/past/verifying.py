"""Is everything there, and is it what was written? Every object that the readable past needs, checked.

Manifest, history and map objects are read in any case, and every segment is looked for in a listing.
With ``blocks`` every segment is read to its last byte as well, many at once: its directory's digest,
each frame's checksum and size, and what the maps say of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from sqlite_s3vfs.database import Database
from sqlite_s3vfs.errors import CorruptError
from sqlite_s3vfs.format.blockmap import AncestorSource, DeadBlocks, Locator, SegmentSource, Source
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.past.histories import head_of
from sqlite_s3vfs.past.references import Kept, dead_counts, history_names, locators_of_map, readable_kept
from sqlite_s3vfs.past.segments import Flaw, flaws_of_segment
from sqlite_s3vfs.progress import OnProgress, Progress, no_progress
from sqlite_s3vfs.store.port import Fetched, PreconditionFailedError

SEGMENTS_AHEAD = 8
"""Segments under way at once, each up to 4 MiB as this library writes them. More threads that decode
get into each other's way: 1 GiB took 2.8 s with 4 or 8, 3.4 s with 16, on two cores."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: with which object, which block of it, for which readable versions.

    Versions that are read from one manifest share its map: what is wrong there harms each of them.
    """

    key: str
    block: int | None
    versions: tuple[int, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, what is wrong, and the newest version that is whole (None: there is none)."""

    version: int
    findings: tuple[Finding, ...]
    objects: int
    blocks: int
    bytes_read: int
    newest_whole: int | None

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(slots=True)
class _Object:
    """An object with blocks, whose manifests refer to it (by their versions), and how."""

    key: str
    source: Source
    database_id: bytes
    locators: dict[int, set[Locator]] = field(default_factory=dict)
    manifests: set[int] = field(default_factory=set)


def verify(
    database: Database, *, blocks: bool = True, on_progress: OnProgress = no_progress
) -> Verification:
    """Check everything that a version needs which is kept. Changes nothing.

    Without ``blocks`` 1 LIST a 1 000 objects and 1 GET for each history and map object; with them, 1 GET
    for each segment besides.

    Raises:
        NotFoundError: there is no such database. CorruptError: the manifest itself is damaged.
        StoreUnavailableError, AccessDeniedError: the store did not serve; nothing is known.
    """
    newest = head_of(database).manifest
    work = _Verifying(database, newest)
    work.read_maps()
    work.look_for_objects()
    if blocks:
        work.read_objects(on_progress)
    return work.result()


class _Verifying:
    def __init__(self, database: Database, newest: Manifest) -> None:
        self._database = database
        self._newest = newest
        self._findings: dict[Finding, None] = {}
        self._objects: dict[str, _Object] = {}
        self._kept: list[Kept] = []
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        self._blocks = 0
        self._others = 0
        self._served: dict[int, tuple[int, ...]] = {}

    def read_maps(self) -> None:
        """The manifests that versions are read from, and what their maps refer to."""
        names = history_names(self._database)
        self._kept, damaged = readable_kept(self._database, self._newest, names)
        told = {one.manifest.version for one in self._kept} | {one.version for one in damaged}
        self._served = _served(self._newest, sorted(told))
        for lost in damaged:
            self._note(lost.key, None, {lost.version}, lost.what)
        for one in self._kept:
            self._read_map(one.manifest)
        self._others = len(self._kept) + len(damaged)

    def _read_map(self, manifest: Manifest) -> None:
        version = manifest.version
        segments: dict[SegmentSource, _Object] = {}
        live: dict[ObjectName, int] = {}
        try:
            for block, locator in locators_of_map(self._database, manifest):
                source = locator.source
                found = segments.get(source) if isinstance(source, SegmentSource) else None
                if found is None:
                    found = self._object(manifest, block, source)
                    found.manifests.add(version)
                    if isinstance(source, SegmentSource):
                        segments[source] = found
                found.locators.setdefault(block, set()).add(locator)
                if isinstance(source, SegmentSource) and not source.owner:
                    live[source.name] = live.get(source.name, 0) + 1
            self._check_counts(manifest, live)
        except CorruptError as error:
            self._note(_key_in(error), None, {version}, str(error.__cause__ or error))

    def _check_counts(self, manifest: Manifest, live: Mapping[ObjectName, int]) -> None:
        """Counts of dead blocks are never too high: by them segments are given up."""
        for name, count in dead_counts(self._database, manifest).items():
            if count.blocks - live.get(name, 0) < count.dead:
                key = self._database.keys.segment(name)
                self._note(key, None, {manifest.version}, _counted(count, live.get(name, 0)))

    def _object(self, manifest: Manifest, block: int, source: Source) -> _Object:
        prefix, database_id = self._database.prefix, manifest.database_id
        if source.owner:
            prefix, database_id, *_ = manifest.owners[source.owner - 1]
        keys = DatabaseKeys(prefix)
        old = isinstance(source, AncestorSource)
        key = keys.ancestor_block(block) if old else keys.segment(source[0])  # type: ignore[arg-type]
        return self._objects.setdefault(key, _Object(key, source, database_id))

    def look_for_objects(self) -> None:
        """Whether every object is there, and as long as its frames need."""
        self._sizes = sizes = dict(_sizes(self._database, self._objects))
        for key, found in self._objects.items():
            places = (place for own in found.locators.values() for place in own)
            needed = max(place.offset + place.length for place in places)
            if key not in sizes:
                self._note(key, None, found.manifests, "the object is missing")
            elif sizes[key] < needed:
                what = f"the object is cut short: size={sizes[key]} needed={needed}"
                self._note(key, None, found.manifests, what)

    def read_objects(self, on_progress: OnProgress) -> None:
        """Every object with blocks to its last byte, some at a time."""
        under_way: deque[tuple[_Object, Future[tuple[list[Flaw], int]]]] = deque()
        wanted = deque(found for key, found in self._objects.items() if key in self._sizes)
        total = sum(self._sizes.values())
        while wanted or under_way:
            while wanted and len(under_way) < SEGMENTS_AHEAD:
                found = wanted.popleft()
                task = partial(_flaws, self._database, found, self._sizes[found.key])
                under_way.append((found, self._database.engine.pool.submit(task)))
            self._take(*under_way.popleft())
            on_progress(Progress("verify", min(self._bytes, total), total))

    def _take(self, found: _Object, future: Future[tuple[list[Flaw], int]]) -> None:
        flaws, size = future.result()
        self._bytes += size
        self._blocks += len(found.locators)
        for flaw in flaws:
            self._note(found.key, flaw.block, found.manifests, flaw.what)

    def result(self) -> Verification:
        """What was found, worst of it first: the newest version that is whole."""
        return Verification(
            self._newest.version,
            tuple(sorted(self._findings, key=lambda found: (found.key, found.block or -1))),
            len(self._objects) + self._others,
            self._blocks,
            self._bytes,
            self._newest_whole(),
        )

    def _newest_whole(self) -> int | None:
        harmed = {version for finding in self._findings for version in finding.versions}
        readable = (version for served in self._served.values() for version in served)
        return max((version for version in readable if version not in harmed), default=None)

    def _note(self, key: str, block: int | None, manifests: set[int], what: str) -> None:
        versions = tuple(version for one in sorted(manifests) for version in self._served[one])
        self._findings[Finding(key, block, versions, what)] = None


def _served(newest: Manifest, manifests: list[int]) -> dict[int, tuple[int, ...]]:
    """The readable versions by the version of the manifest that each is read from (invariant I4)."""
    wanted = {pin.version for pin in newest.pins}
    wanted.update(range(newest.oldest_readable, newest.version + 1))
    served: dict[int, list[int]] = {version: [] for version in manifests}
    for version in sorted(wanted):
        served[manifests[bisect_left(manifests, version)]].append(version)
    return {manifest: tuple(versions) for manifest, versions in served.items()}


def _flaws(database: Database, found: _Object, size: int) -> tuple[list[Flaw], int]:
    """Read one object of ``size`` bytes and check it. 1 GET.

    A segment is asked for as a range. Of whole objects S3 sends a checksum, which the SDK computes
    once more (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html);
    a segment's own cover every byte of it. The old layout's blocks have none, and are asked for whole.
    """
    source, store = found.source, database.engine.store
    try:
        if isinstance(source, AncestorSource):
            fetched = store.get(found.key, if_match=source.etag)
        else:
            fetched = store.get(found.key, byte_range=(0, size) if size else None)
    except PreconditionFailedError:
        return [Flaw(None, "a block of the old layout was overwritten")], 0
    if not isinstance(fetched, Fetched):
        return [Flaw(None, "the object is missing")], 0
    if isinstance(source, AncestorSource):
        return [], len(fetched.body)
    return (
        flaws_of_segment(fetched.body, found.database_id, source.name, found.locators),
        len(fetched.body),
    )


def _sizes(database: Database, objects: dict[str, _Object]) -> Iterator[tuple[str, int]]:
    """The sizes of all objects beside those that are looked for. 1 LIST a 1 000."""
    folders = {f"{key.rpartition('/')[0]}/" for key in objects}
    for folder in sorted(folders):
        for row in database.engine.store.list(folder):
            if row.key in objects:
                yield row.key, row.size
            elif row.key.removeprefix(folder) > "9999999999" and folder + "segments/" in folders:
                break                           # an old layout's blocks sort before all the rest


def _counted(count: DeadBlocks, live: int) -> str:
    facts = f"blocks={count.blocks} live={live} dead={count.dead}"
    return f"more blocks are counted as dead than are: {facts}"


def _key_in(error: CorruptError) -> str:
    text = str(error)
    return text.rpartition("key=")[2].strip("'\"") if "key=" in text else text

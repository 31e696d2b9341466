"""Condemning, deleting, forgetting: how a database gets rid of what fell out of retention (I5).

1. In the background a plan is made (``past_objects``), from the manifest that was seen last.
2. A commit's manifest, which is written anyway, condemns what the plan names and nothing holds.
3. Only when that put is known to have succeeded, the objects are deleted, in the background; likewise
   the batch of somebody else, found in a manifest that was read.
4. When every DELETE was answered, the next commit of this process clears the list, and may condemn more.

Nothing here is on the way of a commit, and nothing that fails here makes one fail. One exception: where
processes end before the background does anything, some of their commits wait for 1 and 3 (``catch_up``).
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, wait
from functools import partial
from typing import NamedTuple

from sqlite_s3vfs.engine import Engine
from sqlite_s3vfs.errors import S3VFSError
from sqlite_s3vfs.format.keys import DatabaseKeys, ObjectName
from sqlite_s3vfs.format.manifest import HISTORY_NAMES, Condemned, HistoryName, Manifest
from sqlite_s3vfs.manifests import Head
from sqlite_s3vfs.planning.condemning import (
    BATCH_MAX,
    Plan,
    first_in_retention,
    first_of_age,
    is_due,
    is_held,
    is_valid,
)
from sqlite_s3vfs.pool import in_background
from sqlite_s3vfs.transaction.past_objects import PastObjects, readable_rows

COMMITS_BEFORE_LOOKING = 3
"""A process that makes fewer commits looks for old history objects only when it has its turn."""

_log = logging.getLogger(__name__)


class Offer(NamedTuple):
    """What a commit may do about condemned objects: clear the batch ``cleared``, carry ``plan``."""

    cleared: bytes = b""
    plan: Plan | None = None


NOTHING = Offer()


class Condemning:
    """At most one plan of one database in this process: being made, or waiting for a commit."""

    def __init__(self, engine: Engine, keys: DatabaseKeys) -> None:
        self._engine = engine
        self._keys = keys
        self._past = PastObjects(engine, keys)
        # Re-entrant: garbage collection may close a database while this thread holds it.
        self._plan_lock = threading.RLock()
        self._planning: Future[None] | None = None
        self._deleting: Future[None] | None = None
        self._plan: Plan | None = None
        self._held: frozenset[ObjectName] = frozenset()
        self._held_by: object = None
        self._commits = 0
        self._looked_at = (b"", 0)
        self._next_old: HistoryName | None = None
        self._cleared = b""
        self._tried = b""

    def offer(self, base: Manifest) -> Offer:
        """What a commit on ``base`` may carry."""
        plan = self._plan
        if plan is not None and not is_valid(plan, base):
            self._plan = plan = None
        return Offer(self._cleared, plan)

    def before_commit(self, head: Head) -> None:
        """A commit on ``head`` is being made: start what can be done meanwhile."""
        condemned = head.manifest.condemned
        if condemned and condemned.batch_id not in (self._cleared, self._tried):
            self._start_deleting(condemned)
        self._start_planning(head)

    def after_commit(self, head: Head) -> None:
        """``head`` is published, or seen: delete what it condemns, plan what comes next."""
        self._commits += 1
        condemned = head.manifest.condemned
        plan = self._plan
        if plan is not None and (condemned is None or condemned.batch_id == plan.batch_id):
            self._plan = None                     # carried, or there was nothing in it
            self._note_held(plan, head.manifest)
        if condemned and condemned.batch_id != self._cleared:
            self._past.forget(condemned.refs)
            self._start_deleting(condemned)
        self._start_planning(head)

    def catch_up(self, head: Head) -> None:
        """Wait for what was begun before a commit on ``head``, so that it can clear and condemn.

        For processes that end before the background does. 0 requests where nothing is due; else 1
        DELETE, and what it takes to plan.
        """
        self.before_commit(head)
        self._start_planning(head, looks=True)
        for task in (self._deleting, self._planning):
            if task is not None:
                wait([task])

    def plan(self, head: Head) -> None:
        """Plan now, in this thread, what the next commit condemns. 0 requests where nothing is due.

        1 LIST of a few keys and 1 GET where this process cannot know.

        Raises:
            S3VFSError: something could not be read.
        """
        manifest, now_ms = head.manifest, _store_time_ms(self._engine)
        first_wanted = first_in_retention(manifest, head.time_ms, now_ms)
        held = self._held_in(manifest)
        if not self._is_due(head) and not self._must_look(manifest):
            return
        oldest = self._past.look(manifest)
        first_wanted = max(first_wanted, first_of_age(oldest.rows, manifest, now_ms))
        old = [row for row in oldest.rows if row.name.version < first_wanted and row.name not in held]
        if old or is_due(manifest, first_wanted, held):
            self._plan = self._past.plan(manifest, oldest, first_wanted, held)
            old = [row for row in oldest.rows if row.name.version >= self._plan.oldest_readable]
        later = (row for row in oldest.rows if row.name.version >= first_wanted)
        self._looked_at = (manifest.database_id, manifest.oldest_readable)
        self._next_old = next(iter(old), next(later, None))

    def close(self) -> None:
        """Wait for the planning that is under way."""
        planning = self._planning
        if planning is not None and not in_background():
            wait([planning])

    def _is_due(self, head: Head) -> bool:
        """Whether there is something to condemn, as far as this process knows. 0 requests."""
        manifest, now_ms = head.manifest, _store_time_ms(self._engine)
        row = self._next_old
        looked = self._looked_at == (manifest.database_id, manifest.oldest_readable)
        known = looked and row and first_of_age([row], manifest, now_ms) > row.name.version
        first_wanted = first_in_retention(manifest, head.time_ms, now_ms)
        return bool(known) or is_due(manifest, first_wanted, self._held_in(manifest))

    def _must_look(self, manifest: Manifest) -> bool:
        """Whether there may be history objects that this process has never heard of."""
        named = readable_rows(manifest.history, manifest)
        looked_at = (manifest.database_id, manifest.oldest_readable)
        return len(named) >= HISTORY_NAMES and self._looked_at != looked_at

    def _held_in(self, manifest: Manifest) -> frozenset[ObjectName]:
        """History objects that were found to be kept by these pins."""
        return self._held if self._held_by == (manifest.database_id, manifest.pins) else frozenset()

    def _note_held(self, plan: Plan, manifest: Manifest) -> None:
        condemned = manifest.condemned
        if condemned and len(condemned.refs) >= BATCH_MAX:
            return                                # there may be more to condemn of what they list
        held = {one.row.name for one in plan.expired if is_held(one, manifest)}
        self._held = self._held_in(manifest) | held
        self._held_by = (manifest.database_id, manifest.pins)

    def _start_planning(self, head: Head, *, looks: bool = False) -> None:
        """Several requests in one task, none of which waits for another task.

        ``looks``: even where it is not certain that there is anything, as in processes that live on.
        """
        looks = looks or self._commits >= COMMITS_BEFORE_LOOKING
        with self._plan_lock:
            busy = self._planning is not None and not self._planning.done()
            due = self._is_due(head) or (looks and self._must_look(head.manifest))
            if self._plan or busy or not due:
                return
            self._planning = self._engine.pool.submit(partial(self._run, head))

    def _run(self, head: Head) -> None:
        try:
            self.plan(head)
        except S3VFSError:
            _log.warning("what fell out of retention could not be looked up; a later commit tries again",
                         exc_info=True)

    def _start_deleting(self, condemned: Condemned) -> None:
        self._tried = condemned.batch_id
        self._deleting = self._engine.pool.submit(partial(self._delete, condemned))

    def _delete(self, condemned: Condemned) -> None:
        try:
            self._engine.store.delete([self._keys.of(ref) for ref in condemned.refs])
        except S3VFSError:
            _log.warning("condemned objects could not be deleted; a later commit tries again",
                         exc_info=True)
        else:
            self._cleared = condemned.batch_id


def _store_time_ms(engine: Engine) -> int:
    """When the store last answered."""
    return int(engine.store.last_date * 1000)

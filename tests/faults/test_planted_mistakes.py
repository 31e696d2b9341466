"""Each rule of the commit, broken on purpose: the fault tests must notice.

A mistake is planted by replacing one function for the length of a test; the same search that finds
nothing in the library then has to end in a ``VerdictError``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from faults.clients import EngineClient, SQLClient
from faults.faultlist import UNTIL_GIVEN_UP, manifest_puts
from faults.kinds import Kind, kind_called
from faults.trials import ClientOn, VerdictError, outcome_without_fault, strike_each_call
from sqlite_s3vfs.errors import CommitUnknownError, ConflictError, StoreUnavailableError
from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.format.manifest import Manifest
from sqlite_s3vfs.format.manifestcodec import encode_manifest
from sqlite_s3vfs.manifests import Head, ManifestStore, Published
from sqlite_s3vfs.planning import successor
from sqlite_s3vfs.store.port import PreconditionFailedError
from sqlite_s3vfs.testing import (
    FOREVER,
    AnswerConflict,
    CarryOutTwice,
    Die,
    Fault,
    HoldBack,
    LoseAnswer,
)
from sqlite_s3vfs.transaction.commit import Committer, Ready
from sqlite_s3vfs.uploads import Uploads

pytestmark = pytest.mark.slow

Patch = pytest.MonkeyPatch
CLIENTS = pytest.mark.parametrize("client_on", [EngineClient, SQLClient])
TAIL = kind_called("tail commit")
BLOCKS = kind_called("commit with blocks")
FOLD = kind_called("commit that adopts a fold")
BLOCKS_AND_FOLD = kind_called("commit with blocks that adopts a fold")


@pytest.fixture(autouse=True)
def _right_outcomes() -> None:
    """What is right is found out before a mistake is planted."""
    for kind in (TAIL, BLOCKS, FOLD, BLOCKS_AND_FOLD):
        for client_on in (EngineClient, SQLClient):
            outcome_without_fault(kind, client_on)


def assert_noticed(kind: Kind, client_on: ClientOn, *faults: Fault) -> None:
    """At least one of the faults brings the mistake to light."""
    for fault in faults:
        try:
            strike_each_call(kind, client_on, fault)
        except VerdictError:
            return
    raise AssertionError("the planted mistake was not noticed")


@CLIENTS
def test_publishing_before_the_upload_is_noticed(client_on, monkeypatch: Patch):
    late: dict[Uploads, list[tuple[str, bytes]]] = {}
    put, publish = Uploads.put, Committer.publish

    def put_later(self: Uploads, key: str, body: bytes) -> None:
        late.setdefault(self, []).append((key, body))

    def publish_first(self: Committer, ready: Ready) -> Published:
        published = publish(self, ready)
        for key, body in late.get(ready.uploads, ()):
            put(ready.uploads, key, body)
        ready.uploads.finish()
        return published

    monkeypatch.setattr(Uploads, "put", put_later)
    monkeypatch.setattr(Committer, "publish", publish_first)

    assert_noticed(BLOCKS, client_on, Die())


@CLIENTS
@pytest.mark.parametrize(
    "fault", [LoseAnswer(), CarryOutTwice(), AnswerConflict(carried_out=True)], ids=str
)
def test_reporting_failure_without_settling_is_noticed(client_on, fault, monkeypatch: Patch):
    def believe(self: ManifestStore, base: Head | None, ours: Manifest) -> Published | None:
        raise ConflictError("the put was refused or not answered, so it did not happen.")

    monkeypatch.setattr(ManifestStore, "_settle", believe)

    assert_noticed(TAIL, client_on, fault)


@CLIENTS
def test_repeating_under_another_commit_id_is_noticed(client_on, monkeypatch: Patch):
    """A retry that looks like somebody else's commit to the one who settles."""
    publish = ManifestStore.publish

    def publish_anew(self: ManifestStore, base: Head | None, manifest: Manifest) -> Published:
        try:
            self._store.put(
                self._keys.manifest,
                encode_manifest(manifest, self._ids.new_id()),
                if_match=base.etag if base else None,
                if_absent=base is None,
            )
        except (PreconditionFailedError, StoreUnavailableError):
            newest = manifest.commits[-1]._replace(commit_id=self._ids.new_id())
            anew = replace(manifest, commits=(*manifest.commits[:-1], newest))
            return publish(self, base, anew)
        head = self.latest()
        assert head is not None
        return Published(head, None)

    monkeypatch.setattr(ManifestStore, "publish", publish_anew)

    assert_noticed(TAIL, client_on, LoseAnswer())


@CLIENTS
def test_a_put_without_a_condition_is_noticed(client_on, monkeypatch: Patch):
    """The put that arrives late then overwrites what was committed after it."""

    def publish_blindly(self: ManifestStore, base: Head | None, manifest: Manifest) -> Published:
        body = encode_manifest(manifest, self._ids.new_id())
        stored = self._store.put(self._keys.manifest, body)
        return Published(Head(manifest, stored.etag, int(stored.date * 1000)), None)

    monkeypatch.setattr(ManifestStore, "publish", publish_blindly)

    assert_noticed(TAIL, client_on, HoldBack(retried=True))


@CLIENTS
def test_giving_up_with_a_plain_failure_is_noticed(client_on, monkeypatch: Patch):
    publish = ManifestStore.publish

    def publish_and_guess(self: ManifestStore, base: Head | None, manifest: Manifest) -> Published:
        try:
            return publish(self, base, manifest)
        except CommitUnknownError as error:
            raise StoreUnavailableError("the store did not answer.") from error.__cause__

    monkeypatch.setattr(ManifestStore, "publish", publish_and_guess)

    assert_noticed(TAIL, client_on, LoseAnswer(silence=FOREVER))


@CLIENTS
def test_removing_the_uploads_of_an_unknown_commit_is_noticed(client_on, monkeypatch: Patch):
    monkeypatch.setattr(Uploads, "note_sent", lambda self: None)

    assert_noticed(BLOCKS, client_on, LoseAnswer(silence=UNTIL_GIVEN_UP))


@CLIENTS
def test_forgetting_history_is_noticed(client_on, monkeypatch: Patch):
    """Invariant I4: the object is named by the manifest and does not exist."""

    def name_only(self: Committer, base: Manifest, uploads: Uploads) -> ObjectName:
        return ObjectName(base.version, self._engine.ids.new_id())

    monkeypatch.setattr(Committer, "_keep_history", name_only)

    assert_noticed(BLOCKS, client_on, CarryOutTwice())


@CLIENTS
@pytest.mark.parametrize(("kind", "keeps"), [(BLOCKS, "everything"), (TAIL, "nothing")])
def test_keeping_the_wrong_tail_entries_is_noticed(client_on, kind, keeps, monkeypatch: Patch):
    """Invariant I3. Kept, an old page hides the block written over it; dropped, it is lost."""

    def wrong(base, prepared, rewritten) -> Iterable[object]:
        return base.tail if keeps == "everything" else ()

    monkeypatch.setattr(successor, "_kept_entries", wrong)

    assert_noticed(kind, client_on, CarryOutTwice())


@CLIENTS
def test_a_fold_removed_after_its_adoption_is_noticed(client_on, monkeypatch: Patch):
    monkeypatch.setattr(Uploads, "note_sent", lambda self: None)

    assert_noticed(FOLD, client_on, CarryOutTwice())


def test_the_commit_gives_up_after_as_many_calls_as_the_tests_believe():
    told = strike_each_call(TAIL, EngineClient, LoseAnswer(silence=UNTIL_GIVEN_UP - 1), manifest_puts)
    assert told == {"committed": 1}

    told = strike_each_call(TAIL, EngineClient, LoseAnswer(silence=UNTIL_GIVEN_UP), manifest_puts)
    assert told == {"unknown": 1}

"""Mistakes planted in transactions that are uploaded in part before their commit: all are noticed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from faults.clients import EngineClient, SQLClient
from faults.faultlist import UNTIL_GIVEN_UP
from faults.kinds import kind_called
from faults.test_planted_mistakes import CLIENTS, Patch, assert_noticed
from faults.trials import Trial, outcome_without_fault
from sqlite_s3vfs.errors import StoreUnavailableError
from sqlite_s3vfs.planning.overlay import Overlay
from sqlite_s3vfs.testing import CarryOutTwice, Fail, LoseAnswer
from sqlite_s3vfs.transaction.spilling import Spilling
from sqlite_s3vfs.uploads import Uploads

pytestmark = pytest.mark.slow
SPILL = kind_called("spilling commit")


@pytest.fixture(autouse=True)
def _right_outcomes() -> None:
    """What is right is found out before a mistake is planted."""
    for client_on in (EngineClient, SQLClient):
        outcome_without_fault(SPILL, client_on)


@CLIENTS
def test_taking_a_lost_upload_for_done_is_noticed(client_on, monkeypatch: Patch):
    create = Uploads.create

    def create_or_not(self: Uploads, key: str, body: bytes) -> None:
        try:
            create(self, key, body)
        except StoreUnavailableError:
            return

    monkeypatch.setattr(Uploads, "create", create_or_not)

    assert_noticed(SPILL, client_on, Fail())


@CLIENTS
def test_removing_what_an_unknown_commit_names_is_noticed(client_on, monkeypatch: Patch):
    monkeypatch.setattr(Uploads, "note_sent", lambda self: None)

    assert_noticed(SPILL, client_on, LoseAnswer(silence=UNTIL_GIVEN_UP))


@CLIENTS
def test_removing_segments_that_live_is_noticed(client_on, monkeypatch: Patch):
    """Only what no manifest has ever named may go."""
    finish = Spilling.finish

    def finish_and_forget(self: Spilling, page_size: int) -> object:
        early = finish(self, page_size)
        for part in self._ahead.parts:
            part.named = False
        return early

    monkeypatch.setattr(Spilling, "finish", finish_and_forget)

    assert_noticed(SPILL, client_on, CarryOutTwice())


def test_taking_an_older_copy_of_a_block_is_noticed(monkeypatch: Patch):
    put = Spilling.put

    def put_unless_there(self: Spilling, contents: Mapping[int, bytes], page_size: int) -> None:
        before = {block: (self._home[block], self._valid[block]) for block in contents if block in self}
        put(self, contents, page_size)
        for block, (part, valid) in before.items():
            self._home[block], self._valid[block] = part, valid

    monkeypatch.setattr(Spilling, "put", put_unless_there)

    assert_noticed(SPILL, EngineClient, CarryOutTwice())


def test_committing_without_what_is_still_in_memory_is_noticed(monkeypatch: Patch):
    monkeypatch.setattr(
        "sqlite_s3vfs.transaction.transaction.blocks_to_spill", lambda units, **_: ()
    )

    trial = Trial(SPILL, EngineClient)

    with pytest.raises(AssertionError, match="everything has left the overlay"):
        trial.run()


def test_forgetting_pages_that_were_not_uploaded_is_noticed(monkeypatch: Patch):
    """A page that reaches into a block that stays has to stay."""
    odd = kind_called("spilling commit with blocks that are no multiple of a page")
    outcome_without_fault(odd, EngineClient)
    release = Overlay.release

    def release_all(self: Overlay, blocks, spilled, block_size: int) -> None:
        release(self, blocks, set(range(1 << 20)), block_size)

    monkeypatch.setattr(Overlay, "release", release_all)

    assert_noticed(odd, EngineClient, CarryOutTwice())

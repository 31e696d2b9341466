"""Every store call of every kind of commit: cut, lost, doubled, refused with 409, or late, in turn.

After each a fresh reader sees the old or the new version whole, as the writer was told; nothing is
committed twice; and the same client goes on rightly. Over the engine alone, and over SQLite
connections through the VFS.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from faults.clients import EngineClient, SQLClient
from faults.faultlist import FAULTS, Struck
from faults.kinds import KINDS, Kind
from faults.trials import ClientOn, faultless, state_of, strike_each_call

pytestmark = pytest.mark.slow
CLIENTS = pytest.mark.parametrize("client_on", [EngineClient, SQLClient])


@CLIENTS
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_without_a_fault_the_bytes_are_those_of_plain_sqlite(kind: Kind, client_on: ClientOn):
    trial = faultless(kind, client_on)

    if kind.name != "deserialize over a database":  # whose counters are raised above the old ones
        assert state_of(trial.store).content == kind.images[-1]


def combinations() -> Iterator[object]:
    """All of them over the engine; what takes long, and most of them over the VFS, only when asked."""
    for kind, struck, client_on in itertools.product(KINDS, FAULTS, (EngineClient, SQLClient)):
        thorough = client_on is SQLClient or kind.takes_long
        marks = [pytest.mark.long] if thorough and not struck.typical else []
        name = f"{kind}, {struck}, {client_on.__name__}"
        yield pytest.param(kind, struck, client_on, marks=marks, id=name)


@pytest.mark.parametrize(("kind", "struck", "client_on"), list(combinations()))
def test_no_fault_tears_loses_or_doubles_a_commit(kind: Kind, struck: Struck, client_on: ClientOn):
    told = strike_each_call(kind, client_on, struck.fault, struck.among)

    assert set(told) <= struck.tells
    assert sum(told.values()) >= struck.strikes_min(kind)

"""Every store call of every kind of commit: cut, lost, doubled, refused with 409, or late, in turn.

After each a fresh reader sees the old or the new version whole, as the writer was told; nothing is
committed twice; and the same client goes on rightly.
"""

from __future__ import annotations

import pytest

from faults.faultlist import FAULTS, Struck
from faults.kinds import KINDS, Kind
from faults.trials import EngineClient, strike_each_call

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("struck", FAULTS, ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_fault_tears_loses_or_doubles_a_commit(kind: Kind, struck: Struck):
    told = strike_each_call(kind, EngineClient, struck.fault, struck.among)

    assert set(told) <= struck.tells
    assert sum(told.values()) >= struck.strikes_min(kind)

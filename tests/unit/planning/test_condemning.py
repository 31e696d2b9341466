"""Random histories with time: what can be asked for is never deleted, and nothing else stays."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.planning.aging import PinOne, Plan, Restore, Step, Tick, UnpinAll, live
from unit.planning.test_commits_against_a_model import (
    BLOCK_SIZES,
    PAGE_SIZES,
    choices,
    operations,
    writers,
)
from unit.planning.test_planted_mistakes import large

KINDS = "wwwWnnbbcrRpffTTTTPPPPiusss"
codes = st.tuples(st.sampled_from(KINDS), choices, choices, writers)


def steps(chosen: list[tuple[str, int, int, int]], page_size: int, block_size: int) -> list[Step]:
    """What the codes mean; some of them are those of commits."""
    made = iter(operations([code for code in chosen if code[0] not in "TPius"], page_size, block_size))
    found: list[Step] = []
    for kind, one, _, by in chosen:
        match kind:
            case "T":
                found.append(Tick(1 + one))
            case "P":
                found.append(Plan(by))
            case "i":
                found.append(PinOne(one % 4))
            case "s":
                found.append(Restore(1 + one % 5, by))
            case "u":
                found.append(UnpinAll())
            case _:
                found.append(next(made))
    return found


a_history = given(
    page_size=st.sampled_from(PAGE_SIZES), chosen=st.lists(codes, min_size=8, max_size=18)
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_what_can_be_asked_for_is_there_and_nothing_else_stays(seed):
    chance = Random(seed)
    page_size, block_size = chance.choice([512, 1024, 4096]), chance.choice([4095, 4096, 65536])
    chosen = [
        (chance.choice(KINDS), chance.randrange(41), chance.randrange(41), chance.randrange(2))
        for _ in range(16)
    ]
    live(steps(chosen, page_size, block_size), page_size, block_size)


def test_what_a_restore_takes_away_is_dead_though_another_one_brought_it_back():
    """Version 1 comes back as version 3, and goes for good with version 4, which is version 2 again."""
    world = live([large(2, 3, 4), large(2, 3, 4), Restore(1), Restore(1)])

    assert not [thing for thing in world._things_here() if thing[1] <= 2]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@a_history
@settings(max_examples=100)
def test_what_can_be_asked_for_is_there_and_nothing_else_stays_for_long(
    block_size, page_size, chosen
):
    live(steps(chosen, page_size, block_size), page_size, block_size)

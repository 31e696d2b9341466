"""Whatever processes do, dying on the way: every promised version is what it was."""

from __future__ import annotations

import pytest
from unit.planning.world import NEVER_BY_ITSELF, SMALL_LIMITS, limits

from past.world import World

STEPS = 20


def run_history(seed: int) -> None:
    world = World(seed)
    try:
        for _ in range(STEPS):
            world.step()
        world.check_all()
    except Exception as error:
        error.add_note(f"seed {seed}: " + "; ".join(world.story))
        raise


@pytest.mark.slow
def test_two_hundred_histories():
    with limits({**SMALL_LIMITS, **NEVER_BY_ITSELF}):
        for seed in range(200):
            run_history(seed)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(10))
def test_two_thousand_histories(part):
    with limits({**SMALL_LIMITS, **NEVER_BY_ITSELF}):
        for seed in range(1000 + 200 * part, 1200 + 200 * part):
            run_history(seed)

"""Each rule of condemning broken on purpose: the checks of ``aging`` turn red, only because of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sqlite_s3vfs.planning.condemning import first_in_retention
from unit.planning.aging import PinOne, Plan, Restore, Step, Tick, live
from unit.planning.test_planted_mistakes import large, planted, small


@dataclass(frozen=True)
class Scenario:
    """A mistake, what brings it to light, and the words of the claim that then fails."""

    mistake: dict[str, Callable[..., Any]]
    steps: list[Step]
    says: str


def everything_is_old(manifest, time_ms, now_ms):
    return manifest.version


def too_short(manifest, time_ms, now_ms):
    return first_in_retention(replace(manifest, retention_seconds=30), time_ms, now_ms)


AGED = [Tick(120), Plan(), small(3), small(4), Tick(120), Plan(), small(5), small(6)]
TWICE = [large(2, 3, 4), large(2, 3, 4), large(2, 3, 4)]
SCENARIOS = {
    "what is within retention goes": Scenario(
        {"first_in_retention": everything_is_old},
        [*TWICE, Plan(), small(3), small(4)],
        "within retention",
    ),
    "the retention counts from too late": Scenario(
        {"first_in_retention": too_short}, [*TWICE, Tick(40), Plan(), small(3)], "within retention"
    ),
    "what a pin needs goes": Scenario(
        {"_is_pinned": lambda row, pins: False, "is_held": lambda expired, base: False},
        [large(2, 3, 4), PinOne(0), large(2, 3, 4), large(2, 3, 4), *AGED],
        "gone|another file|nobody knows",
    ),
    "the history object that a pin is read from goes": Scenario(
        {"is_held": lambda expired, base: False},
        [large(2, 3, 4), small(5), PinOne(0), large(2, 3, 4), large(2, 3, 4), *AGED],
        "another file|nobody knows",
    ),
    "what a restore brought back goes": Scenario(
        {"_is_void": lambda row, restores: False},
        [large(2, 3, 4), large(2, 3, 4), Restore(1), Tick(120), small(5), *AGED],
        "the condemned is not in use|gone",
    ),
    "what died is forgotten when its history object goes": Scenario(
        {"_free": lambda died, base, oldest_readable: []},
        [large(2, 3, 4), large(2, 3, 4), *AGED],
        "nobody needs",
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_every_claim_holds(scenario: Scenario):
    live(scenario.steps)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_planted_mistake_is_noticed(scenario: Scenario):
    with planted(scenario.mistake), pytest.raises(AssertionError, match=scenario.says):
        live(scenario.steps)

"""Random sequences of commits by two writers, and after each all that the format promises.

See ``world``; the limits are made small, so that a dozen operations reach pieces and nodes of the map,
folds of the tail into blocks, and dropped rows of all kinds.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.planning.world import (
    NEVER_BY_ITSELF,
    SMALL_LIMITS,
    Commit,
    Cut,
    Fold,
    Operation,
    Repage,
    Replace,
    World,
    Write,
    limits,
)

PAGE_SIZES = [512 << power for power in range(8)]
BLOCK_SIZES = [512, 4095, 4096, 4097, 65536]
MANY = 8
"""More pages than the tail is tried for."""


class Numbers:
    """Page numbers worth trying: at the edges of blocks, pieces and nodes."""

    def __init__(self, page_size: int, block_size: int) -> None:
        edges = {block * block_size // page_size for block in (1, 2, 4, 5, 8, 16, 17, 24)}
        near = {edge + step for edge in edges for step in (-1, 0, 1, 2)} | {2, 3, 5}
        self._numbers = sorted(number for number in near if 1 <= number <= 200)

    def __call__(self, chosen: int) -> int:
        return self._numbers[chosen % len(self._numbers)]


choices = st.integers(0, 40)
writers = st.integers(0, 1)
codes = st.tuples(st.sampled_from("wwwwWnbcrgtpRffff"), choices, choices, writers)


def operations(
    codes: list[tuple[str, int, int, int]], page_size: int, block_size: int
) -> list[Operation]:
    """What the codes mean for these sizes."""
    number = Numbers(page_size, block_size)
    made: list[Operation] = []
    for seed, (kind, one, other, by) in enumerate(codes):
        first, second = number(one), number(other)
        match kind:
            case "w":
                made.append(Commit((Write((first,), seed),), by))
            case "W":
                made.append(Commit((Write((first, second), seed, interior=True),), by))
            case "n":
                made.append(Commit((Write((first, second), seed, noise=True),), by))
            case "b":
                made.append(Commit((Write(tuple(range(first, first + MANY)), seed),), by))
            case "c":
                made.append(Commit((Cut(first),), by))
            case "r":
                made.append(Commit((Cut(first), Write((second,), seed)), by))
            case "g":
                made.append(Commit((Cut(first), Cut(second)), by))
            case "t":
                made.append(Commit((Cut(0),) if one % 5 == 0 else (Cut(first), Cut(first + 1)), by))
            case "p":
                page_size = PAGE_SIZES[one % len(PAGE_SIZES)]
                number = Numbers(page_size, block_size)
                made.append(Repage(page_size, number(other), by))
            case "R":
                made.append(Replace(first, by))
            case _:
                made.append(Fold(by))
    return made


def run(block_size: int, page_size: int, chosen: list[tuple[str, int, int, int]]) -> None:
    with limits(SMALL_LIMITS | NEVER_BY_ITSELF):
        world = World(page_size, block_size)
        for operation in operations(chosen, page_size, block_size):
            world.apply(operation)


a_run = given(page_size=st.sampled_from(PAGE_SIZES), chosen=st.lists(codes, min_size=4, max_size=14))


@pytest.mark.slow
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@a_run
@settings(max_examples=12)
def test_whatever_is_committed_every_promise_holds(block_size, page_size, chosen):
    run(block_size, page_size, chosen)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block_size", BLOCK_SIZES)
@a_run
@settings(max_examples=300)
def test_whatever_is_committed_every_promise_holds_for_long(block_size, page_size, chosen):
    run(block_size, page_size, chosen)

"""Each rule broken on purpose: the checks of ``world`` turn red, and only because of the mistake.

A scenario runs twice: as the code is, where all claims hold, and with the mistake planted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import pytest

from sqlite_s3vfs.format.geometry import overlapping
from sqlite_s3vfs.planning.commit import CommitPlan, plan_commit
from sqlite_s3vfs.planning.fold import adoptable
from sqlite_s3vfs.planning.interior import piece_copies, valid_copies
from sqlite_s3vfs.planning.liveness import Liveness, _one_more
from sqlite_s3vfs.planning.successor import Prepared, _commits
from sqlite_s3vfs.transaction.commit import _with_replaced
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


@dataclass(frozen=True)
class Scenario:
    """A mistake, what brings it to light, and the words of the claim that then fails."""

    mistake: dict[str, Callable[..., Any]]
    operations: list[Operation]
    says: str
    page_size: int = 4096
    block_size: int = 65536


@contextmanager
def planted(mistake: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """The functions of these names are others, wherever the engine has them."""
    modules = [
        module
        for name, module in sys.modules.items()
        if name.startswith(("sqlite_s3vfs.planning", "sqlite_s3vfs.transaction"))
    ]
    with ExitStack() as stack:
        for name, function in mistake.items():
            holders = [module for module in modules if hasattr(module, name)]
            assert holders, name
            for module in holders:
                stack.enter_context(patch.object(module, name, function))
        yield


def small(*pages: int, by: int = 0, **how: Any) -> Commit:
    return Commit((Write(pages, **how),), by)


def large(*pages: int, by: int = 0) -> Commit:
    """So many pages that they do not fit the tail."""
    return Commit((Write(pages, noise=True),), by)


def cut(*sizes: int, by: int = 0) -> Commit:
    return Commit(tuple(Cut(size) for size in sizes), by)


def adoptable_whatever_was_read(base, base_locators, waiting) -> frozenset[int]:
    return adoptable(base, {b: f.read for b, f in waiting.blocks.items() if f.read}, waiting)


def adoptable_whatever_was_merged(base, base_locators, waiting) -> frozenset[int]:
    blocks = {b: replace(folded, merged=frozenset()) for b, folded in waiting.blocks.items()}
    return adoptable(base, base_locators, replace(waiting, blocks=blocks))


def entries_kept_until_any_block_is_written(base, prepared, rewritten):
    for entry in base.tail:
        blocks = set(overlapping(entry.page - 1, base.page_size, base.block_size))
        if not blocks & rewritten:
            yield entry


def entries_kept_for_ever(base, prepared, rewritten):
    for entry in base.tail:
        if (entry.page - 1) * prepared.page_size < prepared.size:
            yield entry


def merged_whatever_the_fold_merged(base, prepared, entry, block) -> bool:
    return True


def without_cut(work, prepared: Prepared) -> Prepared:
    return replace(_with_replaced(work, prepared), cut={})


def plan_that_drops_nothing(*args: Any, **kwargs: Any) -> CommitPlan:
    return replace(plan_commit(*args, **kwargs), drops=False)


def history_without_the_folds(prepared: Prepared) -> list[Any]:
    return [prepared.history] if prepared.history else []


def no_page_touched(kept, fresh, **how: Any):
    return valid_copies(kept, fresh, **{**how, "touched_pages": frozenset()})


def copies_kept_though_their_block_was_written(index, old, copies, recent, geometry):
    return piece_copies(index, old, copies, (), geometry)


def nothing_left_by_adopting(found: Liveness, waiting, adopted, version) -> Liveness:
    return found


def counted_twice(count, source):
    once = _one_more(count, source)
    return once._replace(dead=once.dead + 1)


def only_wanted_commits(base, prepared, base_time_ms, tail):
    return _commits(base, prepared, base_time_ms, tail)[-1:]


SCENARIOS = {
    "I2: a fold is adopted though its block was cut since": Scenario(
        {"adoptable": adoptable_whatever_was_read},
        [large(*range(2, 11)), small(2), Fold(0), cut(5, by=1), cut(10, by=1), small(3)],
        "is another file",
    ),
    "I2: a fold is adopted though an entry that it merged is gone": Scenario(
        {"adoptable": adoptable_whatever_was_merged},
        [large(2, 3, 4, 5), small(8), Fold(0), cut(6, by=1), cut(8, by=1), small(2)],
        "is another file",
    ),
    "I2: an entry goes that the adopted block does not contain": Scenario(
        {"_merged": merged_whatever_the_fold_merged},
        [large(2, 3, 4, 5), small(3), Fold(0), small(3, by=1), small(2)],
        "is another file",
    ),
    "I3: an entry goes when one of its two blocks is written": Scenario(
        {"_kept_entries": entries_kept_until_any_block_is_written},
        [large(*range(1, 5)), small(2), Commit((Write(tuple(range(7, 15))),), 0), small(9)],
        "is another file",
        page_size=1024,
        block_size=1300,
    ),
    "I3: entries stay over a block that was written": Scenario(
        {"_kept_entries": entries_kept_for_ever},
        [small(3), large(3, 4, 5)],
        "is another file",
    ),
    "I3: a page-size change keeps the tail": Scenario(
        {"_kept_entries": entries_kept_for_ever},
        [small(3), Repage(1024, 20)],
        "another size",
    ),
    "I3: a shrink inside a block leaves its valid length": Scenario(
        {"_with_replaced": without_cut},
        [large(*range(2, 11)), cut(5), cut(10)],
        "is another file",
    ),
    "I3: a shrink leaves the limits of references": Scenario(
        {"cut_refs": lambda refs, span, block_count: refs},
        [large(*range(2, 30)), cut(5), cut(29)],
        "died 2, held",
        block_size=4096,
    ),
    "I3: what was cut off and regrown in one transaction shows the base": Scenario(
        {"_regrown": lambda base, changes: set()},
        [large(*range(2, 11)), cut(5, 10)],
        "is another file",
    ),
    "I4: a large commit keeps no history": Scenario(
        {"plan_commit": plan_that_drops_nothing},
        [small(3), small(3), large(3, 4, 5)],
        "is another file",
    ),
    "I4: an adopted fold's history is not named": Scenario(
        {"_fresh_history": history_without_the_folds},
        [small(3), small(3), Fold(0), small(4)],
        "is another file",
    ),
    "I4: the sizes of versions that are still served are forgotten": Scenario(
        {"_commits": only_wanted_commits},
        [large(2, 3), small(4)],
        "size of version 1",
    ),
    "an interior copy stays though its page was written": Scenario(
        {"valid_copies": no_page_touched},
        [Commit((Write((2,), interior=True), Write((3, 4, 20), noise=True))), large(2, 3, 4)],
        "is stale",
    ),
    "an interior copy stays in its piece though its page was written": Scenario(
        {"piece_copies": copies_kept_though_their_block_was_written},
        [
            Commit((Write(tuple(range(2, 9)), interior=True, noise=True),)),
            large(*range(2, 11)),
        ],
        "is stale",
        block_size=4096,
    ),
    "I5: blocks of a fold that nobody adopts are not counted": Scenario(
        {"after_adopting": nothing_left_by_adopting},
        [large(2, 40), small(20, 40), Fold(0), large(*range(40, 48), by=1), small(2)],
        "counted",
    ),
    "I5: a dead block counts twice": Scenario(
        {"_one_more": counted_twice},
        [large(2, 3, 20), large(2, 3, 4)],
        "died 2, held",
    ),
    "I5: map objects that nothing refers to are not recorded": Scenario(
        {"map_objects_died": lambda old, new, below_nodes, version: ()},
        [large(*range(2, 12)), large(*range(2, 12))],
        "nothing records it",
        block_size=4096,
    ),
    "I5: content that is replaced whole is not recorded": Scenario(
        {"content_died": lambda version: Liveness({}, ())},
        [large(2, 3), Replace(3)],
        "is dead",
    ),
}


def run(scenario: Scenario) -> None:
    with limits(SMALL_LIMITS | NEVER_BY_ITSELF):
        world = World(scenario.page_size, scenario.block_size)
        for operation in scenario.operations:
            world.apply(operation)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_every_claim_holds(scenario: Scenario):
    run(scenario)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_planted_mistake_is_noticed(scenario: Scenario):
    with planted(scenario.mistake), pytest.raises(AssertionError, match=scenario.says):
        run(scenario)

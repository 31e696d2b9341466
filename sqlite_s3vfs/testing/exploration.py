"""Run a scenario in every order of its actors' store calls.

The search is depth first and keeps no state of the scenario: each schedule builds the world anew and
repeats the choices made so far, then goes on with the first choice not tried. So ``build`` must be
deterministic; a run that differs from the one before it raises ``NondeterminismError``.

**Pruning.** Without a bound, schedules are left out that differ from an explored one only in the order
of neighbouring steps that commute (``Footprint.commutes_with``, on what the steps really did). This is
source DPOR with sleep sets (Abdulla, Aronis, Jonsson, Sagonas, *Optimal Dynamic Partial Order
Reduction*, POPL 2014): a point of a schedule is tried with another actor only where two steps raced,
that is, did not commute and were not ordered by steps between them; and an actor that was tried at a
point is not tried again behind it before a step was made that does not commute with its own. It is
sound here because no actor ever waits for another, every schedule ends, and the next step of an actor
does the same before and after a step that commutes with it. What each actor sees, the final content of
the store and the real-time order of recorded operations are the same in a schedule that is left out and
in one that is not. The order in which *several* objects changed is not kept where nobody looked.

**Bound.** With ``preemptions=n`` only schedules are explored that take the turn from an actor that
could go on at most n times (Musuvathi and Qadeer, *Iterative Context Bounding*). Sleep sets are off
then, since together with a bound they would leave out schedules that nothing else covers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlite_s3vfs.testing.scheduler import Footprint, Scenario, World

Build = Callable[[World], Scenario]


class ScheduleFailedError(AssertionError):
    """A schedule broke the scenario's check, or ended an actor; ``choices`` can be replayed."""

    def __init__(self, trace: Sequence[str], choices: Sequence[str], cause: BaseException) -> None:
        self.choices = tuple(choices)
        lines = "\n".join(f"  {number:3} {line}" for number, line in enumerate(trace))
        super().__init__(f"a schedule failed. cause={cause!r} choices={self.choices}\n{lines}")


class NondeterminismError(RuntimeError):
    """The same choices led to another step than before."""


class TooManySchedulesError(RuntimeError):
    """The limit was reached before every schedule was explored."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much was run: ``schedules`` to the end, ``pruned`` cut short as covered by others."""

    schedules: int
    pruned: int
    steps: int


@dataclass(slots=True)
class _Choice:
    """One point of the schedule under way: who could go on, who is to be tried, who was.

    ``clock`` holds, by actor, the depth of its last step that is not after this one in any order.
    """

    runnable: tuple[str, ...]
    wanted: list[str]
    asleep: dict[str, Footprint]
    chosen: str
    explored: dict[str, Footprint] = field(default_factory=dict)
    footprint: Footprint | None = None
    clock: dict[str, int] = field(default_factory=dict)

    def step(self) -> Footprint:
        assert self.footprint is not None, "a point is left only by a step"
        return self.footprint


def explore(build: Build, *, preemptions: int | None = None, limit: int = 100_000) -> Exploration:
    """Run every schedule of the scenario that ``build`` makes, and its check after each.

    Raises:
        ScheduleFailedError: the check failed or an actor raised, in the schedule that it shows.
        NondeterminismError: two runs with the same choices differed.
        TooManySchedulesError: more than ``limit`` runs would be needed.
    """
    return _Search(build, preemptions).run(limit)


def replay(build: Build, choices: Iterable[str]) -> None:
    """Run one schedule again, as ``ScheduleFailedError.choices`` names it; raise what it raises."""
    world = World()
    scenario = build(world)
    world.begin(scenario)
    try:
        for name in choices:
            world.step(name)
        if not world.runnable:
            scenario.check()
    finally:
        world.end()


class _Search:
    def __init__(self, build: Build, preemptions: int | None) -> None:
        self._build = build
        self._preemptions = preemptions
        self._path: list[_Choice] = []
        self._steps = 0

    def run(self, limit: int) -> Exploration:
        schedules = pruned = 0
        while True:
            if self._execute():
                schedules += 1
            else:
                pruned += 1
            if not self._turn_back():
                return Exploration(schedules, pruned, self._steps)
            if schedules + pruned >= limit:
                raise TooManySchedulesError(f"use fewer actors or a bound. limit={limit}")

    def _execute(self) -> bool:
        """Run the path and on from its end; False when the rest is covered by other schedules."""
        world = World()
        trace: list[str] = []
        try:
            scenario = self._build(world)
            world.begin(scenario)
            for depth in itertools.count():
                if depth == len(self._path) and not self._extend(world.runnable):
                    break
                choice = self._path[depth]
                trace.append(f"{choice.chosen}: …")
                footprint = world.step(choice.chosen)
                trace[-1] = f"{choice.chosen}: {footprint.call or 'goes on'}"
                self._note(depth, footprint)
            if world.runnable:
                return False
            scenario.check()
        except NondeterminismError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            choices = [choice.chosen for choice in self._path[: len(trace)]]
            raise ScheduleFailedError(trace, choices, error) from error
        finally:
            world.end()
        return True

    def _note(self, depth: int, footprint: Footprint) -> None:
        self._steps += 1
        choice = self._path[depth]
        if choice.footprint is None:
            choice.footprint = footprint
            if self._preemptions is None:
                self._order(depth)
                self._want_reversed_races(depth)
        elif choice.footprint != footprint:
            raise NondeterminismError(
                f"the same choices, another step. actor={choice.chosen} "
                f"before={choice.footprint} now={footprint}"
            )

    def _order(self, depth: int) -> None:
        """Find the steps that come before this one in every equivalent schedule."""
        choice = self._path[depth]
        for earlier in self._path[:depth]:
            same = earlier.chosen == choice.chosen
            if same or not earlier.step().commutes_with(choice.step()):
                for actor, last in earlier.clock.items():
                    choice.clock[actor] = max(last, choice.clock.get(actor, -1))
        choice.clock[choice.chosen] = depth

    def _is_before(self, first: int, second: int) -> bool:
        return self._path[second].clock.get(self._path[first].chosen, -1) >= first

    def _want_reversed_races(self, depth: int) -> None:
        """Wherever this step raced with an earlier one, have somebody tried who leads to the reverse."""
        for racing in range(depth):
            if not self._races(racing, depth):
                continue
            between = [other for other in range(racing + 1, depth) if not self._is_before(racing, other)]
            leads = self._initials([*between, depth])
            wanted = self._path[racing].wanted
            if not leads.intersection(wanted):
                chosen = self._path[depth].chosen
                wanted.append(chosen if chosen in leads else min(leads))

    def _races(self, first: int, second: int) -> bool:
        one, other = self._path[first], self._path[second]
        if one.chosen == other.chosen or one.step().commutes_with(other.step()):
            return False
        return not any(
            self._is_before(first, between) and self._is_before(between, second)
            for between in range(first + 1, second)
        )

    def _initials(self, steps: Sequence[int]) -> set[str]:
        """The actors that could make the first of these steps."""
        return {
            self._path[step].chosen
            for position, step in enumerate(steps)
            if not any(self._is_before(earlier, step) for earlier in steps[:position])
        }

    def _extend(self, runnable: tuple[str, ...]) -> bool:
        """Add a point at the end of the path; False when nobody is left to try there."""
        asleep = self._asleep()
        candidates = [name for name in self._allowed(runnable) if name not in asleep]
        if candidates:
            wanted = candidates if self._preemptions is not None else candidates[:1]
            self._path.append(_Choice(runnable, wanted, asleep, candidates[0]))
        return bool(candidates)

    def _asleep(self) -> dict[str, Footprint]:
        if not self._path or self._preemptions is not None:
            return {}
        last = self._path[-1]
        return {
            name: footprint
            for name, footprint in {**last.asleep, **last.explored}.items()
            if footprint.commutes_with(last.step())
        }

    def _allowed(self, runnable: tuple[str, ...]) -> tuple[str, ...]:
        if self._preemptions is None or not self._path:
            return runnable
        last = self._path[-1].chosen
        if last not in runnable:
            return runnable
        used = sum(
            before.chosen != after.chosen and before.chosen in after.runnable
            for before, after in itertools.pairwise(self._path)
        )
        others = tuple(name for name in runnable if name != last)
        return (last, *others) if used < self._preemptions else (last,)

    def _turn_back(self) -> bool:
        """Leave what was just tried and go to the next choice to try; False at the very end."""
        while self._path:
            choice = self._path[-1]
            choice.explored[choice.chosen] = choice.step()
            choice.footprint, choice.clock = None, {}
            for name in choice.wanted:
                if name not in choice.explored and name not in choice.asleep:
                    choice.chosen = name
                    return True
            self._path.pop()
        return False

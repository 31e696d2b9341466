"""Run a scenario in every order of its actors' store calls.

The search is depth first and keeps no state of the scenario: each schedule builds the world anew and
repeats the choices made so far, then goes on with the first choice not tried. So ``build`` must be
deterministic; a run that differs from the one before it raises ``NondeterminismError``.

**Pruning.** Without a bound, sleep sets (Godefroid, *Partial-Order Methods for the Verification of
Concurrent Systems*, chapter 5) leave out schedules that differ from an explored one only in the order of
neighbouring steps that commute: after actor a has been tried at some point, and b is tried there, a need
not be tried again until a step is made that does not commute with a's. ``Footprint.commutes_with`` says
when two steps commute, on what they really did: that is sound because the next step of an actor does
the same thing before and after a step that commutes with it. What each actor sees, the final
content of the store and the real-time order of recorded operations are the same in a schedule that is
left out and in one that is not. The order in which *several* objects changed is not kept where nobody
looked.

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
    """One point of the schedule under way: who could go on, who need not be tried, who was."""

    runnable: tuple[str, ...]
    open: list[str]
    asleep: dict[str, Footprint]
    explored: dict[str, Footprint] = field(default_factory=dict)
    footprint: Footprint | None = None

    @property
    def chosen(self) -> str:
        return self.open[0]


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
                self._note(choice, footprint)
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

    def _note(self, choice: _Choice, footprint: Footprint) -> None:
        self._steps += 1
        if choice.footprint is None:
            choice.footprint = footprint
        elif choice.footprint != footprint:
            raise NondeterminismError(
                f"the same choices, another step. actor={choice.chosen} "
                f"before={choice.footprint} now={footprint}"
            )

    def _extend(self, runnable: tuple[str, ...]) -> bool:
        """Add a point at the end of the path; False when nobody is left to try there."""
        asleep = self._asleep()
        candidates = [name for name in self._allowed(runnable) if name not in asleep]
        if candidates:
            self._path.append(_Choice(runnable, candidates, asleep))
        return bool(candidates)

    def _asleep(self) -> dict[str, Footprint]:
        if not self._path or self._preemptions is not None:
            return {}
        last = self._path[-1]
        assert last.footprint is not None, "a point is left only by a step"
        return {
            name: footprint
            for name, footprint in {**last.asleep, **last.explored}.items()
            if footprint.commutes_with(last.footprint)
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
        """Leave what was just tried and go to the next choice not tried; False at the very end."""
        while self._path:
            choice = self._path[-1]
            assert choice.footprint is not None, "a point is left only after a step"
            choice.explored[choice.open.pop(0)] = choice.footprint
            choice.footprint = None
            if choice.open:
                return True
            self._path.pop()
        return False

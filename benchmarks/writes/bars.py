"""What writes and transfers are held to. Pure.

Speeds are compared with what the same machine does without this library in the same run, memory with a
fixed limit, requests with what is promised for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.libraries import ANCESTOR, OURS
from benchmarks.writes.run import FAR, Measured
from benchmarks.writes.worker import Result

MEMORY_MAX = 256 << 20
PUTS_PER_COMMIT_MAX = 1.3
FAR_COMMIT_MS_MAX = 2 * 1000 * FAR + 10
FASTER_THAN_ANCESTOR_MIN = 30


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a bar fared."""

    promise: str
    measured: str
    passed: bool


def judge(measured: Sequence[Measured]) -> list[Verdict]:
    """Every bar whose cases were measured."""
    found = {one.step.case: one.result for one in measured if one.step.library is OURS}
    speeds = [
        _speed(found, "import_ours", "raw_puts", 0.8, "deserialize: {} of raw puts"),
        _speed(found, "export_ours", "raw_gets", 0.7, "serialize: {} of raw gets"),
        _speed(found, "build_ours", "build_local", 0.8, "build: {} of local SQLite and upload_file"),
    ]
    memory = [
        _limit(found, case, lambda result: result.peak_rss / (1 << 20), MEMORY_MAX >> 20,
               f"{case}: at most {{}} MiB of memory")
        for case in ("import_ours", "export_ours", "build_ours", "insert_ours")
    ]
    commits = [
        _limit(found, "commits_ours", _puts_per_commit(measured), PUTS_PER_COMMIT_MAX,
               "one-row commits: at most {} PUTs each"),
        _far_commits(found, measured),
        _faster_than_ancestor(found, measured),
    ]
    return [verdict for verdict in (*speeds, *memory, *commits) if verdict is not None]


def _speed(
    found: dict[str, Result], ours: str, theirs: str, share: float, promise: str
) -> Verdict | None:
    if ours not in found or theirs not in found:
        return None
    reached = found[theirs].seconds / found[ours].seconds
    return Verdict(promise.format(f"at least {share:.0%}"), f"{reached:.0%}", reached >= share)


def _limit(
    found: dict[str, Result],
    case: str,
    figure: Callable[[Result], float],
    limit: float,
    promise: str,
) -> Verdict | None:
    if case not in found:
        return None
    value = figure(found[case])
    return Verdict(promise.format(limit), f"{value:.4g}", value <= limit)


def _far_commits(found: dict[str, Result], measured: Sequence[Measured]) -> Verdict | None:
    def each(case: str) -> Callable[[Result], float]:
        return lambda result: result.seconds * 1000 / _size_of(case, measured)

    promise = f"one-row commits at {FAR * 1000:.0f} ms: at most {{:.0f}} ms each"
    verdict = _limit(found, "far_commits_ours", each("far_commits_ours"), FAR_COMMIT_MS_MAX, promise)
    bare = found.get("far_raw_commits")
    return _beside(verdict, f"{each('far_raw_commits')(bare):.4g}" if bare else "")


def _faster_than_ancestor(
    found: dict[str, Result], measured: Sequence[Measured]
) -> Verdict | None:
    each = {
        one.step.library: one.result.seconds / one.step.size
        for one in measured
        if one.step.case == "commits_ours"
    }
    if set(each) != {OURS, ANCESTOR}:
        return None
    reached = each[ANCESTOR] / each[OURS]
    promise = f"one-row commits: at least {FASTER_THAN_ANCESTOR_MIN} times as fast as the ancestor"
    verdict = Verdict(promise, f"{reached:.0f}", reached >= FASTER_THAN_ANCESTOR_MIN)
    bare = found.get("raw_commits")
    at_most = each[ANCESTOR] * _size_of("raw_commits", measured) / bare.seconds if bare else 0.0
    return _beside(verdict, f"{at_most:.0f}" if bare else "")


def _beside(verdict: Verdict | None, bare: str) -> Verdict | None:
    """With what the same requests reach without any library."""
    if verdict is None or not bare:
        return verdict
    return replace(verdict, measured=f"{verdict.measured} (its requests alone {bare})")


def _size_of(case: str, measured: Sequence[Measured]) -> int:
    return next(
        (one.step.size for one in measured if one.step.case == case and one.step.library is OURS), 1
    )


def _puts_per_commit(measured: Sequence[Measured]) -> Callable[[Result], float]:
    size = _size_of("commits_ours", measured)

    def figure(result: Result) -> float:
        return sum(n for kind, n in result.kinds.items() if kind.startswith("Put")) / size

    return figure

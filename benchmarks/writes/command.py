"""The write benchmarks from beginning to end: measure, show, write down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import heading
from benchmarks.run import Display
from benchmarks.server import Server
from benchmarks.writes.bars import judge
from benchmarks.writes.report import bar_table, result_document, table
from benchmarks.writes.run import FULL, QUICK, Group, Measured, in_transactions, run

RESULT = Path(__file__).parent.parent / "results" / "writes"
PART = RESULT.with_name("writes-so-far")
"""What a run that is not over, or was interrupted, has measured; git ignores it."""


def measure_writes(
    server: Server, display: Display, *, quick: bool, plan: Sequence[Group] | None = None
) -> bool:
    """Write in every way, print the table and the bars; whether every bar holds.

    Writes the result files unless it was ``quick`` or a plan of one's own, and after each step what
    there is so far.
    """
    keeps = not quick and plan is None

    def write_part(facts: Mapping[str, Any], measured: Sequence[Measured]) -> None:
        if keeps:
            write_results(PART, facts, measured)

    facts, measured = run(
        plan or (QUICK if quick else FULL), server, display, on_measured=write_part
    )
    verdicts = judge(measured)
    print(f"\n{table(measured)}\n\n{bar_table(verdicts)}\n")
    if keeps:
        write_results(RESULT, facts, measured)
        for suffix in (".json", ".md"):
            PART.with_suffix(suffix).unlink(missing_ok=True)
    return all(verdict.passed for verdict in verdicts)


def measure_transactions(server: Server, display: Display, count: int) -> None:
    """Insert in ``count`` transactions, print the table and write it to a file of its own."""
    facts, measured = run(in_transactions(count), server, display)
    print(f"\n{table(measured)}\n")
    write_results(RESULT.with_name(f"writes-{count}-transactions"), facts, measured)


def write_results(result: Path, facts: Mapping[str, Any], measured: Sequence[Measured]) -> None:
    """Write the table for people and the figures for programs, with the bars that can be judged."""
    verdicts = judge(measured)
    result.parent.mkdir(exist_ok=True)
    document = result_document(measured, verdicts, facts)
    result.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
    top = heading("Writes, measured", facts, facts["versions"], section="#writes")
    result.with_suffix(".md").write_text(f"{top}\n\n{table(measured)}\n\n{bar_table(verdicts)}\n")

"""The write benchmarks from beginning to end: measure, show, write down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.run import Display
from benchmarks.server import Server
from benchmarks.writes.bars import judge
from benchmarks.writes.report import bar_table, result_document, table
from benchmarks.writes.run import FULL, QUICK, Group, run

RESULT = Path(__file__).parent.parent / "results" / "writes"


def measure_writes(
    server: Server, display: Display, *, quick: bool, plan: Sequence[Group] | None = None
) -> bool:
    """Write in every way, print the table and the bars; whether every bar holds.

    Writes the result files unless it was ``quick`` or a plan of one's own.
    """
    facts, measured = run(plan or (QUICK if quick else FULL), server, display)
    verdicts = judge(measured)
    shown = f"{table(measured)}\n\n{bar_table(verdicts)}"
    print(f"\n{shown}\n")
    if not quick and plan is None:
        RESULT.parent.mkdir(exist_ok=True)
        document = result_document(measured, verdicts, facts)
        RESULT.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
        versions = "".join(
            f"- {title}: {', '.join(f'{name} {version}' for name, version in of_library.items())}\n"
            for title, of_library in facts["versions"].items()
        )
        RESULT.with_suffix(".md").write_text(
            f"# Writes, measured on {facts['date']}\n\n"
            f"- machine: {facts['machine']}; load average before the run: {facts['load_average']}\n"
            f"- server: {facts['server']}\n{versions}"
            f"\nHow to read and repeat this: [the benchmarks](../README.md#writes).\n\n{shown}\n"
        )
    return all(verdict.passed for verdict in verdicts)

"""``python -m benchmarks``: measure, print the tables, check the bars, write the results.

``python -m benchmarks foundation`` compares operations with the ancestor, ``python -m benchmarks
reads`` ways to read a large database, ``python -m benchmarks writes`` ways to write one; without a name
all are run. Some minutes each; with
``--quick`` about one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.bars import judge
from benchmarks.libraries import ANCESTOR, OURS, WorkerFailedError
from benchmarks.reads.command import measure_reads
from benchmarks.report import bar_table, broken_bars, comparison_table, heading, result_document
from benchmarks.run import FULL, LATENCIES, QUICK, Display, run
from benchmarks.server import Server, answering, server_from_environment
from benchmarks.summary import summarize
from benchmarks.writes.command import measure_transactions, measure_writes

RESULT = Path(__file__).parent / "results" / "foundation"


def main(arguments: list[str] | None = None) -> int:
    """0; with ``--check`` 1 where a bar does not hold; 2 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    suites = ["foundation", "reads", "writes"]
    parser.add_argument("suite", nargs="?", choices=suites, help="one of them")
    parser.add_argument(
        "--quick", action="store_true", help="fewer repetitions, small databases, no result file"
    )
    parser.add_argument("--check", action="store_true", help="fail if a bar does not hold")
    parser.add_argument(
        "--only", choices=["ours", "ancestor"], help="foundation: measure one library; no result file"
    )
    parser.add_argument(
        "--folder", type=Path, help="reads: keep the local databases here (1.3 GB) for the next run"
    )
    parser.add_argument(
        "--transactions", type=int, metavar="N",
        help="writes: only N transactions of 1 000 rows, from an empty table on; own result file",
    )
    options = parser.parse_args(arguments)
    if options.transactions is not None and (options.suite != "writes" or options.transactions < 1):
        parser.error("--transactions N is for writes, and N at least 1")
    if options.check and options.only == "ancestor":
        parser.error("the bars are this library's: --check needs it measured")
    server, display = server_from_environment(), Display()
    held = True
    try:
        with answering(server):
            if options.suite in (None, "foundation"):
                held &= measure_foundation(server, display, quick=options.quick, only=options.only)
            if options.suite in (None, "reads"):
                held &= measure_reads(server, display, quick=options.quick, folder=options.folder)
            if options.transactions:
                measure_transactions(server, display, options.transactions)
            elif options.suite in (None, "writes"):
                held &= measure_writes(server, display, quick=options.quick)
    except WorkerFailedError as error:
        display.lasting(str(error))
        return 2
    return 1 if options.check and not held else 0


def measure_foundation(server: Server, display: Display, *, quick: bool, only: str | None) -> bool:
    """Both libraries, or one, on the operations; whether every bar holds."""
    chosen = {"ours": [OURS], "ancestor": [ANCESTOR], None: [OURS, ANCESTOR]}[only]
    plans = [plan for plan in (QUICK if quick else FULL) if plan.library in chosen]
    facts, samples = run(plans, server, display)
    results = {title: summarize(found) for title, found in samples.items() if found}
    table = comparison_table(results, LATENCIES, transfer_size=facts["transfer_bytes"])
    verdicts = judge(samples[OURS.title]) if samples[OURS.title] else []
    shown = f"each cell: {' / '.join(results)}\n\n{table}"
    if verdicts:
        shown += f"\n\n{bar_table(verdicts)}"
    print(f"\n{shown}\n")
    if broken := broken_bars(verdicts):
        print(broken)
    if not quick and only is None:
        write_result(shown, result_document(results, verdicts, facts))
    return not broken


def write_result(shown: str, document: dict[str, Any]) -> None:
    """Write the table for people and the figures for programs."""
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.with_suffix(".json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    top = heading("Measured", document, document["versions"])
    RESULT.with_suffix(".md").write_text(f"{top} {shown[0].upper()}{shown[1:]}\n")


if __name__ == "__main__":
    sys.exit(main())

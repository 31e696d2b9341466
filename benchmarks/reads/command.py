"""The read benchmarks from beginning to end: measure, show, write down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reads.bars import Verdict, judge
from benchmarks.reads.figures import Case, Figures, Sample, summarize
from benchmarks.reads.plot import draw
from benchmarks.reads.queries import QUERIES
from benchmarks.reads.report import TITLES, bar_table, result_document, table
from benchmarks.reads.run import CACHE_BYTES, FULL, QUICK, Plan, run
from benchmarks.report import heading, size_text
from benchmarks.run import Display
from benchmarks.server import Server

RESULT = Path(__file__).parent.parent / "results" / "reads"


def measure_reads(
    server: Server, display: Display, *, quick: bool, folder: Path | None, plan: Plan | None = None
) -> bool:
    """Read in every way, print the table and the bars; whether every bar holds.

    Writes the result files unless it was ``quick`` or a plan of one's own.
    """
    facts, samples = run(plan or (QUICK if quick else FULL), server, display, folder=folder)
    found, verdicts = summarize(samples), verdicts_of(samples)
    shown = f"{table(found)}\n\n{bar_table(verdicts)}"
    print(f"\n{shown}\n")
    if not quick and plan is None:
        write_result(found, verdicts, facts, shown)
        display.lasting(draw_result(found))
    return all(verdict.passed for verdict in verdicts)


def verdicts_of(samples: Sequence[Sample]) -> list[Verdict]:
    """Every bar."""
    return judge(samples, cache_bytes={q.name: CACHE_BYTES[q.database] for q in QUERIES})


def write_result(
    found: dict[Case, Figures], verdicts: Sequence[Verdict], facts: dict[str, Any], shown: str
) -> None:
    """The table for people, the figures for programs."""
    RESULT.parent.mkdir(exist_ok=True)
    document = result_document(found, verdicts, facts)
    rows = ",\n".join(f"  {json.dumps(row)}" for row in document.pop("rows"))
    head = json.dumps(document, indent=1, ensure_ascii=False).rstrip("}\n")
    RESULT.with_suffix(".json").write_text(f'{head},\n "rows": [\n{rows}\n ]\n}}\n')
    versions = {TITLES[way]: of_way for way, of_way in facts["versions"].items()}
    sizes = ", ".join(f"{name} {size_text(size)}" for name, size in facts["bytes"].items())
    more = f"- databases: {sizes}\n"
    top = heading("Reads, measured", facts, versions, section="#reads", more=more)
    RESULT.with_suffix(".md").write_text(f"{top}\n\n![cold queries at 30 ms](reads.svg)\n\n{shown}\n")


def draw_result(found: dict[Case, Figures]) -> str:
    """Draw the picture where matplotlib is installed; what came of it."""
    try:
        draw(found, RESULT.with_suffix(".svg"))
    except ImportError:
        return "no picture: pip install -e '.[benchmarks]' brings matplotlib"
    return f"drew {RESULT.with_suffix('.svg')}"

"""The table, the bars and the result file as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.libraries import OURS
from benchmarks.report import aligned, size_text
from benchmarks.writes.bars import Verdict
from benchmarks.writes.run import Measured

WRITE_DOLLARS, READ_DOLLARS = 5e-6, 0.4e-6
"""For one request of S3 Standard in us-east-1 (https://aws.amazon.com/s3/pricing/); DELETE is free."""

TITLES = {
    "raw_puts": ("4 MiB objects, no library", "MiB"),
    "import_ours": ("deserialize_iter", "MiB"),
    "raw_gets": ("the same objects back, no library", "MiB"),
    "export_ours": ("serialize_iter", "MiB"),
    "export_fileobj_ours": ("serialize_fileobj into upload_fileobj", "MiB"),
    "build_local": ("build in a local file, then upload_file", "MiB"),
    "build_ours": ("build in one transaction", "MiB"),
    "updates_ours": ("random updates of that, 100 a transaction", "rows"),
    "vacuum_ours": ("VACUUM of that", "MiB"),
    "insert_local": ("insert with an index into a local file, then upload_file", "rows"),
    "insert_ours": ("insert with an index in one transaction", "rows"),
    "insert_more_safe_local": ("1 000 rows more on top, upload_file after each", "transactions"),
    "insert_more_ours": ("1 000 rows more on top of that", "transactions"),
    "insert_in_parts_local": ("insert, 1 000 rows a transaction, upload_file at the end", "rows"),
    "insert_in_parts_safe_local": ("the same, upload_file after each transaction", "rows"),
    "insert_in_parts_ours": ("the same, 1 000 rows a transaction", "rows"),
    "commits_ours": ("one-row commits", "commits"),
    "raw_commits": ("their GET and their PUT of 40 KiB, no library", "commits"),
    "far_commits_ours": ("one-row commits, 30 ms added to each request", "commits"),
    "far_raw_commits": ("their GET and their PUT, no library", "commits"),
}


def dollars(kinds: Mapping[str, int]) -> float:
    """What the requests cost."""
    total = 0.0
    for kind, count in kinds.items():
        operation = kind.split()[0]
        if operation.startswith("Delete"):
            continue
        reads = operation.startswith(("Get", "Head"))
        total += count * (READ_DOLLARS if reads else WRITE_DOLLARS)
    return total


def table(measured: Sequence[Measured]) -> str:
    """A Markdown table with a row for each step."""
    head = ["what", "size", "by", "requests", "round trips", "up", "down", "ms", "peak memory"]
    rows = [[*head, "$ per million"]]
    for one in measured:
        step, result = one.step, one.result
        title, unit = TITLES[step.case]
        target = step.target or step.size
        factor, sign = target / step.size, "≈" if step.target else ""
        requests = sum(result.kinds.values())
        rows.append([
            title,
            f"{target:,} {unit}".replace(",", " "),
            _by(one),
            *(f"{sign}{count * factor:.0f}" for count in (requests, result.round_trips)),
            *(f"{sign}{size_text(size * factor)}" for size in (result.bytes_up, result.bytes_down)),
            f"{sign}{result.seconds * factor * 1000:.0f}",
            size_text(result.peak_rss),
            f"{dollars(result.kinds) / step.size * 1e6:.2f}",
        ])
    return aligned(rows)


def _by(measured: Measured) -> str:
    case = measured.step.case
    if case.endswith("_local"):
        return "SQLite and boto3"
    return "boto3" if "raw" in case.split("_") else measured.step.library.title


def bar_table(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table of the bars."""
    rows = [[v.promise, v.measured, "pass" if v.passed else "FAIL"] for v in verdicts]
    return aligned([["promise", "measured", ""], *rows])


def result_document(
    measured: Sequence[Measured], verdicts: Sequence[Verdict], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What the result file holds."""
    return {
        **facts,
        "steps": [
            {
                "case": one.step.case,
                "library": "ours" if one.step.library is OURS else "ancestor",
                "size": one.step.size,
                "target": one.step.target or one.step.size,
                **asdict(one.result),
            }
            for one in measured
        ],
        "bars": [asdict(verdict) for verdict in verdicts],
    }

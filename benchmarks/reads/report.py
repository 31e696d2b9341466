"""The table, the bars and the result file as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.reads.bars import Verdict
from benchmarks.reads.figures import Case, Figures, Network
from benchmarks.reads.queries import QUERIES
from benchmarks.report import aligned, size_text

STATES = ("cold", "interior", "warm")
TITLES = {
    "ours": "this library",
    "download": "download, then query",
    "local": "local file",
    "ancestor": "0.0.36, smaller database",
}


def network_title(network: Network) -> str:
    """``30 ms`` or ``50 MB/s``."""
    latency, bandwidth = network
    limit = [f"{bandwidth / 1e6:.0f} MB/s"] if bandwidth else []
    return ", ".join([*([f"{latency * 1000:.0f} ms"] if latency or not bandwidth else []), *limit])


def table(found: Mapping[Case, Figures]) -> str:
    """A Markdown table with a row for each query, state and way, and a time for each network."""
    networks = sorted({case.network for case in found}, key=lambda network: (network[1], network[0]))
    header = ["query", "state", "way", "requests", "round trips", "received", "memory"]
    rows = [[*header, *(f"ms, {network_title(network)}" for network in networks)]]
    for query in QUERIES:
        for state in STATES:
            for way, title in TITLES.items():
                cases = [Case(query.name, state, way, network) for network in networks]
                present = [found[case] for case in cases if case in found]
                if present:
                    times = [found.get(case) for case in cases]
                    rows.append([query.title, state, title, *_counted(cases, found), *map(_time, times)])
    return aligned(rows)


def _counted(cases: Sequence[Case], found: Mapping[Case, Figures]) -> list[str]:
    """Counts of the slowest network without a limit: there, what can overlap does."""
    figures = [found[case] for case in cases if case in found and not case.network[1]][-1]
    memory = max(found[case].memory for case in cases if case in found)
    return [
        f"{figures.requests:.0f}",
        f"{figures.round_trips:.0f}",
        size_text(figures.received),
        size_text(memory),
    ]


def _time(figures: Figures | None) -> str:
    if figures is None:
        return "-"
    milliseconds = figures.seconds * 1000
    return f"{milliseconds:.{1 if milliseconds < 10 else 0}f}"


def bar_table(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table of the bars."""
    return aligned(
        [["promise", "way", "measured", ""]]
        + [[v.promise, TITLES[v.way], v.measured, "pass" if v.passed else "FAIL"] for v in verdicts]
    )


def result_document(
    found: Mapping[Case, Figures], verdicts: Sequence[Verdict], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What the result file holds: the facts of the run, every figure, every bar."""
    columns = ["query", "state", "way", "latency_ms", "mb_per_second", "requests", "round_trips"]
    columns += ["bytes_received", "milliseconds", "memory_bytes", "samples"]
    rows = [
        [
            case.query,
            case.state,
            case.way,
            case.network[0] * 1000,
            case.network[1] / 1e6,
            figures.requests,
            figures.round_trips,
            figures.received,
            round(figures.seconds * 1000, 1),
            figures.memory,
            figures.samples,
        ]
        for case, figures in found.items()
    ]
    bars = [[v.promise, v.way, v.measured, v.passed] for v in verdicts]
    return {**facts, "columns": columns, "rows": rows, "bars": bars}

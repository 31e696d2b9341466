"""The table, the bars and the result file as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bars import Verdict
from benchmarks.operations import BY_NAME, OPERATIONS
from benchmarks.summary import Measurement, Spread
from benchmarks.trace import describe

Results = Mapping[str, Mapping[str, Measurement]]
"""Operation to measurement, for each library by its title; ours comes first."""


def heading(
    title: str, facts: Mapping[str, Any], versions: Mapping[str, Mapping[str, str]],
    *, section: str = "", more: str = "",
) -> str:
    """The top of a page of results: what was measured when and where, and how to repeat it.

    ``versions`` are those of each library by its title, ``section`` the benchmarks' page's, ``more``
    lines of the list.
    """
    used = "".join(
        f"- {library}: {', '.join(f'{name} {version}' for name, version in found.items())}\n"
        for library, found in versions.items()
    )
    return (
        f"# {title} on {facts['date']}\n\n"
        f"- machine: {facts['machine']}; load average before the run: {facts['load_average']}\n"
        f"- server: {facts['server']}\n{more}{used}"
        f"\nHow to read and repeat this: [the benchmarks](../README.md{section})."
    )


def comparison_table(results: Results, latencies: Sequence[float], *, transfer_size: int) -> str:
    """A Markdown table, aligned so that it reads well as text; each cell has one figure per library."""
    header = ["operation", "requests", "round trips", "up", "down"]
    header += [f"ms, {latency * 1000:.0f} ms latency" for latency in latencies]
    rows = []
    for operation in OPERATIONS:
        columns = [
            _figures(of_library.get(operation.name), latencies) for of_library in results.values()
        ]
        title = operation.title
        if operation.name in ("serialize", "deserialize"):
            title = f"{title} {size_text(transfer_size)}"
        rows.append([title, *(" / ".join(cell) for cell in zip(*columns, strict=True))])
    return aligned([header, *rows])


def _figures(measurement: Measurement | None, latencies: Sequence[float]) -> list[str]:
    if measurement is None:
        return ["-"] * (4 + len(latencies))
    scaled = measurement.scaled
    # Counts come from the latency with the largest file; they are extrapolated if every latency is.
    about = "≈" if len(scaled) == len(measurement.milliseconds) else ""
    requests = f"{about}{measurement.requests}"
    if measurement.background.high:
        requests += f" +{measurement.background}"
    trips_about = "≈" if max(measurement.milliseconds) in scaled else ""
    return [
        requests,
        f"{trips_about}{measurement.round_trips}",
        about + size_text(measurement.sent),
        about + size_text(measurement.received),
        *(_milliseconds(measurement, latency) for latency in latencies),
    ]


def _milliseconds(measurement: Measurement, latency: float) -> str:
    value = measurement.milliseconds.get(latency)
    if value is None:
        return "-"
    digits = 1 if value < 10 else 0
    return f"{'≈' if latency in measurement.scaled else ''}{value:.{digits}f}"


def size_text(size: float) -> str:
    """Bytes for people, in binary units: 0, 820 B, 4.2 KiB, 64 MiB."""
    if size < 1024:
        return f"{size:.0f} B" if size else "0"
    size, unit = (size / 1024, "KiB") if size < 1024 * 1024 else (size / (1024 * 1024), "MiB")
    return f"{size:.1f} {unit}" if size < 10 and size != int(size) else f"{size:.0f} {unit}"


def bar_table(verdicts: Sequence[Verdict]) -> str:
    """A Markdown table of the bars."""
    header = ["bar", "promise", "measured", ""]
    return aligned(
        [header]
        + [
            [BY_NAME[v.bar.operation].title, v.bar.promise, v.measured, "pass" if v.passed else "FAIL"]
            for v in verdicts
        ]
    )


def broken_bars(verdicts: Sequence[Verdict]) -> str:
    """The requests of each sample that broke a bar; empty if none did."""
    parts = []
    for verdict in verdicts:
        if verdict.broken_by is not None:
            sample = verdict.broken_by
            title = BY_NAME[sample.operation].title
            head = f"{title}, {verdict.bar.promise}: broken at {sample.latency * 1000:.0f} ms latency by"
            parts.append("\n".join([head, *describe(sample.requests)]))
    return "\n\n".join(parts)


def result_document(
    results: Results, verdicts: Sequence[Verdict], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """What the result file holds: the facts of the run, every figure, every bar."""
    return {
        **facts,
        "libraries": {
            title: {name: _figures_document(m) for name, m in of_library.items()}
            for title, of_library in results.items()
        },
        "bars": [
            {
                "operation": v.bar.operation,
                "promise": v.bar.promise,
                "measured": v.measured,
                "passed": v.passed,
            }
            for v in verdicts
        ],
    }


def _figures_document(measurement: Measurement) -> dict[str, Any]:
    def span(spread: Spread) -> list[int]:
        return [spread.low, spread.high]

    return {
        "requests": span(measurement.requests),
        "round_trips": span(measurement.round_trips),
        "background_requests": span(measurement.background),
        "bytes_up": round(measurement.sent),
        "bytes_down": round(measurement.received),
        "ms_at_latency_ms": {
            f"{k * 1000:.0f}": round(v, 1) for k, v in measurement.milliseconds.items()
        },
        "extrapolated_at_latency_ms": {f"{k * 1000:.0f}": v for k, v in measurement.scaled.items()},
        "kinds_of_last_sample": dict(measurement.kinds),
        "samples": measurement.samples,
    }


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up as text; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)

"""What is printed: text for people, one JSON document for programs, bars on a terminal only."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click

from sqlite_s3vfs.format.keys import ObjectName
from sqlite_s3vfs.progress import OnProgress, Progress

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_json(value: object) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name:<{width}}  {value}".rstrip())


def print_columns(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; a heading that begins with ``>`` is one of numbers, to the right."""
    table = [[heading.removeprefix(">") for heading in headings], *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    for row in table:
        cells = (
            f"{cell:>{width}}" if heading.startswith(">") else f"{cell:<{width}}"
            for cell, width, heading in zip(row, widths, headings, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def bytes_text(count: int) -> str:
    """``1.5 MiB``."""
    size = float(count)
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def counted(count: int, noun: str) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def versions_text(versions: Sequence[int]) -> str:
    """``version 3``, ``versions 1 to 3, 7``; they are in order."""
    runs: list[list[int]] = []
    for version in versions:
        if runs and version == runs[-1][-1] + 1:
            runs[-1][1:] = [version]
        else:
            runs.append([version])
    told = ", ".join(" to ".join(map(str, run)) for run in runs)
    return f"version{'s' if len(versions) > 1 else ''} {told}"


def iso_time(time_ms: int) -> str | None:
    """ISO 8601 in UTC; None where the time is not known."""
    if not time_ms:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace(
        "+00:00", "Z"
    )


def time_text(time_ms: int) -> str:
    """To the second, in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if time_ms else "?"


def duration_text(seconds: int) -> str:
    """``1 h``, ``2 d 3 h``."""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


@contextmanager
def progress_bar(label: str, total: int | None = None) -> Iterator[OnProgress]:
    """What is called with the progress draws a bar on standard error, where that is a terminal.

    It shows from the first call on: what is refused, or done at once, draws none.
    """

    def position(progress: Progress | None) -> str:
        return bytes_text(progress.done_bytes) if progress else ""

    unknown: tuple[Progress, ...] = ()
    nothing = (progress for progress in unknown)
    with click.progressbar(
        nothing, length=total, label=label, file=sys.stderr, hidden=True, item_show_func=position
    ) as bar:

        def on_progress(progress: Progress) -> None:
            bar.hidden = not sys.stderr.isatty()
            bar.length = progress.total_bytes or bar.length
            bar.update(max(0, progress.done_bytes - bar.pos), progress)

        yield on_progress


def plain(value: Any) -> Any:
    """A value as JSON can hold it: bytes in hex, values of the format by the names of their fields."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, ObjectName):
        return str(value)
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value):
        return {row.name: plain(getattr(value, row.name)) for row in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value

"""Tables that read well as text, and say what is extrapolated."""

from __future__ import annotations

import json

import pytest

from benchmarks.bars import judge
from benchmarks.operations import OPERATIONS
from benchmarks.report import bar_table, broken_bars, comparison_table, result_document, size_text
from benchmarks.summary import Sample, summarize
from benchmarks.trace import Request

MIB = 1 << 20


def sample(operation: str, *, requests: int = 1, seconds: float = 0.02, scale: float = 1.0) -> Sample:
    made = tuple(
        Request("GetObject", "db/manifest", "", 200, n, n + 0.5, 0, 2048) for n in range(requests)
    )
    return Sample(operation, 0.0, seconds, made, (), scale)


def cells(table: str, title: str) -> list[str]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    (row,) = [row for row in rows if row[0] == title]
    return row


def test_each_cell_compares_the_libraries() -> None:
    results = {
        "here": summarize([sample("open", seconds=0.00149)]),
        "there": summarize([sample("open", requests=4)]),
    }

    table = comparison_table(results, [0.0, 0.03], transfer_size=MIB)

    assert cells(table, "open") == [
        "open",
        "1 / 4",
        "1 / 4",
        "0 / 0",
        "2 KiB / 8 KiB",
        "1.5 / 20",
        "- / -",
    ]


def test_an_extrapolation_is_marked() -> None:
    results = {"there": summarize([sample("serialize", requests=3, seconds=2, scale=8.0)])}

    table = comparison_table(results, [0.0], transfer_size=64 * MIB)

    assert cells(table, "serialize 64 MiB") == [
        "serialize 64 MiB",
        "≈24",
        "≈24",
        "≈0",
        "≈48 KiB",
        "≈16000",
    ]


def test_background_requests_are_shown_apart() -> None:
    request = Request("PutObject", "s", "", 200, 9, 10, 5, 0)
    results = {"here": summarize([Sample("update", 0.0, 1.0, (request,), (request, request))])}

    table = comparison_table(results, [0.0], transfer_size=MIB)

    assert cells(table, "one-row UPDATE, one index")[1] == "1 +2"


def test_the_lines_of_a_table_are_of_one_length_and_there_is_one_for_each_operation() -> None:
    lines = comparison_table({"here": {}}, [0.0], transfer_size=MIB).splitlines()

    assert len({len(line) for line in lines}) == 1
    assert len(lines) == len(OPERATIONS) + 2


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (820, "820 B"),
        (4096, "4 KiB"),
        (4300, "4.2 KiB"),
        (41 * 1024, "41 KiB"),
        (64 * MIB, "64 MiB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_broken_bar_is_named_with_its_requests() -> None:
    operations = (
        "open_empty",
        "lookup_seen",
        "repeated_read",
        "cold_lookup",
        "update",
        "rollback",
        "insert",
    )
    verdicts = judge([sample(operation) for operation in operations])

    assert "| FAIL |" in bar_table(verdicts)
    assert "| pass |" in bar_table(verdicts)
    broken = broken_bars(verdicts)
    assert "one-row UPDATE, one index, 1 conditional GET and 1 PUT: broken at 0 ms latency by" in broken
    assert "db/manifest  up=0 down=2048" in broken
    assert "open an empty name" not in broken


def test_the_result_document_is_json_with_every_figure() -> None:
    results = {"here": summarize([sample("open", requests=2)])}

    document = json.loads(json.dumps(result_document(results, [], {"date": "2026-01-01"})))

    assert document["date"] == "2026-01-01"
    assert document["bars"] == []
    assert document["libraries"]["here"]["open"] == {
        "requests": [2, 2],
        "round_trips": [2, 2],
        "background_requests": [0, 0],
        "bytes_up": 0,
        "bytes_down": 4096,
        "ms_at_latency_ms": {"0": 20.0},
        "extrapolated_at_latency_ms": {},
        "kinds_of_last_sample": {"GetObject": 2},
        "samples": 1,
    }

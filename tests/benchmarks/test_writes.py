"""The figures of the write benchmarks: bars that hold or do not, and what requests cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.libraries import ANCESTOR, OURS
from benchmarks.run import Display
from benchmarks.server import Server
from benchmarks.writes import command
from benchmarks.writes.bars import judge
from benchmarks.writes.cases import CASES, noisy_database
from benchmarks.writes.report import TITLES, dollars, result_document, table
from benchmarks.writes.run import FULL, QUICK, Measured, OnMeasured, Step, in_transactions
from benchmarks.writes.worker import Result

RESULT = Result(
    seconds=2.0,
    cpu_seconds=1.0,
    kinds={"PutObject if-none-match": 100, "GetObject range": 10, "DeleteObjects": 3},
    round_trips=7,
    bytes_up=5 << 20,
    bytes_down=1000,
    peak_rss=200 << 20,
)


def measured(case: str, size: int = 100, **changes: object) -> Measured:
    return Measured(Step(case, size), replace(RESULT, **changes))


def test_every_step_is_a_case_with_a_title():
    planned = {step.case for plan in (FULL, QUICK) for group in plan for step in group}

    assert planned <= set(CASES)
    assert set(TITLES) == set(CASES)


def test_a_bar_is_held_against_the_same_run():
    raw, build = measured("raw_puts", seconds=8.0), measured("build_local", seconds=7.9)

    passed = judge([raw, measured("import_ours", seconds=10.0)])
    failed = judge([build, measured("build_ours", seconds=10.0)])

    assert [(v.measured, v.passed) for v in passed] == [("80%", True), ("200", True)]
    assert [(v.measured, v.passed) for v in failed] == [("79%", False), ("200", True)]


def test_memory_and_puts_have_limits():
    verdicts = judge(
        [
            measured("build_ours", peak_rss=300 << 20),
            measured("commits_ours", kinds={"PutObject if-match": 130, "GetObject": 500}),
        ]
    )

    assert [(v.measured, v.passed) for v in verdicts] == [("300", False), ("1.3", True)]
    assert not judge([measured("commits_ours", kinds={"PutObject if-match": 131})])[0].passed


def test_commits_are_timed_beside_the_ancestor_and_from_afar():
    slow = Measured(Step("commits_ours", 20, ANCESTOR, 1000), replace(RESULT, seconds=20.0))
    quick = measured("commits_ours", 1000, seconds=33.0)
    far = measured("far_commits_ours", 100, seconds=7.0)

    verdicts = judge([quick, slow, far])

    assert [(v.measured, v.passed) for v in verdicts[1:]] == [("70", True), ("30", True)]
    assert not judge([quick, replace(slow, result=replace(RESULT, seconds=19.0))])[-1].passed
    assert not judge([measured("far_commits_ours", 100, seconds=7.1)])[0].passed


def test_commits_are_shown_beside_their_requests_alone():
    slow = Measured(Step("commits_ours", 20, ANCESTOR, 1000), replace(RESULT, seconds=4.8))
    bare = [measured("raw_commits", 1000, seconds=12.0), measured("far_raw_commits", 100, seconds=7.7)]
    ours = [measured("commits_ours", 1000, seconds=16.0), measured("far_commits_ours", 100, seconds=7.8)]

    verdicts = judge([slow, *bare, *ours])

    assert [(v.measured, v.passed) for v in verdicts[1:]] == [
        ("78 (its requests alone 77)", False), ("15 (its requests alone 20)", False)
    ]


def test_a_row_says_who_wrote_it():
    rows = [measured(case) for case in ("raw_commits", "far_raw_commits", "far_commits_ours")]

    by = [line.split("|")[3].strip() for line in table(rows).splitlines()[2:]]

    assert by == ["boto3", "boto3", OURS.title]


def test_requests_cost_what_s3_lists():
    assert round(dollars(RESULT.kinds) * 1e6, 3) == 100 * 5 + 10 * 0.4


def test_what_is_extrapolated_is_marked():
    scaled = Measured(Step("insert_ours", 2000, ANCESTOR, 1_000_000), RESULT)

    text = table([measured("insert_ours"), scaled])

    _, _, first, second = text.splitlines()
    assert "≈" not in first
    assert "≈56500" in second
    assert "1 000 000 rows" in second
    assert result_document([scaled], [], {})["steps"][0]["target"] == 1_000_000


def test_an_interrupted_run_leaves_what_it_has_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And what an earlier one found, untouched; a run to the end leaves its result alone."""
    found = [measured("raw_puts"), measured("import_ours")]
    facts = dict.fromkeys(("date", "machine", "load_average", "server"), "-") | {"versions": {}}
    ends = [KeyboardInterrupt(), None]

    def run(plan: object, server: object, display: object, *, on_measured: OnMeasured):
        on_measured(facts, found[:1])
        if end := ends.pop(0):
            raise end
        return facts, found

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(command, "RESULT", tmp_path / "writes")
    monkeypatch.setattr(command, "PART", tmp_path / "writes-so-far")
    server = Server("http://localhost:1", "key", "secret")

    with pytest.raises(KeyboardInterrupt):
        command.measure_writes(server, Display(), quick=False)
    part = json.loads((tmp_path / "writes-so-far.json").read_text())
    assert [step["case"] for step in part["steps"]] == ["raw_puts"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["writes-so-far.json", "writes-so-far.md"]

    command.measure_writes(server, Display(), quick=False)
    assert len(json.loads((tmp_path / "writes.json").read_text())["steps"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["writes.json", "writes.md"]


def test_the_made_up_database_has_its_size_and_does_not_repeat():
    content = b"".join(noisy_database(9 << 20))

    assert len(content) == 9 << 20
    assert content[:15] == b"SQLite format 3"
    assert int.from_bytes(content[28:32], "big") * 4096 == len(content)
    assert len({content[start : start + 4096] for start in range(0, len(content), 4096)}) == 9 << 8


def test_as_many_transactions_are_made_as_one_asks_for():
    steps = [step for group in in_transactions(7) for step in group]

    assert {step.target or step.size for step in steps} == {7000}
    assert {step.library.title for step in steps if step.target} == {ANCESTOR.title}
    assert all(step.case in CASES and step.case in TITLES for step in steps)


@pytest.mark.parametrize("arguments", [["--transactions", "3"], ["writes", "--transactions", "0"]])
def test_transactions_are_counted_for_writes_only(arguments: list[str]):
    with pytest.raises(SystemExit):
        main(arguments)

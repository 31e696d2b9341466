"""The benchmarks of reading: the databases, the bars, the picture, and a run from end to end."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from benchmarks import memory
from benchmarks.reads import plot, report
from benchmarks.reads.bars import judge
from benchmarks.reads.databases import make_posts, make_social, make_tiny
from benchmarks.reads.figures import Case, Sample, WrongAnswerError, check_answers, summarize
from benchmarks.reads.queries import QUERIES, Sizes
from benchmarks.reads.run import CACHE_BYTES, QUICK, run
from benchmarks.recorder import Recorder
from benchmarks.run import Display
from benchmarks.server import Server
from benchmarks.trace import Request
from tests.conftest import ACCESS_KEY, ENDPOINT, SECRET_KEY

if TYPE_CHECKING:
    from mypy_boto3_s3.service_resource import Bucket

MIB = 1 << 20
CACHES = {query.name: CACHE_BYTES[query.database] for query in QUERIES}


def quiet(_text: str) -> None:
    """Nobody looks."""


def test_the_databases_are_the_same_each_time_and_answer_every_query(tmp_path: Path) -> None:
    sizes = {"social": Sizes(200, 2200), "posts": Sizes(200, 5000), "tiny": Sizes(1, 1)}
    digests = []
    for number in range(2):
        files = {name: tmp_path / f"{name}-{number}" for name in sizes}
        make_social(files["social"], scale=0.002, on_step=quiet)
        make_posts(files["posts"], scale=0.01, on_step=quiet)
        make_tiny(files["tiny"])
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files.values()])

    assert digests[0] == digests[1]
    assert files["tiny"].stat().st_size == 3 * 4096
    for query in QUERIES:
        connection = sqlite3.connect(files[query.database])
        of = sizes[query.database]
        answers = [connection.execute(query.sql, query.ask(n, of)).fetchall() for n in range(10)]
        connection.close()
        assert any(answers) or not query.sql, query.name
        if query.sql and not query.scan and query.name not in ("tiny", "mutual"):
            assert len(set(map(str, answers))) > 1, f"{query.name} always asks the same"


def sample(
    query: str = "rowid",
    state: str = "cold",
    *,
    way: str = "ours",
    network: tuple[float, float] = (0.03, 0.0),
    trips: int = 3,
    received: float = 1 * MIB,
    seconds: float = 0.1,
    used: float = 10 * MIB,
    answer: str = "x",
) -> Sample:
    requests = [Request("GetObject", "key", "", 200, n, n + 0.5, 0, 0) for n in range(trips)]
    case = Case(query, state, way, network)
    return Sample(case, 0, seconds, tuple(requests), int(received), int(used), answer)


HOLDS = [
    sample(),
    sample("text", trips=4),
    sample("rowid", "interior", trips=2),
    sample("opening", trips=1),
    sample("tiny", trips=2),
    sample("c", trips=12, received=5 * MIB),
    sample("scan", seconds=2.0),
    sample("scan", way="download", seconds=2.4),
    sample("scan", network=(0.0, 50e6), received=91e6, seconds=2.0),
    sample("d", "warm", network=(0.0, 0.0), seconds=0.1),
    sample("d", "warm", way="local", network=(0.0, 0.0), seconds=0.1),
    sample("a", seconds=0.109),
    sample("scan", used=128 * MIB, seconds=2.0),
]
BREAKS = {
    "cold lookup by rowid": [sample(trips=4), sample(received=2.1 * MIB)],
    "cold lookup by text": [sample("text", trips=5)],
    "another lookup": [sample("rowid", "interior", trips=3)],
    "open a database": [sample("opening", trips=2)],
    "25 rows": [sample("c", trips=13), sample("c", received=5.1 * MIB)],
    "cold scan, 30 ms": [sample("scan", seconds=3.0)],
    "cold scan, 50 MB/s": [sample("scan", network=(0.0, 50e6), received=80e6, seconds=2.0)],
    "warm scan": [sample("d", "warm", network=(0.0, 0.0), seconds=0.2)],
    "a at 30 ms": [sample("a", seconds=0.2)],
    "memory": [sample(used=129 * MIB)],
}


def test_what_is_promised_holds() -> None:
    verdicts = judge(HOLDS, cache_bytes=CACHES)

    assert [verdict for verdict in verdicts if not verdict.passed] == []
    assert len(verdicts) == 11
    assert {verdict.way for verdict in verdicts} == {"ours"}
    assert report.bar_table(verdicts).count("pass") == len(verdicts)
    (opening,) = [v for v in verdicts if v.promise.startswith("open")]
    assert opening.measured == "1 request (with a question 2)"


@pytest.mark.parametrize(
    ("promise", "broken"), [(name, worse) for name, some in BREAKS.items() for worse in some]
)
def test_a_bar_can_break(promise: str, broken: Sample) -> None:
    others = [held for held in HOLDS if held.case != broken.case]

    failed = [v.promise for v in judge([*others, broken], cache_bytes=CACHES) if not v.passed]

    assert len(failed) == 1
    assert failed[0].startswith(promise)


def test_a_slower_machine_is_given_the_time_that_others_would_take_there() -> None:
    slow = [sample("d", "warm", way="local", network=(0.0, 0.0), seconds=0.258)]

    (verdict,) = judge([*slow, sample("a", seconds=0.300)], cache_bytes=CACHES)[:1]
    (late,) = judge([*slow, sample("a", seconds=0.330)], cache_bytes=CACHES)[:1]

    assert verdict.passed
    assert not late.passed
    assert "limit 324" in late.measured


def test_ways_that_disagree_are_not_compared() -> None:
    with pytest.raises(WrongAnswerError, match="rowid"):
        check_answers([sample(), sample(way="local", answer="y")])


def test_the_table_has_a_row_for_each_case_and_a_time_for_each_network() -> None:
    found = summarize([*HOLDS, sample(seconds=0.3), sample(seconds=0.2)])

    lines = report.table(found).splitlines()

    times = [cell.strip() for cell in lines[0].split("|")][-4:-1]
    assert times == ["ms, 0 ms", "ms, 30 ms", "ms, 50 MB/s"]
    (row,) = [line for line in lines if line.startswith("| lookup by rowid") and "cold" in line]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[3:] == ["3", "3", "1 MiB", "10 MiB", "-", "200", "-"]


def test_the_picture_shows_every_way_and_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = summarize([sample(), sample(way="download"), sample("text")])

    plot.draw(found, tmp_path / "one.svg")
    plot.draw(found, tmp_path / "two.svg")

    drawn = (tmp_path / "one.svg").read_text()
    assert drawn == (tmp_path / "two.svg").read_text()
    texts = {element.text for element in ElementTree.fromstring(drawn).iter() if element.text}
    assert {"this library", "download, then query", "lookup by rowid"} <= texts


def test_the_peak_of_memory_is_seen_after_it_is_over() -> None:
    before = memory.start_peak()
    taken = bytearray(b"x") * (40 * MIB)
    del taken

    assert memory.peak() - before > 35 * MIB


def test_all_answers_share_the_line(minio_bucket: Bucket, prefix: str) -> None:
    minio_bucket.put_object(Key=f"{prefix}key", Body=b"x" * 1_000_000)
    recorder = Recorder()
    uninstall = recorder.install()
    try:
        recorder.bandwidth = 20e6
        start = time.perf_counter()
        with ThreadPoolExecutor(4) as pool:
            bodies = pool.map(
                lambda _: minio_bucket.Object(f"{prefix}key").get()["Body"].read(), range(4)
            )
            assert [len(body) for body in bodies] == [1_000_000] * 4
        elapsed = time.perf_counter() - start
    finally:
        uninstall()

    assert elapsed >= 0.2
    assert max(request.end for request in recorder.requests()) - start >= 0.2


@pytest.mark.slow
def test_a_small_run_measures_what_was_planned(minio_bucket: Bucket) -> None:
    plan = replace(
        QUICK, posts=0.001, latencies=(0.0,), line=None, ways=("ours", "local"), databases=("posts",)
    )

    facts, samples = run(plan, Server(ENDPOINT, ACCESS_KEY, SECRET_KEY), Display())

    asked = {(s.case.query, s.case.state, s.case.way) for s in samples}
    assert {("a", "cold", "ours"), ("c", "interior", "ours"), ("d", "warm", "local")} <= asked
    assert all(s.requests for s in samples if s.case.way == "ours")
    assert not any(s.requests for s in samples if s.case.way == "local")
    assert set(facts["versions"]) == {"ours", "local"}


@pytest.mark.long
def test_the_quick_run_ends_well() -> None:
    root = Path(__file__).parents[2]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "reads", "--quick"],
        cwd=root,
        timeout=280,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert "| full scan" in done.stdout
    assert "cold lookup by rowid" in done.stdout

"""sqllogictest over the VFS: SQLite's own scripts where they are at hand, and a few of ours always.

README.md tells where SQLite's scripts come from. ``S3VFS_SQLLOGICTEST`` names the folder,
``S3VFS_SQLLOGICTEST_SCRIPTS`` patterns instead of the selection below, and
``S3VFS_SQLLOGICTEST_SECONDS`` how long a script may run; what comes later in it is left out then.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import apsw
import pytest
from vfs.processes import OtherProcess

from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from suites.conftest import Report
from suites.sqllogictest import Outcome, parse, run
from suites.variants import EVERYTHING, ONE, PROCESSES, VARIANTS, TakingTurns, Variant

FOLDER = os.environ.get("S3VFS_SQLLOGICTEST", "")
PATTERNS = os.environ.get("S3VFS_SQLLOGICTEST_SCRIPTS", "").split()
SECONDS_MAX = float(os.environ.get("S3VFS_SQLLOGICTEST_SECONDS", "60"))

HOW_TO_GET_IT = (
    "S3VFS_SQLLOGICTEST names no folder: unpack test/ of the Maven artefact "
    "net.hydromatic:sql-logic-test:0.3 and set it to that (tests/suites/README.md)"
)

SMALL = ("evidence/*.test", "select[123].test")
MEDIUM = (
    *SMALL,
    "select5.test",
    *(f"index/{kind}/10/slt_good_1.test" for kind in ("commute", "delete", "orderby", "view")),
    "random/*/slt_good_1.test",
)
SPREAD = (
    *SMALL,
    "select[45].test",
    "index/*/10/slt_good_1.test",
    "index/*/1000/slt_good_0.test",
    "random/*/slt_good_1.test",
)
SELECTIONS: list[tuple[str, Variant, tuple[str, ...]]] = [
    *(
        ("memory", variant, SPREAD if variant in (ONE, EVERYTHING) else MEDIUM)
        for variant in VARIANTS
    ),
    ("directory", ONE, SMALL),
    ("directory", EVERYTHING, SMALL),
    ("minio", ONE, SMALL),
    ("minio", PROCESSES, ("evidence/*.test", "select1.test")),
]
"""On which store, how, and which of SQLite's scripts."""

FAIL_ON_PLAIN_FILES = {
    "evidence/slt_lang_aggfunc.test": "the results of four sums that overflow were never written down",
    "evidence/slt_lang_createview.test": "has temporary views, which only their connection knows",
    "evidence/slt_lang_reindex.test": "REINDEX does not look whether another connection made the index",
    "index/*/*/slt_good_*.test": "CREATE INDEX does not look whether another connection dropped it",
}
"""Scripts that plain SQLite cannot pass, in every or in some variants, and why."""

SAMPLES = sorted((Path(__file__).parent / "scripts").glob("*.test"))


def cases() -> list[object]:
    """Every script of every selection."""
    if not FOLDER:
        return [pytest.param("memory", ONE, None, marks=pytest.mark.skip(reason=HOW_TO_GET_IT))]
    return [
        pytest.param(store, variant, path, id=f"{store}-{variant.name}-{path.relative_to(FOLDER)}")
        for store, variant, patterns in SELECTIONS
        for pattern in PATTERNS or patterns
        for path in sorted(Path(FOLDER).glob(pattern))
    ]


Through = Callable[[ObjectStore, Variant], tuple[S3VFS, ...]]


@pytest.fixture
def through() -> Iterator[Through]:
    """Makes the VFS objects that a variant's connections go through."""
    made: list[S3VFS] = []

    def make(store: ObjectStore, variant: Variant) -> tuple[S3VFS, ...]:
        count = variant.connections if variant.processes else 1
        stores = [OtherProcess(store, f"process {index}") for index in range(count)]
        made.extend(S3VFS(over, settings=variant.settings) for over in stores)
        return tuple(made)

    yield make
    for vfs in made:
        vfs.close()


@pytest.fixture
def _tails(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short tails where the variant asks for them."""
    if request.getfixturevalue("variant").short_tails:
        monkeypatch.setattr("sqlite_s3vfs.planning.commit.TAIL_COMMIT_MAX", 400)
        monkeypatch.setattr("sqlite_s3vfs.planning.commit.TAIL_HARD_MAX", 1600)
        monkeypatch.setattr("sqlite_s3vfs.transaction.folding.TAIL_SOFT_MAX", 600)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to, and the database that it left."""

    failures: list[str]
    records: int
    size: int
    digest: str


def result_of(outcome: Outcome, database: bytes) -> Result:
    return Result(
        outcome.failures, outcome.records, len(database), hashlib.sha256(database).hexdigest()
    )


@functools.cache
def on_plain_file(script: Path, variant: Variant, records: int) -> Result:
    """What the first records of a script come to on a plain SQLite file, with the same connections."""
    with tempfile.TemporaryDirectory() as directory, script.open() as lines:
        path = Path(directory) / "plain"

        def opens() -> apsw.Connection:
            connection = apsw.Connection(str(path))
            connection.pragma("synchronous", 0)
            return connection

        connections = TakingTurns(variant, [opens])
        outcome = run(islice(parse(lines), records), connections)
        connections.close()
        return result_of(outcome, path.read_bytes())


def run_script(script: Path, variant: Variant, vfses: tuple[S3VFS, ...], name: str) -> Outcome:
    """Run a script through the VFS objects, and hold all that came of it against a plain file."""
    connections = TakingTurns(variant, [partial(apsw.Connection, name, vfs=vfs.name) for vfs in vfses])
    with script.open() as lines:
        outcome = run(parse(lines), connections, seconds_max=SECONDS_MAX)
    connections.close()
    stored = b"".join(vfses[-1].serialize_iter(name))
    plain = on_plain_file(script, variant.on_plain_file, outcome.records)
    assert result_of(outcome, stored) == plain
    return outcome


@pytest.mark.usefixtures("_tails")
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
@pytest.mark.parametrize("script", SAMPLES, ids=lambda path: path.stem)
def test_our_own_scripts(
    any_store: ObjectStore,
    prefix: str,
    through: Through,
    variant: Variant,
    script: Path,
):
    outcome = run_script(script, variant, through(any_store, variant), f"{prefix}db")

    assert outcome.failures == []
    assert outcome.records > 10


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.usefixtures("_tails")
@pytest.mark.parametrize(("any_store", "variant", "script"), cases(), indirect=["any_store"])
def test_the_scripts_of_sqlite(
    any_store: ObjectStore,
    prefix: str,
    through: Through,
    variant: Variant,
    script: Path,
    request: pytest.FixtureRequest,
    report: Report,
):
    outcome = run_script(script, variant, through(any_store, variant), f"{prefix}db")

    name = script.relative_to(FOLDER)
    report(
        f"{request.node.callspec.params['any_store']} {variant.name} {name}: "
        f"statements={outcome.statements} queries={outcome.queries} "
        f"failures={len(outcome.failures)} seconds={outcome.seconds:.1f}{' cut' * outcome.cut}"
    )
    assert not outcome.failures or any(map(name.match, FAIL_ON_PLAIN_FILES))

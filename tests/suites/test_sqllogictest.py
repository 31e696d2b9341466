"""sqllogictest over the VFS: SQLite's own scripts where they are at hand, and a few of ours always.

README.md tells where SQLite's scripts come from. ``S3VFS_SQLLOGICTEST`` names the folder,
``S3VFS_SQLLOGICTEST_SCRIPTS`` patterns instead of the selection below, and
``S3VFS_SQLLOGICTEST_SECONDS`` how long a script may run; what comes later in it is left out then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import apsw
import pytest
from vfs.processes import OtherProcess

from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS
from suites.conftest import Report
from suites.sqllogictest import Outcome, Record, parse, run
from suites.variants import EVERYTHING, ONE, PROCESSES, VARIANTS, TakingTurns, Variant

FOLDER = os.environ.get("S3VFS_SQLLOGICTEST", "")
PATTERNS = os.environ.get("S3VFS_SQLLOGICTEST_SCRIPTS", "").split()
SECONDS_MAX = float(os.environ.get("S3VFS_SQLLOGICTEST_SECONDS", "60"))

HOW_TO_GET_IT = (
    "S3VFS_SQLLOGICTEST names no folder: unpack test/ of the Maven artefact "
    "net.hydromatic:sql-logic-test:0.3 and set it to that (tests/suites/README.md)"
)

SMALL = ("evidence/*.test", "select[123].test")
SPREAD = (
    *SMALL,
    "select[45].test",
    "index/*/10/slt_good_1.test",
    "index/*/1000/slt_good_0.test",
    "random/*/slt_good_1.test",
)
SELECTIONS: list[tuple[str, Variant, tuple[str, ...]]] = [
    *(("memory", variant, SPREAD) for variant in VARIANTS),
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
}
"""Scripts that plain SQLite cannot pass, in every or in some variants, and why.

They have to fail in the very same records with the same words as on a plain file.
"""

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


class Plain:
    """The same statements on a plain SQLite file."""

    def __init__(self, path: Path, variant: Variant) -> None:
        self.path = path
        self._connections = TakingTurns(variant, [self._open])

    def run(self, sql: str) -> None:
        """Run a statement; its outcome is judged elsewhere."""
        with suppress(apsw.SQLError, apsw.ConstraintError):
            self._connections.next().execute(sql)

    def close(self) -> bytes:
        """Close, and give the bytes of the file."""
        self._connections.close()
        return self.path.read_bytes()

    def _open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self.path))
        connection.pragma("synchronous", 0)
        return connection


def run_both(
    records: Iterator[Record], variant: Variant, vfses: tuple[S3VFS, ...], name: str, plain: Plain
) -> Outcome:
    """Run a script through the VFS objects and, its statements, on a plain file; compare the two."""
    connections = TakingTurns(variant, [partial(apsw.Connection, name, vfs=vfs.name) for vfs in vfses])
    outcome = run(records, connections, seconds_max=SECONDS_MAX, on_statement=plain.run)
    connections.close()
    stored = b"".join(vfses[-1].serialize_iter(name)) if outcome.statements else b""
    assert stored == plain.close()
    return outcome


@pytest.mark.usefixtures("_tails")
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
@pytest.mark.parametrize("script", SAMPLES, ids=lambda path: path.stem)
def test_our_own_scripts(
    any_store: ObjectStore,
    prefix: str,
    through: Through,
    tmp_path: Path,
    variant: Variant,
    script: Path,
):
    vfses = through(any_store, variant)
    records = parse(script.read_text().splitlines())

    outcome = run_both(records, variant, vfses, f"{prefix}db", Plain(tmp_path / "plain", variant))

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
    tmp_path: Path,
    variant: Variant,
    script: Path,
    request: pytest.FixtureRequest,
    report: Report,
):
    vfses = through(any_store, variant)
    plain = Plain(tmp_path / "plain", variant)
    with script.open() as lines:
        outcome = run_both(parse(lines), variant, vfses, f"{prefix}db", plain)

    name = str(script.relative_to(FOLDER))
    report(
        f"{request.node.callspec.params['any_store']} {variant.name} {name}: "
        f"statements={outcome.statements} queries={outcome.queries} "
        f"failures={len(outcome.failures)} seconds={outcome.seconds:.1f}{' cut' * outcome.cut}"
    )
    assert outcome.failures == failures_on_plain_file(script, name, variant, tmp_path / "other")


def failures_on_plain_file(script: Path, name: str, variant: Variant, path: Path) -> list[str]:
    """How plain SQLite fails, if it does."""
    if name not in FAIL_ON_PLAIN_FILES:
        return []
    connections = TakingTurns(variant, [partial(apsw.Connection, str(path))])
    with script.open() as lines:
        return run(parse(lines), connections).failures

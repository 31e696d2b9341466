"""docs/iam.md: its policies are those that the program prints, and they suffice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cli.conftest import ROOT, Command, minio_variables
from cli.test_doctor import as_role as as_role
from sqlite_s3vfs.cli.policies import ROLES, policy, upgrade_statement
from sqlite_s3vfs.errors import AccessDeniedError
from sqlite_s3vfs.format.manifest import State
from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.past import collecting
from sqlite_s3vfs.past.forking import fork
from sqlite_s3vfs.testing.faults import At, Die, FaultyStore, WriterDiedError, puts_of
from sqlite_s3vfs.wiring import Engine, open_database, store_from_url

PAGE = (ROOT / "docs" / "iam.md").read_text()
NAMES = ("my-bucket", "my/path/cool.sqlite")


def documented(title: str) -> list[dict[str, object]]:
    """The JSON of a section."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


@pytest.mark.parametrize("role", ROLES)
def test_the_policies_are_those_that_the_program_prints(cli: Command, role: str):
    (found,) = documented(role.capitalize())

    assert found == policy(role, *NAMES)
    assert cli("doctor", "--policy", "--role", role, "s3://my-bucket/my/path/cool.sqlite").json == found


def test_the_statements_beside_them():
    assert documented("Besides")[0] == upgrade_statement(*NAMES)


@pytest.fixture
def acting(as_role: Callable[..., str], minio_bucket) -> Callable[..., str]:
    """Takes a documented role for a database; returns its URL."""

    def act(role: str, prefix: str, *more: dict[str, object]) -> str:
        (found,) = documented(role.capitalize())
        text = json.dumps([*found["Statement"], *more])          # type: ignore[misc]
        text = text.replace("my-bucket", minio_bucket.name).replace("my/path/cool.sqlite", prefix)
        return f"{as_role(*json.loads(text))}/{prefix}"

    return act


@contextmanager
def as_owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        for name, value in minio_variables().items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def prefix() -> str:
    return f"{RandomIds().new_id().hex()}/cool.sqlite"


def test_a_writer_makes_changes_and_reads_a_database_and_no_other(
    cli: Command, acting, prefix: str, plain_file: Path, tmp_path: Path
):
    url = acting("writer", prefix)
    other = url.replace("cool", "other")

    assert cli("doctor", url).code == 0
    assert cli("import", url, plain_file).code == 0
    assert cli("query", "--write", url, "UPDATE book SET title = 'new' WHERE id = 7").code == 0
    assert cli("import", "--yes", url, plain_file).code == 0
    assert cli("export", url, tmp_path / "out").code == 0
    assert cli("import", other, plain_file).code == 4
    assert cli("query", other, "SELECT 1").code == 4


def test_a_reader_reads_all_and_writes_nothing(
    cli: Command, acting, prefix: str, plain_file: Path, tmp_path: Path, minio_bucket, monkeypatch
):
    with as_owner(monkeypatch):
        assert cli("import", f"s3://{minio_bucket.name}/{prefix}", plain_file).code == 0
    url = acting("reader", prefix)

    assert cli("doctor", "--role", "reader", url).code == 0
    assert cli("doctor", "--role", "writer", url).code == 1
    assert cli("query", "--json", url, "SELECT count(*) AS n FROM book").json == [{"n": 500}]
    assert cli("info", "--objects", url).code == 0
    assert cli("show", url).code == 0
    assert cli("export", url, tmp_path / "out").code == 0
    assert (tmp_path / "out").read_bytes() == plain_file.read_bytes()
    for ended in (
        cli("query", "--write", url, "DELETE FROM book"), cli("import", "--yes", url, plain_file)
    ):
        assert ended.code == 4
        assert "s3:PutObject" in ended.err


def test_ls_names_what_may_not_be_read_beside_what_may(
    cli: Command, acting, prefix: str, minio_bucket, monkeypatch
):
    folder = prefix.rpartition("/")[0]
    with as_owner(monkeypatch):
        for name in ("cool.sqlite", "secret.sqlite"):
            url = f"s3://{minio_bucket.name}/{folder}/{name}"
            assert cli("query", "--create", url, "CREATE TABLE t (v)").code == 0
    url = acting("reader", prefix).rpartition("/")[0]

    listed, as_json = cli("ls", url), cli("ls", "--json", url)

    assert (listed.code, as_json.code, listed.err) == (1, 1, "")
    _, cool, secret = listed.out.splitlines()
    assert cool.endswith("  cool.sqlite")
    assert secret.split()[:4] == ["?", "?", "?", "secret.sqlite:"]
    assert "s3:GetObject" in secret
    assert [row.get("exit", 0) for row in as_json.json] == [0, 4]


def test_a_reader_is_told_that_a_database_is_missing(cli: Command, acting, prefix: str):
    """Which S3 says only to those who may list."""
    assert cli("info", acting("reader", prefix)).code == 3


def test_a_writer_deletes_what_fell_out_of_use_restores_and_forks(
    cli: Command, acting, prefix: str, plain_file: Path
):
    url = acting("writer", f"{prefix}/*").removesuffix("/*")
    for _ in range(2):
        assert cli("import", "--yes", f"{url}/a", plain_file).code == 0

    assert cli("restore", "--yes", f"{url}/a", "--version", 1).code == 0
    assert cli("checkpoint", "create", f"{url}/a", "name").code == 0
    assert cli("fork", f"{url}/a", f"{url}/b").code == 0
    assert cli("rm", "--yes", f"{url}/b").code == 0


def test_a_collector_checks_and_collects_and_does_not_write(
    cli: Command, acting, prefix: str, plain_file: Path, minio_bucket, monkeypatch
):
    with as_owner(monkeypatch):
        assert cli("import", f"s3://{minio_bucket.name}/{prefix}", plain_file).code == 0
    url = acting("collector", prefix)

    assert cli("doctor", "--role", "collector", url).code == 0
    assert cli("verify", url).code == 0
    assert cli("collect", "--dry-run", url).code == 0
    assert cli("collect", "--yes", url).code == 0
    assert cli("import", "--yes", url, plain_file).code == 4


def test_a_collector_looks_after_the_forks_of_its_database(
    cli: Command, acting, prefix: str, plain_file: Path, minio_bucket, monkeypatch
):
    """As the page says: with the statements Read and Note for their manifests."""
    url = f"s3://{minio_bucket.name}/{prefix}"
    with as_owner(monkeypatch):
        assert cli("import", url, plain_file).code == 0
        assert cli("fork", url, f"{url}-fork").code == 0
    acting("collector", prefix)
    assert cli("collect", "--yes", url).code == 4

    manifest = "arn:aws:s3:::my-bucket/my/path/cool.sqlite-fork/manifest"
    acting("collector", prefix, *documented("Forks")[0])
    assert manifest in json.dumps(documented("Forks")[0])
    assert cli("collect", "--yes", url).code == 0
    with as_owner(monkeypatch):
        assert cli("query", f"{url}-fork", "SELECT 1").code == 0


def test_a_fork_lets_its_parent_go_with_a_right_to_note_it(
    cli: Command, acting, prefix: str, plain_file: Path, minio_bucket, monkeypatch
):
    url = f"s3://{minio_bucket.name}/{prefix}"
    with as_owner(monkeypatch):
        assert cli("import", f"{url}-parent", plain_file).code == 0
        assert cli("fork", f"{url}-parent", url).code == 0
    acting("writer", prefix)
    ended = cli("rm", "--yes", url)
    assert ended.code == 4

    acting("writer", prefix, *documented("Forks")[1])
    assert cli("rm", "--yes", url).code == 0
    with as_owner(monkeypatch):
        found = cli("collect", "--yes", "--json", f"{url}-parent").json
        assert found["unpinned"] == []                      # it was let go already


def fork_whose_maker_died(url: str, parent: str, child: str) -> None:
    """The child's manifest is put, and the parent holds its pin; then nothing more comes."""
    store, prefix = store_from_url(f"{url}/{parent}")
    faulty = FaultyStore(store, At(1, Die(), among=puts_of(f"{child}/manifest")))
    with closing(Engine(faulty)) as engine, pytest.raises(WriterDiedError):
        fork(open_database(engine, prefix), open_database(engine, child))
    with closing(Engine(store)) as engine:
        head = open_database(engine, child).manifests.latest()
    assert head is not None
    assert head.manifest.state is State.PENDING


def test_a_collector_gives_up_a_fork_whose_maker_died(
    cli: Command, acting, prefix: str, plain_file: Path, minio_bucket, monkeypatch
):
    """By the page's statement Forks, which allows what no collector may otherwise: to end the fork."""
    url, child = f"s3://{minio_bucket.name}/{prefix}", f"{prefix}-fork"
    with as_owner(monkeypatch):
        assert cli("import", url, plain_file).code == 0
        fork_whose_maker_died(f"s3://{minio_bucket.name}", prefix, child)
    monkeypatch.setattr(collecting, "GRACE_SECONDS_MIN", -60)

    def collected() -> tuple[str, ...]:
        store, _ = store_from_url(url)
        with closing(Engine(store)) as engine:      # nobody is as young as that: the fork is old enough
            return collecting.collect(open_database(engine, prefix), grace_seconds=-60).unpinned

    acting("collector", prefix)
    with pytest.raises(AccessDeniedError):
        collected()
    acting("collector", prefix, *documented("Forks")[0])

    assert collected() == (child,)
    assert collected() == ()


def test_a_writer_gives_up_its_own_fork_that_was_never_done(
    cli: Command, acting, prefix: str, plain_file: Path, minio_bucket, monkeypatch
):
    url, parent = f"s3://{minio_bucket.name}/{prefix}", f"{prefix}-parent"
    with as_owner(monkeypatch):
        assert cli("import", f"{url}-parent", plain_file).code == 0
        fork_whose_maker_died(f"s3://{minio_bucket.name}", parent, prefix)
    acting("writer", prefix, *documented("Forks")[1])

    assert cli("query", "--create", url, "SELECT 1").code != 0
    assert cli("rm", "--yes", url).code == 0

    assert cli("query", "--create", url, "CREATE TABLE t (x)").code == 0
    with as_owner(monkeypatch):
        found = cli("collect", "--yes", "--json", f"{url}-parent").json
        assert found["unpinned"] == []                      # it was let go already

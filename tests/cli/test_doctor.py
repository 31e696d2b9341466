"""``doctor``: credentials, rights, conditions, clock, latency, old versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli.conftest import Command, everywhere, minio_variables
from sqlite_s3vfs.cli.examination import Check, Patient, examine
from sqlite_s3vfs.cli.policies import policy
from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.store.access import Access
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import ObjectStore, Stored
from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.wiring import Engine
from tests import conftest as settings


@everywhere
def test_where_all_is_well(cli: Command, folder: str):
    told = cli("doctor", "--json", f"{folder}/db").json

    names = [check["name"] for check in told["checks"]]
    assert told["works"]
    assert {check["state"] for check in told["checks"]} == {"ok"}
    rights = [f"right to {operation}" for operation in ("list", "get", "put", "delete")]
    s3 = ["clock", "old versions"] if folder.startswith("s3") else []
    before = ["credentials"] if s3 else []
    assert names == [*before, *rights, "conditional writes", *s3, "latency"]
    assert cli("ls", "--json", folder).json == []


def test_it_leaves_nothing_behind(cli: Command, folder: str, tmp_path: Path):
    cli("doctor", f"{folder}/db")

    assert [path for path in (tmp_path / "bucket").rglob("*@") if path.is_file()] == []


@pytest.fixture
def as_role(minio_bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Takes a policy's statements, for the rest of the test; returns the bucket's URL."""

    def take(*statements: dict[str, object]) -> str:
        root = settings._session(settings.ACCESS_KEY, settings.SECRET_KEY)
        with closing(root.client("sts", endpoint_url=settings.ENDPOINT)) as sts:
            key = sts.assume_role(
                RoleArn="arn:aws:iam::123456789012:role/tests",
                RoleSessionName="tests",
                Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
            )["Credentials"]
        for name, value in minio_variables().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", key["SessionToken"])
        return f"s3://{minio_bucket.name}"

    return take


OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in ("List", "Read", "Delete")]


@pytest.mark.parametrize("missing", ["Write", *OTHERS])
def test_a_missing_right_is_named_with_its_statement(cli: Command, as_role, minio_bucket, missing: str):
    prefix = RandomIds().new_id().hex()
    statements = policy("writer", minio_bucket.name, prefix)["Statement"]
    url = as_role(*[row for row in statements if row["Sid"] != missing])

    ended = cli("doctor", "--json", f"{url}/{prefix}")

    (failed, *others) = [check for check in ended.json["checks"] if check["state"] == "failed"]
    assert (ended.code, ended.json["works"], others) == (1, False, [])
    assert failed["fix"] == next(row for row in statements if row["Sid"] == missing)
    assert f'"Sid": "{missing}"' in cli("doctor", f"{url}/{prefix}").out


def test_without_credentials(cli: Command, minio_bucket):
    ended = cli("doctor", f"s3://{minio_bucket.name}/db", "--endpoint-url", settings.ENDPOINT)

    assert ended.code == 1
    assert ended.out.startswith("failed   credentials         none were found")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "with these credentials"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "with these credentials"),
        ("AWS_ENDPOINT_URL", "http://localhost:1", "endpoint can be reached"),
    ],
)
def test_with_wrong_settings_it_stops(
    cli: Command, minio_bucket, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, right in {**minio_variables(), variable: value}.items():
        monkeypatch.setenv(name, right)

    ended = cli("doctor", "--json", f"s3://{minio_bucket.name}/db")

    assert ended.code == 1
    assert [check["name"] for check in ended.json["checks"]] == ["credentials", "store"]
    assert said in ended.json["checks"][1]["said"]


def test_a_missing_bucket(cli: Command, minio, monkeypatch: pytest.MonkeyPatch):
    for name, value in minio_variables().items():
        monkeypatch.setenv(name, value)

    ended = cli("doctor", "s3://there-is-no-such-bucket/db")

    assert (ended.code, "there is no such bucket" in ended.out) == (1, True)


@pytest.mark.parametrize("url", ["s3://bucket", "http://host/db", "file:///db", "s3://bucket/a//b"])
def test_a_wrong_url(cli: Command, url: str):
    assert cli("doctor", url).code == 2
    assert cli("doctor", "--policy", url).code == 2


def test_a_policy_for_a_directory_is_refused(cli: Command, folder: str):
    assert cli("doctor", "--policy", f"{folder}/db").code == 2


@pytest.fixture
def versioned_bucket(minio, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    bucket = minio.Bucket(f"s3vfs-test-{RandomIds().new_id().hex()}")
    bucket.create()
    bucket.Versioning().enable()
    for name, value in minio_variables().items():
        monkeypatch.setenv(name, value)
    yield bucket.name
    bucket.object_versions.all().delete()
    bucket.delete()


def test_a_versioned_bucket_without_a_rule_is_named_with_the_rule(
    cli: Command, versioned_bucket: str, minio
):
    url = f"s3://{versioned_bucket}/my/db"

    first = cli("doctor", "--json", url)
    (warned,) = [check for check in first.json["checks"] if check["state"] == "warning"]
    assert (first.code, warned["name"]) == (0, "old versions")
    minio.meta.client.put_bucket_lifecycle_configuration(
        Bucket=versioned_bucket, LifecycleConfiguration=warned["fix"]
    )

    told = {check["name"]: check for check in cli("doctor", "--json", url).json["checks"]}
    other = {check["name"]: check for check in cli("doctor", "--json", f"{url}2").json["checks"]}

    assert told["old versions"]["said"] == "a rule removes them after 1 days"
    assert other["old versions"]["state"] == "warning"


class Careless(MemoryObjectStore):
    """Accepts conditions and ignores them."""

    def put(self, key: str, body: bytes, **conditions: object) -> Stored:
        return super().put(key, body)


def checks_of(
    store: ObjectStore, clock: ManualClock | None = None, bucket: str = ""
) -> dict[str, Check]:
    with closing(Engine(store, clock=clock)) as engine:
        patient = Patient(engine, "db", "writer", bucket, Access())
        return {check.name: check for check in examine(patient)}


def test_a_store_that_ignores_conditions_is_found_out():
    checks = checks_of(Careless())

    assert checks["conditional writes"].state == "failed"
    assert "does not honour conditional writes" in checks["conditional writes"].said


@pytest.mark.parametrize(("skew", "state"), [(0, "ok"), (200, "ok"), (400, "failed"), (-400, "failed")])
def test_the_clock_is_compared(monkeypatch: pytest.MonkeyPatch, skew: int, state: str):
    """The store's time stands still meanwhile."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store_clock, clock = ManualClock(), ManualClock()
    clock.sleep(1000 + skew)
    store_clock.sleep(1000)

    checks = checks_of(MemoryObjectStore(clock=store_clock), clock, bucket="bucket")

    assert checks["clock"].state == state
    assert f"{abs(skew)} s" in checks["clock"].said
    assert checks["old versions"].state == "skipped"

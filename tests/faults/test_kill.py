"""Processes that write through SQLite are killed at random moments, alone and beside others.

Whatever a killed writer was told to be committed is there, whole; besides, at most the one commit
that it was about to make; the database is sound, and the next writer goes on. Several writers at
once make a history that is strictly serializable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from faults.writers import SCHEMA, Job, Place, Writer, read_all, version_of
from sqlite_s3vfs.clock import SystemClock
from sqlite_s3vfs.testing import HistoryRecorder, check_history, operations
from sqlite_s3vfs.testing.histories import Event
from sqlite_s3vfs.vfs.s3vfs import S3VFS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(params=["directory", "minio"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Objects that processes share."""
    if request.param == "directory":
        yield Place(directory=str(tmp_path / "store"))
        return
    bucket = request.getfixturevalue("minio_bucket")
    keys = bucket.meta.client._request_signer._credentials
    endpoint = bucket.meta.client.meta.endpoint_url
    yield Place(bucket=bucket.name, endpoint=endpoint, keys=(keys.access_key, keys.secret_key))


class Trial:
    """One database, the events of all its writers, and what is wrong with it."""

    def __init__(self, place: Place, name: str, seed: int) -> None:
        self.place, self.name = place, name
        self.noise = random.Random(seed)
        self.writers = 0
        self.events: list[Event] = []
        self.kills = 0
        vfs = S3VFS(place.open())
        connection = apsw.Connection(name, vfs=vfs.name)
        connection.execute(SCHEMA)
        self.first = version_of(connection)
        connection.close()
        vfs.close()

    def start(self, transactions: int, *, killed: bool, mistake: str = "") -> Writer:
        self.writers += 1
        number = self.writers * 1_000_000
        job = Job(self.place, self.name, f"writer {self.writers}", number, transactions, mistake)
        if not killed:
            return Writer(job)
        lines = self.noise.randrange(1, 12 * transactions)
        return Writer(job, lines=lines, later=self.noise.choice([0.0, self.noise.uniform(0, 0.02)]))

    def end(self, writer: Writer) -> None:
        code, events = writer.ended()
        assert code in (0, -9), code
        self.kills += code == -9
        self.events += events

    def wrong(self) -> list[str]:
        """What a process that has seen nothing finds to be wrong."""
        recorder = HistoryRecorder(now=SystemClock().monotonic)
        vfs = S3VFS(self.place.open())
        connection = apsw.Connection(self.name, vfs=vfs.name)
        try:
            sound = connection.pragma("integrity_check")
            version = read_all(connection, recorder, f"reader {len(self.events)}")
        except apsw.Error as error:
            return [repr(error)]
        finally:
            connection.close()
            vfs.close()
        found = operations(self.events)
        told = sum(one.outcome == "ok" and one.writes for one in found)
        unknown = sum(one.outcome == "info" and one.writes for one in found)
        anomalies = check_history(operations([*self.events, *recorder.events]), first_version=self.first)
        wrong = [str(anomaly) for anomaly in anomalies]
        if sound != "ok":
            wrong.append(f"integrity_check says {sound}")
        there = version - self.first
        if unknown > self.kills or not told <= there <= told + unknown:
            wrong.append(f"{told} commits were told, {unknown} unknown, {there} are there")
        return wrong


def kill_one_after_the_other(place: Place, prefix: str, *, kills: int) -> None:
    trial = Trial(place, f"{prefix}db", kills)
    while trial.kills < kills:
        trial.end(trial.start(8, killed=True))
        assert trial.wrong() == []
    trial.end(trial.start(5, killed=False))
    assert trial.wrong() == []
    assert any(event.kind == "ok" for event in trial.events)


def write_at_once(place: Place, prefix: str, *, transactions: int, mistake: str = "") -> list[str]:
    trial = Trial(place, f"{prefix}db", transactions)
    running = [trial.start(transactions, killed=False, mistake=mistake) for _ in range(4)]
    for writer in running:
        trial.end(writer)
    done = sum(event.kind == "ok" for event in trial.events)
    assert done == 4 * transactions
    return trial.wrong()


def test_what_a_killed_process_was_told_to_be_committed_is_there(place: Place, prefix: str) -> None:
    kill_one_after_the_other(place, prefix, kills=3)


@pytest.mark.long
def test_many_processes_are_killed_one_after_the_other(place: Place, prefix: str) -> None:
    kill_one_after_the_other(place, prefix, kills=60)


def test_processes_that_write_at_once_make_a_serial_history(place: Place, prefix: str) -> None:
    assert write_at_once(place, prefix, transactions=8) == []


@pytest.mark.long
def test_processes_that_write_at_once_for_long_make_a_serial_history(place: Place, prefix: str) -> None:
    assert write_at_once(place, prefix, transactions=200) == []


@pytest.mark.long
def test_processes_are_killed_beside_others_that_write(place: Place, prefix: str) -> None:
    trial = Trial(place, f"{prefix}db", 4)
    for _ in range(12):
        running = [trial.start(6, killed=number < 3) for number in range(4)]
        for writer in running:
            trial.end(writer)
        assert trial.wrong() == []
    assert trial.kills > 12


@pytest.mark.parametrize("mistake", ["manifest", "segments"])
def test_an_object_that_is_said_to_be_stored_before_it_is_shows(
    tmp_path: Path, prefix: str, mistake: str
) -> None:
    """The planted mistake: a commit that was told lies in memory only, or refers to what does."""
    for seed in range(30):
        trial = Trial(Place(directory=str(tmp_path / str(seed))), f"{prefix}db", seed)
        trial.end(trial.start(8, killed=True, mistake=mistake))
        wrong = trial.wrong()
        if wrong:
            break

    says = {"manifest": "are there", "segments": "is missing"}[mistake]
    assert any(says in text for text in wrong), wrong


def test_a_store_without_conditions_shows(tmp_path: Path, prefix: str) -> None:
    """The planted mistake: writers put their manifests over those of others, where they meet at all."""
    for number in range(20):
        place = Place(directory=str(tmp_path / str(number)))
        wrong = write_at_once(place, prefix, transactions=12, mistake="careless")
        if wrong:
            break

    assert any("double commit" in text for text in wrong)

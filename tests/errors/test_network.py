"""No network, a bad one, and one that goes away in the middle and comes back: real sockets."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

import apsw
import boto3
import pytest
from botocore.config import Config

from errors.bad_network import Asked, BadNetwork, Fate, Rule, always, bad_network, first
from errors.conftest import MakeVFS, Open
from errors.expect import objects, refused, untouched
from errors.operations import READING, WRITING, connect
from errors.sample import COUNT, LARGE, SMALL, Sample, plain_file, read_all, sample_of
from sqlite_s3vfs.errors import (
    AccessDeniedError,
    CommitUnknownError,
    S3VFSError,
    StoreUnavailableError,
)
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

pytestmark = [pytest.mark.usefixtures("_no_waiting"), pytest.mark.slow]

EVERYTHING = [*READING.values(), *WRITING.values()]
IN_BLOCKS = "INSERT INTO t (body) VALUES (randomblob(200000))"
WAY_OUT = "see that the endpoint can be reached"

AtEndpoint = Callable[..., S3VFS]


@pytest.fixture
def at_endpoint(minio, minio_bucket, make_vfs: MakeVFS) -> AtEndpoint:
    """Call it with an endpoint for a VFS whose client looks there, and has patience."""
    credentials = minio.meta.client._request_signer._credentials

    def make(endpoint: str, attempts: int = 1, patience_seconds: float = 60) -> S3VFS:
        resource = boto3.session.Session(
            credentials.access_key, credentials.secret_key, region_name="us-east-1"
        ).resource(
            "s3",
            endpoint_url=endpoint,
            config=Config(
                connect_timeout=60,
                read_timeout=patience_seconds,
                retries={"mode": "standard", "total_max_attempts": attempts},
            ),
        )
        return make_vfs(resource.Bucket(minio_bucket.name))

    return make


@pytest.fixture
def network(minio) -> Iterator[BadNetwork]:
    """The way to the server."""
    with bad_network(minio.meta.client.meta.endpoint_url) as network:
        yield network


@pytest.fixture
def vfs(network: BadNetwork, at_endpoint: AtEndpoint) -> S3VFS:
    """A VFS behind ``network``, whose client asks once."""
    return at_endpoint(network.endpoint)


def test_a_closed_port(at_endpoint: AtEndpoint) -> None:
    with socket.socket() as taken:          # by nobody who listens
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        vfs = at_endpoint(endpoint)
        for operation in EVERYTHING:
            with refused(
                StoreUnavailableError,
                operation.code_at_begin,
                WAY_OUT,
                f"endpoint={endpoint!r}",
                "error='EndpointConnectionError'",
                "key='db/manifest'",
            ):
                operation.run(vfs, "db")


def test_a_port_that_accepts_and_never_answers(at_endpoint: AtEndpoint) -> None:
    """The user's own time-out decides how long that takes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        vfs = at_endpoint(endpoint, patience_seconds=0.5)
        for operation in (READING["select"], READING["serialize"], WRITING["create"]):
            with refused(
                StoreUnavailableError,
                operation.code_at_begin,
                WAY_OUT,
                "error='ReadTimeoutError'",
            ):
                operation.run(vfs, "db")


def test_a_port_that_speaks_something_else(at_endpoint: AtEndpoint, network: BadNetwork) -> None:
    """TLS where there is none."""
    vfs = at_endpoint(network.endpoint.replace("http:", "https:"))

    with refused(StoreUnavailableError, apsw.SQLITE_IOERR_LOCK, WAY_OUT, "https://", "SSLError"):
        READING["select"].run(vfs, "db")


def test_a_network_that_goes_away_and_comes_back_is_noticed_once(
    vfs: S3VFS, network: BadNetwork, sample: Sample, open_through: Open
) -> None:
    """The same connection, reading and writing, between and within transactions."""
    connection = open_through(vfs, sample.name)
    assert read_all(connection) == sample.rows
    for sql in (COUNT, SMALL, "BEGIN IMMEDIATE", "VACUUM", "PRAGMA user_version"):
        network.close()
        with refused(StoreUnavailableError, apsw.SQLITE_IOERR_LOCK, network.endpoint):
            connection.execute(sql).fetchall()
        assert not connection.in_transaction
        network.open()
        assert read_all(connection) == sample.rows

    connection.execute(SMALL)
    assert connection.execute("SELECT body FROM t WHERE id = 7").get == "small"


def test_a_read_transaction_bears_a_gap_between_its_pages(
    vfs: S3VFS, network: BadNetwork, owner: S3VFS, sample: Sample, open_through: Open
) -> None:
    """What cannot be fetched fails its statement; the transaction and its version stay."""
    connection = open_through(vfs, sample.name)
    assert connection.execute("BEGIN").execute("SELECT body FROM t WHERE id = 1").get == "in the tail"
    network.close()
    with refused(StoreUnavailableError, apsw.SQLITE_IOERR_READ, "/segments/"):
        connection.execute("SELECT * FROM t").fetchall()
    open_through(owner, sample.name).execute("DELETE FROM t")
    network.open()

    if connection.in_transaction:
        assert connection.execute("SELECT id, body FROM t ORDER BY id").fetchall() == sample.rows
        connection.execute("COMMIT")
    assert connection.execute(COUNT).get == 0


def test_an_outage_at_the_upload_leaves_the_transaction_open(
    vfs: S3VFS, network: BadNetwork, bucket_store: ObjectStore, sample: Sample, open_through: Open
) -> None:
    """Surely nothing was committed: COMMIT is "busy", and may be repeated or given up."""
    connection = open_through(vfs, sample.name)
    before = read_all(connection)
    for end, expected in (("ROLLBACK", 100), ("COMMIT", 101)):
        connection.execute("BEGIN").execute(IN_BLOCKS)
        network.close()
        with untouched(bucket_store, sample.name):
            for _ in range(2):
                with refused(StoreUnavailableError, apsw.SQLITE_BUSY, WAY_OUT, "/segments/"):
                    connection.execute("COMMIT")
                assert connection.in_transaction
        network.open()
        connection.execute(end)
        assert len(read_all(connection)) == expected
    assert read_all(connection)[:100] == before


@pytest.mark.parametrize("sql", [SMALL, LARGE])
@pytest.mark.parametrize("fate", [Fate.LOST, Fate.UNANSWERED, Fate.IGNORED])
def test_without_an_answer_to_the_manifest_the_commit_is_unknown(
    at_endpoint: AtEndpoint, network: BadNetwork, owner: S3VFS, sample: Sample, open_through: Open,
    fate: Fate, sql: str,
) -> None:
    """And the next look tells. Nothing is deleted that a manifest may refer to."""
    patience_seconds = 3 if fate is Fate.IGNORED else 60
    vfs = at_endpoint(network.endpoint, patience_seconds=patience_seconds)
    connection = open_through(vfs, sample.name)
    assert read_all(connection) == sample.rows
    connection.execute("BEGIN").execute(sql)
    asked_for_it: list[Asked] = []

    def rule(asked: Asked) -> Fate:
        if not asked.path.endswith("/manifest"):
            return Fate.SERVED
        asked_for_it.append(asked)
        asked_again = len(asked_for_it) > 1
        return Fate.LOST if fate is Fate.IGNORED and asked_again else fate      # patience is tried once

    network.rule = rule

    with refused(
        CommitUnknownError,
        apsw.SQLITE_IOERR_FSYNC,
        "read the database to find out",
        f"key='{sample.name}/manifest'",
    ):
        connection.execute("COMMIT")

    assert not connection.in_transaction
    network.rule = always(Fate.SERVED)
    there = sample_of(owner, sample.name).rows
    assert (there != sample.rows) == (fate is Fate.UNANSWERED)
    assert read_all(connection) == there
    connection.execute(SMALL)
    assert read_all(connection) == sample_of(owner, sample.name).rows


SETTLED: dict[str, Callable[[], Rule]] = {
    "put lost": lambda: first(Fate.LOST, "PUT", "/manifest"),
    "answer lost": lambda: first(Fate.UNANSWERED, "PUT", "/manifest"),
    "answer broken off": lambda: first(Fate.HALF_ANSWERED, "PUT", "/manifest"),
    "put throttled": lambda: first(Fate.THROTTLED, "PUT", "/manifest"),
    "upload unanswered": lambda: first(Fate.UNANSWERED, "PUT"),
    "read broken off": lambda: first(Fate.HALF_ANSWERED, "GET"),
}


@pytest.mark.parametrize("sql", [SMALL, IN_BLOCKS])
@pytest.mark.parametrize("what", SETTLED)
def test_a_single_failure_is_settled_and_not_told(
    at_endpoint: AtEndpoint, network: BadNetwork, owner: S3VFS, sample: Sample, open_through: Open,
    what: str, sql: str,
) -> None:
    """The client asks twice; the commit happens once, however its requests fared."""
    connection = open_through(at_endpoint(network.endpoint, attempts=2), sample.name)
    assert read_all(connection) == sample.rows
    version = int(connection.pragma("s3vfs_version"))
    network.rule = SETTLED[what]()

    connection.execute(sql)

    network.rule = always(Fate.SERVED)
    assert int(connection.pragma("s3vfs_version")) == version + 1
    assert read_all(connection) == sample_of(owner, sample.name).rows != sample.rows


@pytest.mark.parametrize("carried_out", [True, False])
def test_credentials_that_expire_between_two_tries_of_one_put(
    at_endpoint: AtEndpoint, network: BadNetwork, owner: S3VFS, sample: Sample, open_through: Open,
    *, carried_out: bool,
) -> None:
    """The SDK sends the put again in silence; the answer to that says nothing about the first."""
    connection = open_through(at_endpoint(network.endpoint, attempts=2), sample.name)
    assert read_all(connection) == sample.rows
    lost = Fate.UNANSWERED if carried_out else Fate.LOST
    network.rule = first(lost, "PUT", "/manifest", then=Fate.DENIED)
    error: BaseException | None = None

    try:
        connection.execute(IN_BLOCKS)
    except apsw.Error as caught:
        error = caught.__cause__

    network.rule = always(Fate.SERVED)
    there = len(sample_of(owner, sample.name).rows)
    assert there == 100 + carried_out
    assert len(read_all(connection)) == there
    if carried_out:
        assert error is None or type(error) is CommitUnknownError
    else:
        assert type(error) in (AccessDeniedError, CommitUnknownError)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("fate", [Fate.LOST, Fate.UNANSWERED, Fate.HALF_ANSWERED])
def test_an_import_is_whole_or_not_there(
    vfs: S3VFS, network: BadNetwork, owner: S3VFS, sample: Sample, bucket_store: ObjectStore,
    fate: Fate, number: int,
) -> None:
    """Cut off at each of its requests for good."""
    connect(vfs, sample.name).execute("CREATE TABLE probed (v)")
    sample = sample_of(owner, sample.name)
    asked: list[Asked] = []

    def rule(request: Asked) -> Fate:
        asked.append(request)
        return fate if len(asked) > number else Fate.SERVED

    network.rule = rule
    file = plain_file()
    error: S3VFSError | None = None
    before = objects(bucket_store, sample.name)

    try:
        vfs.deserialize_iter(sample.name, [file])
    except S3VFSError as caught:
        error = caught

    network.rule = always(Fate.SERVED)
    there = b"".join(owner.serialize_iter(sample.name))
    if error is None:
        assert len(there) == len(file)
    elif type(error) is StoreUnavailableError:
        assert there == sample.file
        assert objects(bucket_store, sample.name).items() >= before.items()
    else:
        assert type(error) is CommitUnknownError
        assert len(there) == len(file) or there == sample.file
    vfs.deserialize_iter(sample.name, [file])
    assert b"".join(vfs.serialize_iter(sample.name))[100:4096] == file[100:4096]


def test_what_an_outage_keeps_from_being_removed_is_logged(
    vfs: S3VFS, network: BadNetwork, sample: Sample, bucket_store: ObjectStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A source that fails in the middle of an import, and a network that fails at the same time."""

    def source() -> Iterator[bytes]:
        yield plain_file()
        network.close()
        raise ValueError("the source is gone")

    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="the source is gone"):
        vfs.deserialize_iter(sample.name, source())

    left = objects(bucket_store, sample.name).keys() - {f"{sample.name}/manifest"}
    network.open()
    assert b"".join(vfs.serialize_iter(sample.name)) == sample.file
    unused = [key for key in left if key in caplog.text]
    assert bool(unused) == ("could not be removed" in caplog.text)

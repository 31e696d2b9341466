"""start-minio.sh and stop-minio.sh, run for real: real servers on free ports.

What runs is written down, and data are put, in folders of the test, so the servers of the developer
are not touched. A build that lies in the developer's cache is used; the first run ever makes it. Where a
test is about how a server is obtained, scripts stand in for the tool chain and for a container engine (a
build takes minutes, an engine is rarely there): they hand out the same real server program.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
ACCESS_KEY = "AKIAIDIDIDIDIDIDIDID"
SECRET_KEY = "a" * 40
BUILD_SECONDS = 3600
# All that the scripts need; each of flock and perl is enough.
TOOLS = [
    *["bash", "basename", "dirname", "env", "flock", "grep", "mkdir", "mktemp", "mv", "nohup"],
    *["perl", "ps", "rm", "sleep", "tail", "uname", "cat", "ln"],
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(BUILD_SECONDS + 60),
    pytest.mark.xdist_group("servers"),         # one after the other: two would pick the same free port
]


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell in which the two scripts are run; ``env`` is the whole environment."""

    folder: Path
    port: int
    env: dict[str, str]

    def command(self, script: str) -> list[str]:
        return ["bash", str(ROOT / f"{script}-minio.sh")]

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script),
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self, **env: str) -> str:
        done = self.run("start", **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self, **env: str) -> str:
        done = self.run("stop", **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def popen(self, script: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(script),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def said(self) -> Path:
        return self.folder / "said"

    @property
    def temporary_data(self) -> list[Path]:
        return list(Path(self.env["TMPDIR"]).iterdir())

    @property
    def record(self) -> Path:
        """Where the script wrote down what it started."""
        (path,) = self.folder.glob("state/sqlite-s3vfs/*/server")
        return path

    @property
    def server_pid(self) -> int:
        return int(re.findall(r"^id=(\d+)$", self.record.read_text(), re.MULTILINE)[0])


def free_port() -> int:
    """Below those that systems give to clients and to servers that ask for any: it stays free."""
    for port in random.sample(range(10_000, 32_768), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def s3_client(
    port: int, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY, region: str = "us-east-1"
) -> Iterator[S3Client]:
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


def buckets(port: int) -> list[str]:
    with s3_client(port) as client:
        return [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def make_shell(folder: Path, **env: str) -> Shell:
    """A new shell whose servers, data and records are its own; the cache with the build is shared."""
    port = free_port()
    foreign = ("S3VFS_", "MINIO_", "XDG_STATE_HOME")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "S3VFS_MINIO_ADDRESS": f"localhost:{port}",
        "XDG_STATE_HOME": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
    }
    (folder / "tmp").mkdir(parents=True)
    return Shell(folder, port, inherited | own | env)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell whose server runs, for the tests that leave it running."""
    shell = make_shell(tmp_path_factory.mktemp("running"))
    shell.said.write_text(shell.start())
    yield shell
    shell.stop()


@pytest.fixture(scope="module")
def server_program(running: Shell) -> Path:
    """The program that the script starts: minio on PATH, or its build, made if there is none."""
    started = re.search(r"^start-minio: starting (/.*)$", running.said.read_text(), re.MULTILINE)
    if started is None:
        pytest.skip("MinIO runs in a container here: these tests need a program (minio on PATH)")
    return Path(started[1])


@pytest.fixture
def shell(tmp_path: Path, server_program: Path) -> Iterator[Shell]:
    shell = make_shell(tmp_path)
    yield shell
    shell.stop()


@pytest.fixture
def bare_shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell on a machine with nothing: the usual tools, no Python, no Go, nothing cached."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    shell = make_shell(tmp_path, PATH=str(tools), XDG_CACHE_HOME=str(tmp_path / "cache"))
    yield shell
    shell.stop()


def add_program(shell: Shell, name: str, *lines: str) -> None:
    path = shell.folder / "bin" / name
    path.write_text("\n".join(["#!/usr/bin/env bash", *lines, ""]))
    path.chmod(0o755)


def add_go(shell: Shell, server_program: Path) -> None:
    """A go that "builds" by handing out the server program, and counts how often."""
    add_program(
        shell,
        "go",
        'case $1 in version) echo "go version go1.99 for/tests"; exit ;; esac',
        'test "$1 $2" = "install -v" || exit 2',
        f'echo "$3" >>{shell.folder}/builds',
        f'ln -s {server_program} "$GOBIN/minio"',
    )


def test_starting_twice_leaves_one_server_running(running: Shell) -> None:
    with s3_client(running.port) as client:
        client.create_bucket(Bucket="made-in-between")

    again = running.start()

    assert f"MinIO answers at http://localhost:{running.port}" in running.said.read_text()
    assert "MinIO already answers" in again
    assert "start-minio: starting" not in again
    assert "made-in-between" in buckets(running.port)
    assert len(running.temporary_data) == 1


def test_shells_that_start_at_once_share_one_server(shell: Shell) -> None:
    """Three at once: all succeed, one starts, and when that one is stopped nothing answers any more."""
    running = [shell.popen("start") for _ in range(3)]
    said = [process.communicate()[0] for process in running]

    assert [process.returncode for process in running] == [0, 0, 0], said
    assert sum("start-minio: starting" in text for text in said) == 1
    assert sum("MinIO already answers" in text for text in said) == 2
    assert len(shell.temporary_data) == 1
    shell.stop()
    assert not answers(shell.port)


def test_stop_ends_the_server_and_removes_what_it_left(shell: Shell) -> None:
    shell.start()
    assert answers(shell.port)
    assert len(shell.temporary_data) == 1

    said = shell.stop()

    assert "stopped MinIO" in said
    assert not answers(shell.port)
    assert shell.temporary_data == []
    assert list(shell.folder.glob("state/sqlite-s3vfs/*/*")) == []
    assert "nothing to stop" in shell.stop()


def test_stop_leaves_a_server_alone_that_another_started(running: Shell, tmp_path: Path) -> None:
    other = Shell(tmp_path, running.port, running.env | {"XDG_STATE_HOME": str(tmp_path)})
    assert "MinIO already answers" in other.start()

    said = other.stop()

    assert "was not started by start-minio.sh" in said
    assert answers(running.port)


def test_stop_never_ends_a_process_that_got_the_number_of_the_server(shell: Shell) -> None:
    """The record names a process that is not the one it was written for: it must survive."""
    shell.start()
    server = shell.server_pid
    record = shell.record.read_text()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        try:
            shell.record.write_text(record.replace(f"id={server}\n", f"id={innocent.pid}\n"))

            shell.stop()

            assert innocent.poll() is None
            assert answers(shell.port)
        finally:
            innocent.kill()
            os.kill(server, signal.SIGKILL)


def test_what_a_killed_server_left_is_removed_by_the_next_start(shell: Shell) -> None:
    shell.start()
    (left,) = shell.temporary_data
    os.kill(shell.server_pid, signal.SIGKILL)

    said = shell.start()

    assert "start-minio: starting" in said
    assert not left.exists()
    assert buckets(shell.port) == []


def test_a_lock_ends_with_the_process_that_held_it(shell: Shell) -> None:
    """Another shell holds the lock and is killed: the start that waits for it goes on."""
    shell.stop()
    (lock,) = shell.folder.glob("state/sqlite-s3vfs/*.lock")
    hold = "import fcntl, sys; fcntl.flock(2, fcntl.LOCK_EX); print('held', flush=True); input()"
    with (
        lock.open("a") as opened,
        subprocess.Popen(
            [sys.executable, "-c", hold],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=opened,
            text=True,
        ) as holder,
    ):
        opened.close()
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with shell.popen("start") as waiting:
            assert waiting.stdout is not None
            first = waiting.stdout.readline()
            assert not answers(shell.port)
            holder.kill()
            rest = waiting.stdout.read()

    assert first.startswith("start-minio: waiting: another shell is starting or stopping MinIO"), first
    assert waiting.returncode == 0, rest
    assert "start-minio: starting" in rest


def test_a_server_that_cannot_start_is_explained_and_leaves_nothing(shell: Shell) -> None:
    """MinIO ends at once when the secret key is too short: its own words are shown."""
    done = shell.run("start", S3VFS_MINIO_SECRET_KEY="short")

    assert done.returncode == 1
    assert "MINIO_ROOT_PASSWORD length at least 8 characters" in done.stderr
    assert "did not get ready" in done.stderr
    assert shell.temporary_data == []
    assert list(shell.folder.glob("state/sqlite-s3vfs/*/*")) == []


class NotS3(http.server.BaseHTTPRequestHandler):
    """A web server of some other kind, which answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_something_else_at_the_address_is_named_and_left_alone(shell: Shell) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", shell.port), NotS3) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            done = shell.run("start")
        finally:
            server.shutdown()
            thread.join()

    assert done.returncode == 1
    assert f"something that is not an S3 server listens at http://localhost:{shell.port}" in done.stderr
    assert "HTTP/1.0 200 OK" in done.stderr
    assert f"S3VFS_MINIO_ADDRESS=localhost:{shell.port + 10}" in done.stderr
    assert shell.temporary_data == []


def test_something_silent_at_the_address_does_not_hang_the_start(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", shell.port)):
        done = shell.run("start")

    assert done.returncode == 1
    assert "it answers: nothing" in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("S3VFS_MINIO_ACCESS_KEY", "someone-else", "InvalidAccessKeyId"),
        ("S3VFS_MINIO_SECRET_KEY", "another-secret", "SignatureDoesNotMatch"),
        ("S3VFS_MINIO_REGION", "eu-central-1", "its region is not eu-central-1"),
    ],
)
def test_a_server_that_refuses_what_the_user_wants_is_not_taken_for_ours(
    running: Shell, setting: str, value: str, reason: str
) -> None:
    done = running.run("start", **{setting: value})

    assert done.returncode == 1
    assert reason in done.stderr
    assert "S3VFS_MINIO_SECRET_KEY" in done.stderr
    assert answers(running.port)


def test_address_keys_region_and_data_folder_are_taken_from_the_environment(shell: Shell) -> None:
    keys = {"access_key": "someone", "secret_key": "secret-of-someone", "region": "eu-central-1"}
    env = {f"S3VFS_MINIO_{name.upper()}": value for name, value in keys.items()}
    env["S3VFS_MINIO_ADDRESS"] = f"127.0.0.1:{shell.port}"
    env["S3VFS_MINIO_DATA"] = str(shell.folder / "my data")

    said = shell.start(**env)
    with s3_client(shell.port, **keys) as client:
        client.create_bucket(
            Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
    stopped = shell.stop(**env)

    assert f"at http://127.0.0.1:{shell.port}" in said
    assert "secret-of-someone" not in said
    assert f"Its data stays: {shell.folder / 'my data'}" in stopped
    assert (shell.folder / "my data" / "kept").is_dir()
    assert shell.temporary_data == []
    shell.start(**env)
    with s3_client(shell.port, **keys) as client:
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["kept"]
    refused = shell.run("start", **env | {"S3VFS_MINIO_DATA": str(shell.folder / "other")})
    assert refused.returncode == 1
    assert "keeps its data elsewhere" in refused.stderr
    shell.stop(**env)


def test_minio_on_path_is_enough(bare_shell: Shell, server_program: Path) -> None:
    """Neither Python nor curl: the health endpoint is asked by bash itself."""
    # MinIO's --version begins with the name it was called by.
    add_program(bare_shell, "minio", f'exec -a minio {server_program} "$@"')

    bare_shell.start()

    assert buckets(bare_shell.port) == []
    assert "MinIO already answers" in bare_shell.start()


def test_a_container_client_without_an_engine_is_passed_over(
    bare_shell: Shell, server_program: Path
) -> None:
    """docker fails at once and podman hangs: the build comes next, is kept, and is used again."""
    add_program(bare_shell, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    add_program(bare_shell, "podman", "exec sleep 3600")
    add_go(bare_shell, server_program)

    first = bare_shell.start()
    bare_shell.stop()
    second = bare_shell.start()

    assert "building MinIO from source with go1.99" in first
    assert "building" not in second
    (asked,) = (bare_shell.folder / "builds").read_text().splitlines()
    assert asked == "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
    assert buckets(bare_shell.port) == []


def test_two_shells_share_one_build(bare_shell: Shell, server_program: Path) -> None:
    """Both need a server, on different ports: the second waits for the build of the first."""
    add_go(bare_shell, server_program)
    port = free_port()
    other = Shell(bare_shell.folder, port, bare_shell.env | {"S3VFS_MINIO_ADDRESS": f"localhost:{port}"})

    running = [bare_shell.popen("start"), other.popen("start")]
    said = [process.communicate()[0] for process in running]
    both_answer = answers(bare_shell.port), answers(port)
    other.stop()

    assert [process.returncode for process in running] == [0, 0], said
    assert both_answer == (True, True)
    assert len((bare_shell.folder / "builds").read_text().splitlines()) == 1


def test_a_container_engine_that_answers_is_used(bare_shell: Shell, server_program: Path) -> None:
    """The engine is a script that runs the server program under the options it is given."""
    calls, environment, log, pid, volume = (
        bare_shell.folder / name for name in ("calls", "environment", "log", "pid", "volume")
    )
    add_program(
        bare_shell,
        "docker",
        f'echo "$@" >>{calls}',
        'case "$1 $2" in',
        "ps*|image*) ;;",
        f"create*) export -p | grep MINIO_ >{environment}; echo 0123abc ;;",
        f"start*) . {environment}",
        f"{server_program} server --address localhost:{bare_shell.port} {volume} >{log} 2>&1 &",
        f"echo $! >{pid} ;;",
        f'container*) kill -0 "$(cat {pid})" && echo true ;;',
        f'rm*) kill "$(cat {pid})" ;;',
        "esac",
    )

    said = bare_shell.start()
    held = buckets(bare_shell.port)
    stopped = bare_shell.stop()

    assert held == []
    assert "starting quay.io/minio/minio:RELEASE." in said
    assert "data: in the container" in said
    assert f"create --publish 127.0.0.1:{bare_shell.port}:9000" in calls.read_text()
    assert "rm --force --volumes 0123abc" in calls.read_text()
    assert "stopped MinIO" in stopped


def test_a_machine_with_nothing_gets_instructions(bare_shell: Shell) -> None:
    done = bare_shell.run("start")

    assert done.returncode == 1
    for tried in ("minio on PATH: none", "go on PATH: none", "Go from PyPI: needs Python"):
        assert tried in done.stderr
    assert "start Docker or Podman" in done.stderr
    assert not answers(bare_shell.port)


@pytest.mark.parametrize("address", ["9000", "localhost", "http://localhost:9000", "localhost:port"])
def test_an_address_that_is_none_is_refused(bare_shell: Shell, address: str) -> None:
    done = bare_shell.run("start", S3VFS_MINIO_ADDRESS=address)

    assert done.returncode == 1
    assert f"the address must be host:port. S3VFS_MINIO_ADDRESS={address}" in done.stderr

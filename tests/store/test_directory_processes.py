"""The directory store between processes, some of which are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import md5
from pathlib import Path

import pytest

import sqlite_s3vfs
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.port import Fetched

pytestmark = pytest.mark.slow

SOURCE = Path(sqlite_s3vfs.__file__).parent.parent

PRELUDE = """
import os, sys, threading
from pathlib import Path
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.file_lock import locked
from sqlite_s3vfs.store.port import PreconditionFailedError
root, name = sys.argv[1:]
store = DirectoryObjectStore(root)
def say(text):
    print(text, flush=True)
"""

Start = Callable[[str, str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Run a script in a process of its own; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def run(script: str, name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def together(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let processes that wait for a line begin at once; what each of them said."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return answers


def test_of_racing_processes_one_creates_each_object(tmp_path: Path, start: Start):
    script = """
        say("ready")
        sys.stdin.readline()
        for number in range(200):
            try:
                store.put(f"made/{number}", name.encode(), if_absent=True)
                say(number)
            except PreconditionFailedError:
                pass
    """

    won = together([start(script, name) for name in "abc"])

    store = DirectoryObjectStore(tmp_path)
    claimed = [(number, name) for name, said in zip("abc", won, strict=True) for number in said.split()]
    assert sorted(int(number) for number, _ in claimed) == list(range(200))
    for number, name in claimed:
        found = store.get(f"made/{number}")
        assert isinstance(found, Fetched)
        assert found.body == name.encode()


def test_no_increment_of_racing_processes_is_lost(tmp_path: Path, start: Start):
    script = """
        say("ready")
        sys.stdin.readline()
        done = 0
        while done < 100:
            seen = store.get("counter")
            try:
                store.put("counter", b"%d" % (int(seen.body) + 1), if_match=seen.etag)
                done += 1
            except PreconditionFailedError:
                pass
    """
    store = DirectoryObjectStore(tmp_path)
    store.put("counter", b"0")

    together([start(script, name) for name in "abc"])

    found = store.get("counter")
    assert isinstance(found, Fetched)
    assert found.body == b"300"


def test_puts_and_deletions_in_one_directory_do_not_disturb_one_another(tmp_path: Path, start: Start):
    """A deletion that empties a directory removes it, just when another process puts into it."""
    script = """
        say("ready")
        sys.stdin.readline()
        for number in range(150):
            store.put(f"deep/er/{name}", b"body")
            assert store.get(f"deep/er/{name}").body == b"body"
            store.delete([f"deep/er/{name}"])
    """

    together([start(script, name) for name in "ab"])

    assert list(DirectoryObjectStore(tmp_path).list("")) == []
    assert not (tmp_path / "deep").exists()


def test_a_writer_killed_at_any_moment_leaves_whole_objects(tmp_path: Path, start: Start):
    """Whatever was acknowledged is there, and the next writer is not kept waiting."""
    script = """
        import hashlib
        number = int(name)
        etag = store.get("key").etag
        while True:
            number += 1
            body = b"%d " % number * 40_000
            etag = store.put("key", body, if_match=etag).etag
            store.put(f"made/{number}", body, if_absent=True)
            say(number)
    """
    store = DirectoryObjectStore(tmp_path)
    store.put("key", b"0 ")
    chance = random.Random(1)
    last = 0
    for _ in range(8):
        writer = start(script, str(last))
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        with suppress(subprocess.TimeoutExpired):
            writer.wait(timeout=chance.uniform(0, 0.05))
        writer.kill()
        said = writer.stdout.read().split()     # ``communicate`` passes over what is buffered here
        writer.wait()

        acknowledged = int(said[-1]) if said else acknowledged
        rows = {row.key: row for row in store.list("")}
        for key, row in rows.items():
            found = store.get(key)
            assert isinstance(found, Fetched)
            assert found.etag == row.etag == f'"{md5(found.body).hexdigest()}"'
            assert len(found.body) == row.size
        assert {f"made/{number}" for number in range(1, acknowledged + 1)} <= rows.keys()
        found = store.get("key")
        assert isinstance(found, Fetched)
        last = int(found.body.split()[0])
        assert last in (acknowledged, acknowledged + 1)
        if last > acknowledged:
            store.put(f"made/{last}", b"by the test")


def test_a_killed_holder_of_the_lock_releases_it(tmp_path: Path, start: Start):
    script = """
        with locked(Path(root) / "@lock"):
            say("locked")
            sys.stdin.readline()
    """
    DirectoryObjectStore(tmp_path).put("key", b"before")
    holder = start(script, "holder")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    writer = start('store.put("key", b"after"); say("done")', "writer")
    with pytest.raises(subprocess.TimeoutExpired):
        writer.wait(timeout=1)

    holder.kill()

    assert writer.communicate(timeout=120)[0] == "done\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path, start: Start):
    """The child inherits the descriptor that another thread holds the lock with, and lives on."""
    script = """
        held = threading.Event()
        def hold():
            with locked(Path(root) / "@lock"):
                held.set()
                threading.Event().wait()
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        child = os.fork()
        if child == 0:
            threading.Event().wait()
        say(child)
        threading.Event().wait()
    """
    DirectoryObjectStore(tmp_path).put("key", b"before")
    parent = start(script, "parent")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()

        writer = start('store.put("key", b"after"); say("done")', "writer")

        assert writer.communicate(timeout=120)[0] == "done\n"
    finally:
        os.kill(child, signal.SIGKILL)

"""Fork, garbage collection and interpreter exit, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PREAMBLE = """
import gc, os, sys, threading
import apsw
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

URI = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
store = DirectoryObjectStore(sys.argv[1])
vfs = S3VFS(store)

def values(connection):
    return [row[0] for row in connection.execute("SELECT v FROM t ORDER BY rowid")]

setup = apsw.Connection("db", vfs=vfs.name)
setup.execute("CREATE TABLE IF NOT EXISTS t (v); INSERT INTO t VALUES (1)")
"""


def run(tmp_path: Path, script: str, *, first: str = "", **environment: str) -> str:
    """What the script prints, after ``first`` and what is common. It must end well, and in silence."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", first + PREAMBLE + textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FORK = """
    def in_child(check):
        child = os.fork()
        if child == 0:
            try:
                check()
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            sys.stdout.flush()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    def refused(connection, sql):
        try:
            connection.execute(sql).fetchall()
        except apsw.Error as error:
            assert "before a fork" in str(error), error
            return True
        return False
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
class TestFork:
    def test_the_childs_old_handles_refuse_and_new_ones_work(self, tmp_path: Path) -> None:
        script = """
            old = apsw.Connection("db", vfs=vfs.name)
            immutable = apsw.Connection("file:db?immutable=1", vfs=vfs.name, flags=URI)
            assert values(old) == [1]

            def check():
                for sql in ("SELECT v FROM t", "INSERT INTO t VALUES (0)", "BEGIN IMMEDIATE"):
                    assert refused(old, sql), sql
                assert refused(immutable, "SELECT * FROM t, sqlite_schema")
                new = apsw.Connection("db", vfs=vfs.name)
                assert values(new) == [1]
                new.execute("INSERT INTO t VALUES ('child')")
                old.close()
                assert values(new) == [1, "child"]
                new.close()

            in_child(check)
            assert values(old) == [1, "child"]
            old.execute("INSERT INTO t VALUES ('parent')")
            print(values(apsw.Connection("db", vfs=vfs.name)))
        """
        assert (
            run(tmp_path, textwrap.dedent(FORK) + textwrap.dedent(script)) == "[1, 'child', 'parent']\n"
        )

    @pytest.mark.parametrize("cache_size", [2, 2000])
    def test_a_transaction_that_was_open_is_the_parents(self, tmp_path: Path, cache_size: int) -> None:
        """The parent's write lock does not bind the child, and the child's copy cannot be committed."""
        script = f"""
            open_transaction = apsw.Connection("db", vfs=vfs.name)
            open_transaction.execute("PRAGMA cache_size={cache_size}; BEGIN IMMEDIATE")
            open_transaction.execute("INSERT INTO t VALUES (zeroblob(100000))")
            open_transaction.execute("UPDATE t SET v = 'parent'")

            def check():
                assert refused(open_transaction, "COMMIT")
                new = apsw.Connection("db", vfs=vfs.name)
                new.execute("INSERT INTO t VALUES ('child')")
                assert values(new) == [1, "child"]
                open_transaction.close()
                assert values(new) == [1, "child"]

            in_child(check)
            try:
                open_transaction.execute("COMMIT")
            except apsw.BusyError as error:
                assert error.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
            open_transaction.execute("INSERT INTO t VALUES ('parent')")
            print(values(open_transaction))
        """
        assert (
            run(tmp_path, textwrap.dedent(FORK) + textwrap.dedent(script)) == "[1, 'child', 'parent']\n"
        )

    def test_threads_that_write_meanwhile_do_no_harm(self, tmp_path: Path) -> None:
        """Locks that other threads hold at the moment of the fork must not lock up the child.

        Those of ours: SQLite knows nothing of forks, and a thread that is inside of it at the fork may
        hold locks of its. The one for counting memory is switched off, and the writers need no journal
        on a file, for whose checksums they would take the one of its random numbers.
        """
        uncounted = "import apsw\napsw.shutdown()\napsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)\n"
        script = """
            stop = threading.Event()

            def write(name):
                connection = apsw.Connection(name, vfs=vfs.name)
                connection.pragma("journal_mode", "MEMORY")
                connection.execute("CREATE TABLE t (v)")
                while not stop.is_set():
                    connection.execute("INSERT INTO t VALUES (zeroblob(20000)); DELETE FROM t")

            threads = [threading.Thread(target=write, args=(f"other{n}",)) for n in range(3)]
            for thread in threads:
                thread.start()

            def check():
                new = apsw.Connection("db", vfs=vfs.name)
                new.execute("UPDATE t SET v = v + 1")

            try:
                for _ in range(20):
                    in_child(check)
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            print(values(setup))
        """
        forking = textwrap.dedent(FORK) + textwrap.dedent(script)
        assert run(tmp_path, forking, first=uncounted) == "[21]\n"


def test_a_vfs_that_only_attach_refers_to_stays_alive(tmp_path: Path) -> None:
    """SQLite keeps a bare pointer to it: freed, the next access would be a segmentation fault."""
    script = """
        def attach():
            connection = apsw.Connection("", flags=URI)
            hidden = S3VFS(store)
            connection.execute(f"ATTACH 'file:db?vfs={hidden.name}' AS a")
            return connection

        connections = [attach() for _ in range(5)]
        gc.collect()
        for connection in connections:
            connection.execute("INSERT INTO a.t VALUES (2)")
            assert connection.execute("SELECT count(*) FROM a.t").get > 1
        print("alive")
    """
    assert run(tmp_path, script) == "alive\n"


def test_collecting_a_connection_with_an_open_transaction_gives_the_lock_back(tmp_path: Path) -> None:
    script = """
        cycle = [apsw.Connection("db", vfs=vfs.name)]
        cycle.append(cycle)
        cycle[0].execute("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)")
        del cycle
        gc.collect()
        setup.execute("INSERT INTO t VALUES (3)")
        print(values(setup))
    """
    assert run(tmp_path, script) == "[1, 3]\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave_open",
    [
        "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)",
        "PRAGMA cache_size=2; BEGIN; INSERT INTO t VALUES (zeroblob(100000)); UPDATE t SET v = 1",
        "SELECT v FROM t",
        "CREATE TABLE u (v); INSERT INTO u VALUES (1); DROP TABLE u",
    ],
)
@pytest.mark.parametrize("held_by", ["global", "cycle", "thread"])
def test_the_interpreter_ends_quietly_whatever_is_open(
    tmp_path: Path, leave_open: str, held_by: str
) -> None:
    hold = {
        "global": "connection = work()",
        "cycle": "connection = [work()]; connection.append(connection); del connection",
        "thread": "thread = threading.Thread(target=work); thread.start(); thread.join()",
    }[held_by]
    script = f"""
        kept = []

        def work():
            connection = apsw.Connection("db", vfs=vfs.name)
            for _ in range(5):
                connection.execute("INSERT INTO t VALUES (1)")
            kept.append(connection.execute({leave_open!r}))
            return connection

        {hold}
        print("done")
    """
    assert run(tmp_path, script) == "done\n"
    check = "print(set(values(setup)), setup.pragma('integrity_check'))"
    assert run(tmp_path, check) == "{1} ok\n"


def test_commits_in_exit_handlers_and_finalizers_work(tmp_path: Path) -> None:
    """No thread can be started then: uploads are made one after the other."""
    script = """
        import atexit

        connection = apsw.Connection("db", vfs=vfs.name)

        def commit():
            connection.execute("INSERT INTO t SELECT randomblob(3000000)")
            print(connection.execute("SELECT count(*) FROM t").get)

        atexit.register(commit)
    """
    assert run(tmp_path, script) == "2\n"

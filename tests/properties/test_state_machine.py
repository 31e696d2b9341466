"""Our database against a plain SQLite file: the same random statements, answers and bytes.

Two connections of ours (in VFS objects of their own, as two processes would be) take turns on one
database; the model is one connection of plain SQLite to a local file. Whatever one of ours commits
is done to the model too. After each step both of ours must see what the model sees, and now and then
the stored database, serialized, must be a file that plain SQLite finds whole and equal.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sqlite_s3vfs import S3VFS, MemoryObjectStore, Settings

NAME = "state/machine.sqlite"
BLOCK_SIZES = [512, 4095, 4096, 4097, 65536]
PAGE_SIZES = [512, 1024, 4096, 65536]
JOURNAL_MODES = ["delete", "truncate", "persist", "memory", "off"]
CONTENT = "SELECT id, body, length(body) FROM t ORDER BY id"


class TwoConnectionsAndAFile(RuleBasedStateMachine):
    """``ours[0]`` and ``ours[1]`` against ``model``; ``writer`` is who is in a transaction."""

    transaction_bytes = 64 << 20

    @initialize(
        block_size=st.sampled_from(BLOCK_SIZES),
        page_size=st.sampled_from(PAGE_SIZES),
        auto_vacuum=st.sampled_from(["none", "full", "incremental"]),
    )
    def create(self, block_size: int, page_size: int, auto_vacuum: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = MemoryObjectStore()
        self.settings = Settings(
            block_size=block_size,
            segment_size=65536,
            cache_bytes=1 << 20,
            transaction_bytes=self.transaction_bytes,
        )
        self.ours = [self._connect(), self._connect()]
        self.model = apsw.Connection(str(Path(self.folder.name) / "model.sqlite"))
        self.writer: int | None = None
        self.savepoints = 0
        for connection in (self.ours[0], self.model):
            connection.execute(f"PRAGMA page_size={page_size}")
            connection.execute(f"PRAGMA auto_vacuum={auto_vacuum}")
            connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB, tag TEXT)")
            connection.execute("CREATE INDEX by_tag ON t(tag)")

    def _connect(self) -> apsw.Connection:
        return apsw.Connection(NAME, vfs=S3VFS(self.store, settings=self.settings).name)

    def _do(self, sql: str, bindings: tuple[object, ...] = (), *, who: int = 0) -> None:
        writer = who if self.writer is None else self.writer
        self.ours[writer].execute(sql, bindings).fetchall()
        self.model.execute(sql, bindings).fetchall()

    @rule(
        who=st.integers(0, 1),
        seed=st.integers(0, 999),
        size=st.sampled_from([0, 10, 600, 9000, 200_000]),
    )
    def insert(self, who: int, seed: int, size: int) -> None:
        body = (str(seed).encode() * (size // len(str(seed)) + 1))[:size]
        self._do("INSERT INTO t(body, tag) VALUES(?, ?)", (body, f"tag{seed % 17}"), who=who)

    @rule(who=st.integers(0, 1), count=st.integers(1, 300))
    def insert_many(self, who: int, count: int) -> None:
        self._do(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<?) "
            "INSERT INTO t(body, tag) SELECT zeroblob(i % 200), 'many' || (i % 31) FROM n",
            (count,),
            who=who,
        )

    @rule(who=st.integers(0, 1), tag=st.integers(0, 16))
    def update(self, who: int, tag: int) -> None:
        self._do("UPDATE t SET tag = tag || '+' WHERE tag = ?", (f"tag{tag}",), who=who)

    @rule(who=st.integers(0, 1), modulus=st.integers(1, 5))
    def delete(self, who: int, modulus: int) -> None:
        self._do("DELETE FROM t WHERE id % 5 = ?", (modulus % 5,), who=who)

    @rule(who=st.integers(0, 1))
    def failing_statement_undoes_itself_only(self, who: int) -> None:
        for connection in (self.ours[who if self.writer is None else self.writer], self.model):
            with pytest.raises(apsw.ConstraintError):
                connection.execute(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60) "
                    "INSERT INTO t(id, body) SELECT 1000000 + (i % 50), zeroblob(500) FROM n"
                )

    @precondition(lambda self: self.writer is None)
    @rule(who=st.integers(0, 1), kind=st.sampled_from(["DEFERRED", "IMMEDIATE"]))
    def begin(self, who: int, kind: str) -> None:
        self._do(f"BEGIN {kind}", who=who)
        self.writer, self.savepoints = who, 0

    @precondition(lambda self: self.writer is not None)
    @rule(how=st.sampled_from(["COMMIT", "ROLLBACK"]))
    def end(self, how: str) -> None:
        self._do(how)
        self.writer = None

    @precondition(lambda self: self.writer is not None)
    @rule()
    def savepoint(self) -> None:
        self.savepoints += 1
        self._do(f"SAVEPOINT s{self.savepoints}")

    @precondition(lambda self: self.writer is not None and self.savepoints > 0)
    @rule(how=st.sampled_from(["RELEASE", "ROLLBACK TO"]))
    def end_savepoint(self, how: str) -> None:
        self._do(f"{how} s{self.savepoints}")
        if how == "RELEASE":
            self.savepoints -= 1

    @precondition(lambda self: self.writer is None)
    @rule(who=st.integers(0, 1), page_size=st.sampled_from([None, *PAGE_SIZES]))
    def vacuum(self, who: int, page_size: int | None) -> None:
        if page_size:
            self._do(f"PRAGMA page_size={page_size}", who=who)
        self._do("VACUUM", who=who)

    @precondition(lambda self: self.writer is None)
    @rule(who=st.integers(0, 1))
    def incremental_vacuum(self, who: int) -> None:
        self._do("PRAGMA incremental_vacuum(3)", who=who)

    @precondition(lambda self: self.writer is None)
    @rule(who=st.integers(0, 1), mode=st.sampled_from(JOURNAL_MODES[:4]))
    def journal_mode(self, who: int, mode: str) -> None:
        self.ours[who].execute(f"PRAGMA journal_mode={mode}").fetchall()

    @rule(who=st.integers(0, 1), pages=st.sampled_from([2, 5, 2000]))
    def cache_size(self, who: int, pages: int) -> None:
        self.ours[who].execute(f"PRAGMA cache_size={pages}").fetchall()

    @precondition(lambda self: self.writer is None)
    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        self.ours[who].close()
        self.ours[who] = self._connect()

    @precondition(lambda self: self.writer is None)
    @rule(who=st.integers(0, 1))
    def import_of_the_serialized_file(self, who: int) -> None:
        """The backup goes through a file, and the content must stay what it is."""
        vfs = S3VFS(self.store, settings=self.settings)
        vfs.deserialize_iter(NAME, list(vfs.serialize_iter(NAME)))

    @precondition(lambda self: self.writer is None)
    @rule()
    def serialized_file_is_whole(self) -> None:
        path = Path(self.folder.name) / "serialized.sqlite"
        path.write_bytes(b"".join(S3VFS(self.store, settings=self.settings).serialize_iter(NAME)))
        plain = apsw.Connection(str(path))
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute(CONTENT).fetchall() == self.model.execute(CONTENT).fetchall()
        plain.close()
        path.unlink()

    @invariant()
    def readers_see_what_is_committed(self) -> None:
        if not hasattr(self, "ours"):
            return
        expected = self.model.execute(CONTENT).fetchall()
        writer = 0 if self.writer is None else self.writer
        assert self.ours[writer].execute(CONTENT).fetchall() == expected
        if self.writer is None:
            assert self.ours[1].execute(CONTENT).fetchall() == expected

    def teardown(self) -> None:
        if hasattr(self, "ours"):
            for connection in (*self.ours, self.model):
                connection.close()
            self.folder.cleanup()


class SpillingConnectionsAndAFile(TwoConnectionsAndAFile):
    """The same, where a transaction keeps a few pages in memory and uploads the rest early."""

    transaction_bytes = 20_000


def _run(
    examples: int,
    steps: int,
    machine: type[RuleBasedStateMachine] = TwoConnectionsAndAFile,
    *,
    by_chance: bool | None = None,
) -> None:
    """``by_chance`` tries other examples in each run; where it is not said the profile decides."""
    same_each_time = settings.default.derandomize if by_chance is None else not by_chance
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            derandomize=same_each_time,
        ),
    )


@pytest.mark.slow
def test_two_connections_and_a_plain_file_never_differ() -> None:
    """Random statements on two connections and on plain SQLite, compared after each."""
    _run(examples=40, steps=30)


@pytest.mark.slow
def test_transactions_that_outgrow_their_memory_never_differ() -> None:
    """Random statements in transactions that are uploaded in part before they end."""
    _run(examples=15, steps=25, machine=SpillingConnectionsAndAFile)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_transactions_that_outgrow_their_memory_never_differ_for_long() -> None:
    """The same for many more examples."""
    _run(examples=1000, steps=60, machine=SpillingConnectionsAndAFile, by_chance=True)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_connections_and_a_plain_file_never_differ_for_long() -> None:
    """The same for many more examples."""
    _run(examples=1500, steps=60, by_chance=True)

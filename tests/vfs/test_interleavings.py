"""Random transactions of three connections, step by step, against a model of what each must see."""

from __future__ import annotations

import random
from collections.abc import Callable

import apsw
import pytest

from sqlite_s3vfs.vfs.s3vfs import S3VFS

Rows = dict[int, str]


class Truth:
    """The committed rows, and a number that grows with every commit."""

    def __init__(self) -> None:
        self.rows: Rows = {}
        self.commits = 0


class Actor:
    """One connection, and what it must see."""

    def __init__(self, connection: apsw.Connection, truth: Truth, chance: random.Random) -> None:
        self.connection = connection
        self.truth = truth
        self.chance = chance
        self.view: Rows | None = None  # inside a transaction that has read
        self.base = 0
        self.wrote = False
        self.savepoints: list[Rows] = []
        self.conflicts = 0

    def step(self) -> None:
        in_transaction = self.connection.in_transaction
        steps = [self.read] * 3 + [self.write] * 4 + [self.spill]
        if in_transaction:
            steps += [self.commit] * 4 + [self.rollback, self.savepoint, self.rollback_to]
        else:
            steps += [self.begin] * 4 + [self.vacuum, self.begin_immediate]
        self.chance.choice(steps)()

    def begin(self) -> None:
        self.connection.execute("BEGIN")

    def begin_immediate(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self._look()

    def read(self) -> None:
        expected = self._look()
        rows = dict(self.connection.execute("SELECT id, v FROM t ORDER BY id"))
        assert rows == expected
        self._statement_ended()

    def write(self) -> None:
        key, value = (
            self.chance.randrange(30),
            self.chance.randbytes(8).hex() * self.chance.choice((1, 400)),
        )
        self._change("INSERT OR REPLACE INTO t VALUES (?, ?)", (key, value), {key: value})

    def spill(self) -> None:
        value = self.chance.randbytes(4).hex() * 300
        self._look()
        self._change("UPDATE t SET v = ?", (value,), dict.fromkeys(self._look(), value))

    def vacuum(self) -> None:
        self.connection.pragma("page_size", self.chance.choice((512, 1024, 4096, 16384)))
        self._change("VACUUM", (), {}, force=True)

    def savepoint(self) -> None:
        self.connection.execute("SAVEPOINT s")
        self.savepoints.append(dict(self._look()) if self.view is not None else {})
        if self.view is None:
            self.savepoints.pop()
            self.connection.execute("RELEASE s")

    def rollback_to(self) -> None:
        if self.savepoints and self.view is not None:
            self.connection.execute("ROLLBACK TO s")
            self.view = dict(self.savepoints[-1])

    def commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except apsw.BusyError as error:
            self._conflict(error)
        else:
            self._committed()

    def rollback(self) -> None:
        self.connection.execute("ROLLBACK")
        self._end()

    def _change(
        self, sql: str, bindings: tuple[object, ...], rows: Rows, *, force: bool = False
    ) -> None:
        autocommit = not self.connection.in_transaction
        view = self._look()
        try:
            self.connection.execute(sql, bindings)
        except apsw.BusyError as error:
            self._conflict(error)
            return
        view.update(rows)
        self.wrote = self.wrote or bool(rows) or force
        if autocommit:
            self._committed()

    def _look(self) -> Rows:
        if self.view is None:
            self.view = dict(self.truth.rows)
            self.base = self.truth.commits
        return self.view

    def _statement_ended(self) -> None:
        if not self.connection.in_transaction:
            self._end()

    def _committed(self) -> None:
        if self.wrote:
            assert self.base == self.truth.commits, "a superseded transaction was committed"
            assert self.view is not None
            self.truth.rows = dict(self.view)
            self.truth.commits += 1
        self._end()

    def _conflict(self, error: apsw.BusyError) -> None:
        assert error.extendedresult == apsw.SQLITE_BUSY_SNAPSHOT
        assert self.base < self.truth.commits, "refused without a reason"
        self.conflicts += 1
        if self.connection.in_transaction:  # refused at the first write: the reader goes on
            self.connection.execute("ROLLBACK")
        self._end()

    def _end(self) -> None:
        self.view, self.wrote, self.savepoints = None, False, []


@pytest.mark.parametrize("journal_mode", ["DELETE", "TRUNCATE", "PERSIST", "MEMORY"])
@pytest.mark.parametrize("seed", range(5))
def test_three_connections_see_what_the_model_says(
    make_vfs: Callable[..., S3VFS], journal_mode: str, seed: int
) -> None:
    """Spills, savepoints, VACUUM with other page sizes; each connection as if in its own process."""
    chance = random.Random(f"{journal_mode} {seed}")
    truth = Truth()
    actors = []
    for _ in range(3):
        connection = apsw.Connection("db.sqlite", vfs=make_vfs(block_size=4097).name)
        connection.pragma("journal_mode", journal_mode)
        connection.pragma("cache_size", chance.choice((2, 5, 1000)))
        connection.pragma("synchronous", chance.choice(("OFF", "NORMAL", "FULL", "EXTRA")))
        connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v TEXT)")
        actors.append(Actor(connection, truth, chance))

    for _ in range(150):
        chance.choice(actors).step()

    for actor in actors:
        if actor.connection.in_transaction:
            actor.rollback()
        actor.read()
        assert actor.connection.pragma("integrity_check") == "ok"
        actor.connection.close()
    assert truth.commits > 20
    assert sum(actor.conflicts for actor in actors) > 0

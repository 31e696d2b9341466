"""Stored objects that are missing, damaged, cut, swapped or foreign: an error that names them, never
wrong rows, and all is well again once the object is put back."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import apsw
import pytest

from errors.conftest import MakeVFS, Open
from errors.expect import check_error, check_message, objects, refused, untouched
from errors.operations import READING, WRITING
from errors.sample import SMALL, plain_file, read_all
from sqlite_s3vfs.errors import CorruptError, UnsupportedFormatError
from sqlite_s3vfs.format.envelope import HEADER_SIZE, envelope_end
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.store.port import Fetched, ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

pytestmark = pytest.mark.usefixtures("_no_waiting")

SPREAD = {"manifest": 25, "segments": 12, "maps": 25, "history": 5}
"""How many bytes all over an object are changed, each in turn."""
KINDS = ("manifest", "segments", "maps", "history")
VERSION_AT = 8
"""Where an object holds the version of the format: a byte changed there speaks of a newer release."""
CODES = {CorruptError: apsw.SQLITE_CORRUPT, UnsupportedFormatError: apsw.SQLITE_NOTADB}
NEEDED = ("manifest", "segments", "maps")
"""What a reader of the newest version needs."""

Objects = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Stored:
    """A database as objects, by their keys without its name, and what it holds."""

    objects: Objects
    rows: list[tuple[int, object]]
    file: bytes

    def of_kind(self, kind: str) -> str:
        """The largest object of a kind."""
        keys = [key for key in self.objects if key.split("/")[0] == kind]
        return max(keys, key=lambda key: len(self.objects[key]))


@dataclass(slots=True)
class Planted:
    """The same database in a store."""

    stored: Stored
    store: ObjectStore
    name: str

    def key(self, kind: str) -> str:
        return f"{self.name}/{self.stored.of_kind(kind)}"

    def body(self, kind: str) -> bytes:
        return self.stored.objects[self.stored.of_kind(kind)]

    def put_back(self, kind: str) -> None:
        self.store.put(self.key(kind), self.body(kind))


def build(seed: int) -> Stored:
    """A database with everything that the format has: a map in pieces, a tail, history.

    Every stored block is live, so that whoever reads the whole database reads each of them.
    """
    store = MemoryObjectStore()
    vfs = S3VFS(store, settings=Settings(block_size=512))
    noise = random.Random(seed)
    plain = apsw.Connection(":memory:")
    plain.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body); CREATE INDEX i ON t (body)")
    with plain:
        text = [b"words and " * 50] * 500                       # so that some blocks are compressed
        bodies = ((body,) for body in [*text, *(noise.randbytes(500) for _ in range(500))])
        plain.executemany("INSERT INTO t (body) VALUES (?)", bodies)
    connection = apsw.Connection("db", vfs=vfs.name)
    connection.execute("CREATE TABLE t (v)")
    vfs.deserialize_iter("db", [plain.serialize("main")])
    connection.execute("UPDATE t SET body = ? WHERE id = 7", (noise.randbytes(500),))
    connection.execute(SMALL.replace("7", "700"))
    found = {row.key.removeprefix("db/"): store.get(row.key) for row in store.list("db/")}
    stored = Stored(
        {key: answer.body for key, answer in found.items() if isinstance(answer, Fetched)},
        read_all(connection),
        b"".join(vfs.serialize_iter("db")),
    )
    connection.close()
    vfs.close()
    return stored


@pytest.fixture(scope="module")
def stored() -> Stored:
    return build(1)


@pytest.fixture(scope="module")
def other() -> Stored:
    """Another database of the same kind."""
    return build(2)


def plant(stored: Stored, store: ObjectStore, name: str) -> Planted:
    for key, body in stored.objects.items():
        store.put(f"{name}/{key}", body)
    return Planted(stored, store, name)


@pytest.fixture
def planted(stored: Stored, any_store: ObjectStore, prefix: str) -> Planted:
    return plant(stored, any_store, f"{prefix}db")


@pytest.fixture
def in_memory(stored: Stored) -> Planted:
    return plant(stored, MemoryObjectStore(), "db")


def look(vfs: S3VFS, planted: Planted, key: str, position: int) -> set[str]:
    """Read in several ways: each gives what is right, or an error that names ``key``. Which failed."""
    connection = apsw.Connection(planted.name, vfs=vfs.name)
    stored = planted.stored
    ways: dict[str, tuple[Callable[[], object], object]] = {
        "rows": (lambda: connection.execute("SELECT id, body FROM t").fetchall(), stored.rows),
        "count": (lambda: connection.execute("SELECT count(*) FROM t").get, len(stored.rows)),
        "check": (lambda: connection.pragma("integrity_check"), "ok"),
        "serialize": (lambda: b"".join(vfs.serialize_iter(planted.name)), stored.file),
    }
    failed = set()
    for way, (read, right) in ways.items():
        try:
            found = read()
        except (apsw.Error, CorruptError) as error:
            failed.add(way)
            ours = CorruptError if position != VERSION_AT else UnsupportedFormatError
            code = None if isinstance(error, CorruptError) else CODES[ours]
            check_error(error, ours, code, key)
        else:
            assert found == right, way
    connection.close()
    return failed


def flipped(body: bytes, position: int) -> bytes:
    """One byte is another one."""
    damaged = bytearray(body)
    damaged[position] ^= 0x40
    return bytes(damaged)


def spread(body: bytes, count: int) -> list[int]:
    """Bytes in each part of the header, right behind it, at the end, and ``count`` all over."""
    chosen = random.Random(3).sample(range(len(body)), count)
    header = {0, 8, 10, 11, 12, 16, 24, 40, 48, HEADER_SIZE - 1}
    return sorted({*header, HEADER_SIZE, len(body) - 1, *chosen})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_byte_anywhere_is_noticed_by_whoever_reads_it(
    in_memory: Planted, make_vfs: MakeVFS, kind: str
) -> None:
    """Whoever does not need that byte reads what is right."""
    key, body = in_memory.key(kind), in_memory.body(kind)
    unread = envelope_end(body) if kind == "segments" else 0
    for position in spread(body, SPREAD[kind]):
        in_memory.store.put(key, flipped(body, position))
        vfs = make_vfs(in_memory.store)

        failed = look(vfs, in_memory, key, position)

        if kind == "history" or position < unread:
            assert failed == set()
        elif kind == "segments":
            assert "serialize" in failed, position
        else:
            assert failed == {"rows", "count", "check", "serialize"}, position
        vfs.close()


def cut(length: float) -> Callable[[Planted, str, Stored], bytes]:
    return lambda planted, kind, other: planted.body(kind)[: int(len(planted.body(kind)) * length)]


MISTAKES: dict[str, Callable[[Planted, str, Stored], bytes | None]] = {
    "missing": lambda planted, kind, other: None,
    "empty": lambda planted, kind, other: b"",
    "one byte": lambda planted, kind, other: planted.body(kind)[:1],
    "only the header": lambda planted, kind, other: planted.body(kind)[:HEADER_SIZE],
    "half": cut(0.5),
    "last byte lost": lambda planted, kind, other: planted.body(kind)[:-1],
    "zeros": lambda planted, kind, other: bytes(len(planted.body(kind))),
    "a web page": lambda planted, kind, other: b"<html><body>It works!</body></html>" * 99,
    "a SQLite file": lambda planted, kind, other: plain_file(),
    "of another database": lambda planted, kind, other: other.objects[other.of_kind(kind)],
    "a manifest": lambda planted, kind, other: planted.body("manifest"),
    "a segment": lambda planted, kind, other: planted.body("segments"),
    "a map piece": lambda planted, kind, other: planted.body("maps"),
    "a history object": lambda planted, kind, other: planted.body("history"),
}
STORES = ("memory", "directory", "minio")
ON_MINIO = ("missing", "half", "a web page", "of another database")


def everywhere(without: tuple[str, ...] = ()) -> list[object]:
    """Each mistake once, and some on every store; on MinIO, which takes long, only when asked."""
    rows = [("memory", mistake) for mistake in MISTAKES]
    rows += [(store, mistake) for store in ("directory", "minio") for mistake in ON_MINIO]
    return [
        pytest.param(*row, marks=[pytest.mark.long] if row[0] == "minio" else [])
        for row in rows
        if row[1] not in without
    ]


def each_store(*values: str) -> list[object]:
    """Every store, with each of the values; MinIO likewise."""
    return [
        pytest.param(store, *value, marks=[pytest.mark.long] if store == "minio" else [])
            for store in STORES
        for value in ([(value,) for value in values] or [()])
    ]


OF_THEIR_OWN = {
    ("a manifest", "manifest"),
    ("a segment", "segments"),
    ("a map piece", "maps"),
}


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize(("any_store", "mistake"), everywhere(), indirect=["any_store"])
def test_the_wrong_object_is_an_error_and_the_right_one_put_back_is_well(
    planted: Planted,
    other: Stored,
    make_vfs: MakeVFS,
    open_through: Open,
    kind: str,
    mistake: str,
) -> None:
    if (mistake, kind) in OF_THEIR_OWN:
        pytest.skip("this is the right object")
    key, name, store = planted.key(kind), planted.name, planted.store
    fresh = make_vfs(store)
    connection = open_through(fresh, name)
    wrong = MISTAKES[mistake](planted, kind, other)
    if wrong is None:
        store.delete([key])
    else:
        store.put(key, wrong)
    named = name if (kind, mistake) == ("manifest", "of another database") else key

    with untouched(store, name):
        for sql in ("SELECT * FROM t", "DELETE FROM t", "VACUUM", "PRAGMA integrity_check"):
            with refused(CorruptError, apsw.SQLITE_CORRUPT, named):
                connection.execute(sql).fetchall()
            assert not connection.in_transaction
        with refused(CorruptError, None, named):
            list(fresh.serialize_iter(name))

    planted.put_back(kind)
    assert read_all(connection) == planted.stored.rows
    assert b"".join(fresh.serialize_iter(name)) == planted.stored.file
    connection.execute(SMALL)
    assert read_all(open_through(make_vfs(store), name)) == read_all(connection) != planted.stored.rows


@pytest.mark.parametrize(
    ("any_store", "mistake"),
    everywhere(without=("a manifest", "of another database")),
    indirect=["any_store"],
)
def test_a_connection_at_work_meets_a_wrong_manifest(
    planted: Planted, other: Stored, make_vfs: MakeVFS, open_through: Open, mistake: str
) -> None:
    """It has read everything already; its transaction goes on, and the next one fails."""
    key, store = planted.key("manifest"), planted.store
    connection = open_through(make_vfs(store), planted.name)
    assert read_all(connection) == planted.stored.rows
    connection.execute("BEGIN; SELECT * FROM sqlite_schema").fetchall()
    wrong = MISTAKES[mistake](planted, "manifest", other)
    if wrong is None:
        store.delete([key])
    else:
        store.put(key, wrong)

    assert read_all(connection) == planted.stored.rows
    with untouched(store, planted.name):
        with pytest.raises(apsw.Error) as caught:
            connection.execute(SMALL).execute("COMMIT")
        check_message(caught.value.__cause__ or caught.value)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for sql in ("SELECT * FROM t", SMALL):
            with refused(CorruptError, apsw.SQLITE_CORRUPT, key):
                connection.execute(sql)

    planted.put_back("manifest")
    assert read_all(connection) == planted.stored.rows
    connection.execute(SMALL)
    assert connection.execute("SELECT body FROM t WHERE id = 7").get == "small"


@pytest.mark.parametrize("any_store", each_store(), indirect=True)
def test_a_database_that_is_replaced_as_a_whole_is_another_database(
    planted: Planted, other: Stored, make_vfs: MakeVFS, open_through: Open
) -> None:
    """All objects of one are copied over another, as from a backup: no mix of the two is ever seen."""
    store = planted.store
    connection = open_through(make_vfs(store), planted.name)
    assert read_all(connection) == planted.stored.rows
    connection.execute("BEGIN IMMEDIATE").execute(SMALL)

    plant(other, store, planted.name)

    with pytest.raises(apsw.Error) as caught:
        connection.execute("COMMIT")
    assert caught.value.__cause__ is not None
    assert not connection.in_transaction
    assert read_all(connection) == other.rows
    connection.execute(SMALL)
    assert read_all(open_through(make_vfs(store), planted.name)) == read_all(connection)


@pytest.mark.parametrize(("any_store", "mistake"), everywhere(), indirect=["any_store"])
def test_wrong_history_keeps_nobody_from_reading_and_writing(
    planted: Planted, other: Stored, make_vfs: MakeVFS, open_through: Open, mistake: str
) -> None:
    wrong = MISTAKES[mistake](planted, "history", other)
    if wrong is None:
        planted.store.delete([planted.key("history")])
    else:
        planted.store.put(planted.key("history"), wrong)
    connection = open_through(make_vfs(planted.store), planted.name)

    assert read_all(connection) == planted.stored.rows
    connection.execute("UPDATE t SET body = randomblob(500) WHERE id < 300")

    assert read_all(connection) == read_all(open_through(make_vfs(planted.store), planted.name))


@pytest.mark.parametrize(
    ("any_store", "kind"),
    [*each_store("segments"), *itertools.product(STORES, ("manifest", "maps"))],
    indirect=["any_store"],
)
def test_every_operation_says_so(
    planted: Planted, make_vfs: MakeVFS, kind: str
) -> None:
    """Reading and writing through every door; what does not need the object works."""
    key, store = planted.key(kind), planted.store
    store.put(key, flipped(planted.body(kind), -1))

    for name, operation in {**READING, **WRITING}.items():
        vfs = make_vfs(store)
        before = objects(store, planted.name)
        try:
            operation.run(vfs, planted.name)
        except (apsw.Error, CorruptError) as error:
            check_error(error, CorruptError, operation.code and apsw.SQLITE_CORRUPT, key)
            assert objects(store, planted.name) == before, name
        else:
            assert kind != "manifest", name
            for lost in objects(store, planted.name).keys() - before.keys():
                store.delete([lost])
            planted.put_back("manifest")


def test_zeros_are_never_read_in_the_place_of_what_is_missing(
    planted: Planted, make_vfs: MakeVFS, open_through: Open
) -> None:
    """Objects vanish one after the other under a connection that reads page by page."""
    store, stored = planted.store, planted.stored
    right = dict(stored.rows)

    def by_key() -> Iterator[tuple[str, apsw.Connection]]:
        for suffix in stored.objects:
            key = f"{planted.name}/{suffix}"
            store.delete([key])
            yield key, open_through(make_vfs(store), planted.name)
            store.put(key, stored.objects[suffix])

    for key, connection in by_key():
        for wanted in range(1, 1000, 100):
            try:
                found = connection.execute("SELECT body FROM t WHERE id = ?", (wanted,)).get
            except apsw.Error as error:
                check_error(error, CorruptError, apsw.SQLITE_CORRUPT, key)
            else:
                assert found == right[wanted]

"""Interior pages and index leaves, as SQLite writes them and as nobody does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqlite_s3vfs.format.btree import IndexLeaf, InteriorNode, varint

PAGE = 512


def database(path: Path, script: str, rows: list[tuple[object, ...]]) -> tuple[bytes, dict[str, int]]:
    connection = sqlite3.connect(path)
    connection.executescript(f"PRAGMA page_size={PAGE}; {script}")
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.commit()
    roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    connection.close()
    return path.read_bytes(), roots


def page(file: bytes, number: int) -> bytes:
    return file[(number - 1) * PAGE : number * PAGE]


def test_the_children_of_a_table_have_the_rows_that_its_keys_tell(tmp_path: Path):
    rowids = [*range(-400, 0, 4), *range(0, 10**15, 10**13)]
    file, roots = database(tmp_path / "t", "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
                           [(rowid, "x" * 60) for rowid in rowids])
    node = InteriorNode(roots["t"], page(file, roots["t"]))

    assert node.is_table
    assert len(node.children) > 10
    for rowid in rowids:
        leaf = page(file, node.children[node.position_of(rowid)])
        cells = int.from_bytes(leaf[3:5], "big")
        offsets = [int.from_bytes(leaf[8 + 2 * n : 10 + 2 * n], "big") for n in range(cells)]
        found = [varint(leaf, varint(leaf, offset)[1])[0] for offset in offsets]
        assert rowid % 2**64 in found


@pytest.mark.parametrize("factor", [1, -3, 1 << 33])
def test_the_children_of_an_index_have_the_numbers_that_its_keys_tell(tmp_path: Path, factor: int):
    rows = [(n * factor, "x" * 40) for n in range(-400, 400)]
    file, roots = database(tmp_path / "t", "CREATE TABLE t (a, b); CREATE INDEX i ON t (a, b)", rows)
    node = InteriorNode(roots["i"], page(file, roots["i"]))
    assert node.child_count == len(node.children) > 1

    for number, _ in rows[::7]:
        position = node.position_of(number)
        low, high = node.number_at(position - 1), node.number_at(position)
        assert (low is None) == (position == 0)
        assert (high is None) == (position == node.child_count - 1)
        assert low is None or low < number
        assert high is None or number <= high


def test_an_index_of_text_has_no_numbers(tmp_path: Path):
    rows = [(f"{n:050}", n) for n in range(400)]
    file, roots = database(tmp_path / "t", "CREATE TABLE t (a, b); CREATE INDEX i ON t (a, b)", rows)

    node = InteriorNode(roots["i"], page(file, roots["i"]))

    assert {node.number_at(position) for position in range(-1, node.child_count + 1)} == {None}


def test_an_index_leaf_names_keys_and_rows(tmp_path: Path):
    values = [None, 0, 1, 2, -1, 300, 70_000, 1 << 40, 1.5, "text", b"blob"]
    rows = [(n - 3, value) for n, value in enumerate(values)]
    file, roots = database(
        tmp_path / "t", "CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b)", rows
    )

    leaf = IndexLeaf(roots["i"], page(file, roots["i"]))

    order = sqlite3.connect(tmp_path / "t").execute("SELECT a FROM t ORDER BY b").fetchall()
    assert [rowid for _, rowid in leaf.entries] == [rowid for (rowid,) in order]
    assert len({key for key, _ in leaf.entries}) == len(values)


def test_equal_first_columns_have_equal_keys(tmp_path: Path):
    file, roots = database(
        tmp_path / "t", "CREATE TABLE t (a, b); CREATE INDEX i ON t (a, b)",
        [("same", n) for n in range(5)] + [("other", n) for n in range(3)],
    )

    entries = IndexLeaf(roots["i"], page(file, roots["i"])).entries

    assert [key for key, _ in entries] == [entries[0][0]] * 3 + [entries[3][0]] * 5
    assert entries[0][0] != entries[3][0]


def test_entries_that_go_on_elsewhere_are_left_out(tmp_path: Path):
    file, roots = database(
        tmp_path / "t", "CREATE TABLE t (a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t (b)",
        [(1, "short"), (2, "x" * 400)],
    )

    assert [rowid for _, rowid in IndexLeaf(roots["i"], page(file, roots["i"])).entries] == [1]


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=3))
def test_numbers_of_variable_length(number: int, before: bytes):
    if number >> 56:
        encoded = bytes(0x80 | number >> (8 + 7 * place) & 0x7F for place in range(7, -1, -1))
        encoded += bytes([number & 0xFF])
    else:
        septets = [number >> 7 * place & 0x7F for place in range(8)]
        while len(septets) > 1 and not septets[-1]:
            septets.pop()
        encoded = bytes([*(0x80 | septet for septet in septets[:0:-1]), septets[0]])

    assert varint(before + encoded, len(before)) == (number, len(before) + len(encoded))


kinds = st.sampled_from([0, 1, 2, 5, 10, 13, 255])


@given(kinds, st.binary(max_size=600), st.integers(1, 3), st.integers(-5, 5))
@example(10, bytes([0, 0, 0, 1, 0, 0, 0, 0, 10, 3, 9, 9, 9]), 2, 0)
def test_any_bytes_give_an_answer(kind: int, content: bytes, number: int, rowid: int):
    content = bytes([kind]) + content
    node, leaf = InteriorNode(number, content), IndexLeaf(number, content)

    assert all(isinstance(child, int) for child in node.children)
    assert node.number_at(0) is None or isinstance(node.number_at(0), int)
    assert 0 <= node.position_of(rowid) <= max(len(node.children) - 1, 255 * 256)
    assert all(isinstance(found, int) for _, found in leaf.entries)
    assert node.positions.keys() == set(node.children)

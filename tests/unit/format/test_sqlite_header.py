from __future__ import annotations

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqlite_s3vfs.format.sqlite_header import (
    CHANGE_COUNTER,
    HEADER_SIZE,
    INDEX_INTERIOR,
    TABLE_INTERIOR,
    is_interior_page,
    page_type,
    parse_header,
    raised_above,
    without_wal,
)


def database(*statements: str, page_size: int = 4096) -> bytes:
    connection = apsw.Connection(":memory:")
    connection.execute(f"pragma page_size = {page_size}")
    for statement in statements:
        connection.execute(statement)
    image = connection.serialize("main")
    connection.close()
    return image


@pytest.mark.parametrize("page_size", [512 << power for power in range(8)])
def test_the_header_of_a_real_database(page_size: int):
    image = database("create table t(a)", "create table u(a)", page_size=page_size)

    header = parse_header(image)

    assert header is not None
    assert header.page_size == page_size
    assert header.size == len(image) == 3 * page_size
    assert header.schema_cookie == 2
    assert not header.uses_wal


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda rest: b"SQLite format 3\x00" + rest))
def test_any_bytes_give_a_header_or_none(page: bytes):
    header = parse_header(page)

    assert header is None or header.page_size in {512 << power for power in range(8)}


def test_a_count_is_not_trusted_where_its_writer_was_not_the_last():
    image = bytearray(database("create table t(a)"))
    image[CHANGE_COUNTER] = b"\x00\x00\x01\x00"

    header = parse_header(image)

    assert header is not None
    assert (header.page_count, header.size) == (0, 0)


def test_wal_mode_is_seen_and_turned_off():
    image = database("create table t(a)")
    wal = image[:18] + b"\x02\x02" + image[20:]
    found, turned = parse_header(wal), parse_header(without_wal(wal))

    assert found is not None
    assert found.uses_wal
    assert turned is not None
    assert not turned.uses_wal
    assert without_wal(wal) == image


counters = st.integers(0, (1 << 32) - 1)


@given(counters, counters, counters, counters)
@example((1 << 32) - 1, 0, 0, (1 << 32) - 1)
def test_raised_counters_differ_from_every_replaced_one(own, replaced, own_cookie, replaced_cookie):
    """SQLite compares both for equality only; they count modulo 2^32."""
    page = header_with(own, own_cookie)
    before = parse_header(header_with(replaced, replaced_cookie))
    assert before is not None

    raised = parse_header(raised_above(page, before))

    assert raised is not None
    assert raised.change_counter not in (own, replaced)
    assert raised.schema_cookie not in (own_cookie, replaced_cookie)
    assert raised.page_count == before.page_count


@given(counters, counters)
def test_raising_touches_twelve_bytes_only(own: int, replaced: int):
    page = header_with(own, 7)
    before = parse_header(header_with(replaced, 7))
    assert before is not None

    raised = raised_above(page, before)

    spared = [*range(24), *range(28, 40), *range(44, 92), *range(96, len(page))]
    assert all(page[place] == raised[place] for place in spared)


def header_with(counter: int, cookie: int) -> bytes:
    page = bytearray(database("create table t(a)")[:4096])
    page[24:28] = page[92:96] = counter.to_bytes(4, "big")
    page[40:44] = cookie.to_bytes(4, "big")
    return bytes(page)


def test_interior_pages_of_tables_and_indexes_are_told_by_their_first_byte():
    image = database(
        "create table t(a primary key)",
        "with recursive n(i) as (values(1) union all select i + 1 from n where i < 400) "
        "insert into t select hex(randomblob(20)) from n",
        page_size=512,
    )
    pages = {offset // 512 + 1: image[offset : offset + 512] for offset in range(0, len(image), 512)}

    types = {number: page_type(page, number) for number, page in pages.items()}

    assert types[1] == page_type(image, 1) == image[HEADER_SIZE]
    interior = {number for number, page in pages.items() if is_interior_page(page, number)}
    assert {types[number] for number in interior} == {TABLE_INTERIOR, INDEX_INTERIOR}
    assert page_type(b"", 2) == page_type(bytes(100), 1) == 0

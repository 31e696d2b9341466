"""The overlay against a plain byte array."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlite_s3vfs.planning.overlay import Overlay

PAGE_SIZES = [512 << power for power in range(8)]


@dataclass(frozen=True)
class Write:
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    size: int


Operation = Write | Truncate


def model_of(base: bytes, operations: list[Operation]) -> bytearray:
    """What a file would be: gaps and regrown parts are zeros."""
    file = bytearray(base)
    for operation in operations:
        match operation:
            case Write(offset, data):
                file.extend(bytes(max(0, offset + len(data) - len(file))))
                file[offset : offset + len(data)] = data
            case Truncate(size):
                del file[size:]
                file.extend(bytes(size - len(file)))
    return file


def overlay_of(base: bytes, unit_size: int, operations: list[Operation]) -> Overlay:
    overlay = Overlay(unit_size, len(base), lambda offset, size: base[offset : offset + size])
    for operation in operations:
        match operation:
            case Write(offset, data):
                overlay.write(offset, data)
            case Truncate(size):
                overlay.truncate(size)
    return overlay


def noise(size: int, seed: int) -> bytes:
    """Bytes of which none is zero."""
    cycle = bytes(range(1, 256)) * 2
    start = seed % 255
    return (cycle[start : start + 255] * (size // 255 + 1))[:size]


@st.composite
def runs(draw: st.DrawFn) -> tuple[bytes, int, list[Operation]]:
    """A base, a unit size, and what is done: mostly whole pages of one size, as SQLite writes."""
    unit_size = draw(st.sampled_from([512, 1024, 4096]))
    base = noise(draw(st.integers(0, 6)) * unit_size + draw(st.sampled_from([0, 0, 0, 100])), 3)
    write_size = draw(st.sampled_from([unit_size, unit_size, unit_size * 2, unit_size // 2]))
    operations: list[Operation] = []
    for step in range(draw(st.integers(1, 10))):
        kind = draw(st.sampled_from(["page", "page", "page", "part", "truncate", "truncate anywhere"]))
        page = draw(st.integers(0, 8))
        match kind:
            case "page":
                operations.append(Write(page * write_size, noise(write_size, step * 11)))
            case "part":
                size = draw(st.integers(0, 3 * unit_size))
                operations.append(Write(draw(st.integers(0, 8 * unit_size)), noise(size, step * 11)))
            case "truncate":
                operations.append(Truncate(page * write_size))
            case _:
                operations.append(Truncate(draw(st.integers(0, 8 * unit_size))))
    return base, unit_size, operations


@given(runs(), st.data())
@settings(max_examples=150)
def test_an_overlay_reads_as_a_file_would(run, data):
    base, unit_size, operations = run
    overlay, model = overlay_of(base, unit_size, operations), model_of(base, operations)

    offset = data.draw(st.integers(0, len(model) + 10))
    size = data.draw(st.integers(0, len(model) + 10))

    assert overlay.size == len(model)
    assert overlay.read(0, len(model) + 5) == model
    assert overlay.read(offset, size) == model[offset : offset + size]
    assert overlay.changed


@given(runs())
@settings(max_examples=150)
def test_units_over_the_visible_base_over_zeros_are_the_file(run):
    """What a commit stores: written units, of the rest the base up to ``base_limit``, then zeros."""
    base, unit_size, operations = run
    overlay = overlay_of(base, unit_size, operations)

    file = bytearray(base[: overlay.base_limit].ljust(overlay.size, b"\x00")[: overlay.size])
    for index, unit in overlay.units().items():
        assert len(unit) == overlay.unit_size
        start = index * overlay.unit_size
        file[start : start + overlay.unit_size] = unit[: overlay.size - start]

    assert file == model_of(base, operations)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_new_file_takes_the_page_size_of_its_first_page(page_size: int):
    overlay = Overlay(4096, 0, lambda offset, size: b"")
    pages = [noise(page_size, number) for number in range(3)]

    for index, page in enumerate(pages):
        overlay.write(index * page_size, page)

    assert overlay.unit_size == page_size
    assert dict(overlay.units()) == dict(enumerate(pages))


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_page_size_that_changes_in_place_is_seen_through(page_size: int):
    """VACUUM with another page size writes the whole file anew, in its own units."""
    base = noise(64 * 1024, 1)
    overlay = Overlay(4096, len(base), lambda offset, size: base[offset : offset + size])
    new = noise(2 * 65536, 9)

    overlay.write(0, base[:4096])                     # a page as before comes first
    for offset in range(0, len(new), page_size):
        overlay.write(offset, new[offset : offset + page_size])

    assert overlay.read(0, len(new)) == new


def test_a_shrink_hides_the_base_for_good():
    base = noise(10 * 512, 1)
    overlay = overlay_of(base, 512, [Truncate(3 * 512 + 100), Truncate(9 * 512)])

    assert overlay.base_limit == 3 * 512 + 100
    assert overlay.read(0, 9 * 512) == base[: 3 * 512 + 100].ljust(9 * 512, b"\x00")


def test_reading_a_whole_written_page_copies_nothing():
    page = noise(4096, 1)
    overlay = overlay_of(b"", 4096, [Write(4096, page)])

    assert overlay.read(4096, 4096) is page


def test_whole_pages_do_not_read_the_base():
    def read_base(offset: int, size: int) -> bytes:
        raise AssertionError("the base was read")

    overlay = Overlay(4096, 40960, read_base)
    overlay.write(8192, noise(4096, 1))
    overlay.truncate(16384)

    assert dict(overlay.units()) == {2: noise(4096, 1)}

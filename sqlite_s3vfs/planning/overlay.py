"""The pages that a transaction has written so far, on top of its base.

Bytes are kept in units of one page size. SQLite writes whole pages, but a VACUUM that changes the page
size, a journal playback and a backup may write in other units; those are cut up, and a unit written
in part is first filled from the base.

A shrink hides what lies beyond it for good: when the file grows again, bytes that are not written
again are zeros, whatever the base holds there (invariant I3).

Where a transaction is larger than memory, whole blocks leave the overlay for the store (``Spilled``).
From the top: units over spilled blocks over the visible base over zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Protocol

from sqlite_s3vfs.format.geometry import block_spans, overlapping, unit_count

ReadBase = Callable[[int, int], bytes | memoryview]


class Spilled(Protocol):
    """Blocks that have left the overlay, each as it was then."""

    @property
    def block_size(self) -> int: ...

    def __contains__(self, block: object) -> bool: ...

    def read(self, block: int, start: int, stop: int) -> bytes:
        """Bytes of such a block; zeros behind its end."""

    def cut(self, size: int) -> None:
        """The file ends at ``size`` now: forget what lies behind it."""


class Overlay:
    """Written units by index (from 0), and the size of the file that they make."""

    __slots__ = ("_base_limit", "_read_base", "_units", "changed", "size", "spilled", "unit_size")

    def __init__(self, unit_size: int, size: int, read_base: ReadBase) -> None:
        self.unit_size = unit_size
        self.size = size
        self.changed = False
        self._units: dict[int, bytes] = {}
        self._read_base = read_base
        self._base_limit = size
        self.spilled: Spilled | None = None

    @property
    def held_bytes(self) -> int:
        """Memory that the written units take."""
        return len(self._units) * self.unit_size

    @property
    def base_limit(self) -> int:
        """Bytes of the base that still show through, from the start of the file."""
        return self._base_limit

    def units(self) -> Mapping[int, bytes]:
        """The written units by index, last written last. All lie in the file: a shrink cuts them."""
        return self._units

    def covers(self, block: int, block_size: int) -> bool:
        """Whether all units that the block reaches into are written."""
        return all(map(self._units.__contains__, overlapping(block, block_size, self.unit_size)))

    def shows_base(self, start: int, stop: int) -> bool:
        """Whether nothing that was written, cut off or spilled lies over these bytes of the base."""
        if stop > self._base_limit:
            return False
        if self.spilled is not None and start // self.spilled.block_size in self.spilled:
            return False
        units = range(start // self.unit_size, unit_count(stop, self.unit_size))
        return not any(map(self._units.__contains__, units))

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``, growing the file where it reaches past the end."""
        self.changed = True
        if not self._units and len(data) != self.unit_size and _is_page_size(len(data)):
            self.unit_size = len(data)
        if len(data) == self.unit_size and not offset % self.unit_size:
            self._put(offset // self.unit_size, data)
        else:
            self._write_parts(offset, data)
        self.size = max(self.size, offset + len(data))

    def truncate(self, size: int) -> None:
        """Set the size of the file."""
        self.changed = True
        if size < self.size:
            self._base_limit = min(self._base_limit, size)
            self._cut_units(size)
            if self.spilled is not None:
                self.spilled.cut(size)
        self.size = size

    def release(self, blocks: Iterable[int], spilled: Set[int], block_size: int) -> None:
        """Forget the units of ``blocks``, which have been spilled as they are now.

        A unit that reaches into a block of the file that is not in ``spilled`` as well is kept.
        """
        count, unit_size = unit_count(self.size, block_size), self.unit_size
        in_a_block, rest = divmod(block_size, unit_size)
        for block in blocks:
            if not rest:
                for index in range(block * in_a_block, (block + 1) * in_a_block):
                    self._units.pop(index, None)
                continue
            for index in overlapping(block, block_size, unit_size):
                if all(
                    other in spilled or other >= count
                    for other in overlapping(index, unit_size, block_size)
                ):
                    self._units.pop(index, None)

    def _put(self, index: int, unit: bytes) -> None:
        self._units.pop(index, None)            # to the end: units are in the order of their writes
        self._units[index] = unit

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; fewer only at its end."""
        stop = min(offset + size, self.size)
        if not offset % self.unit_size and stop - offset == self.unit_size:
            unit = self._units.get(offset // self.unit_size)
            return self._from_base(offset, self.unit_size) if unit is None else unit
        whole = _whole_units(self._units, self.unit_size, offset, stop)
        if whole is not None:
            return whole
        parts, done, unit_size = [], offset, self.unit_size
        for index in range(offset // unit_size, unit_count(stop, unit_size)):
            unit = self._units.get(index)
            if unit is None:
                continue                        # what lies between two written units is read at once
            start, end = max(offset, index * unit_size), min(stop, (index + 1) * unit_size)
            if done < start:
                parts.append(self._from_base(done, start - done))
            parts.append(unit[start - index * unit_size : end - index * unit_size])
            done = end
        if done < stop:
            parts.append(self._from_base(done, stop - done))
        return b"".join(parts)

    def _write_parts(self, offset: int, data: bytes) -> None:
        position = 0
        for index, start, stop in block_spans(offset, len(data), self.unit_size):
            part = data[position : position + stop - start]
            position += len(part)
            if len(part) < self.unit_size:
                old = self._units.get(index)
                if old is None:
                    old = self._from_base(index * self.unit_size, self.unit_size)
                part = old[:start] + part + old[stop:]
            self._put(index, part)

    def _from_base(self, offset: int, size: int) -> bytes:
        spilled = self.spilled
        if spilled is None:
            return self._visible(offset, size)
        parts = []
        for block, start, stop in block_spans(offset, size, spilled.block_size):
            if block in spilled:
                parts.append(spilled.read(block, start, stop))
            else:
                parts.append(self._visible(block * spilled.block_size + start, stop - start))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _visible(self, offset: int, size: int) -> bytes:
        visible = max(0, min(size, self._base_limit - offset))
        found = bytes(self._read_base(offset, visible)) if visible else b""
        return found.ljust(size, b"\x00")

    def _cut_units(self, size: int) -> None:
        first, inside = divmod(size, self.unit_size)
        for index in [index for index in self._units if index >= first]:
            if index == first and inside:
                self._units[index] = self._units[index][:inside].ljust(self.unit_size, b"\x00")
            else:
                del self._units[index]


def _whole_units(
    written: Mapping[int, bytes], unit_size: int, offset: int, stop: int
) -> bytes | None:
    """The bytes, where they are those of whole units that are all written: a block, mostly."""
    first, before = divmod(offset, unit_size)
    end, behind = divmod(stop, unit_size)
    if before or behind or end <= first:
        return None
    units = [unit for unit in map(written.get, range(first, end)) if unit is not None]
    return b"".join(units) if len(units) == end - first else None


def _is_page_size(size: int) -> bool:
    return 512 <= size <= 65536 and not size & (size - 1)

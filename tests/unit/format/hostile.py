"""Bytes that nobody wrote on purpose, and what may become of them."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st

from sqlite_s3vfs.errors import CorruptError

CPU_SECONDS_MAX = 2.0


def mutations(valid: bytes) -> st.SearchStrategy[bytes]:
    """``valid`` with bytes changed, cut out, doubled, or its end cut off."""
    places = st.integers(0, max(0, len(valid) - 1))
    edits = st.tuples(places, st.integers(0, 8), st.binary(max_size=8))
    return st.lists(edits, min_size=1, max_size=4).map(lambda chosen: _edited(valid, chosen))


def _edited(valid: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for place, cut, put in edits:
        valid = valid[:place] + put + valid[place + cut :]
    return valid


def gives_value_or_corrupt(decode: Callable[[], object], *, memory_max: int | None = None) -> None:
    """Decode; anything but a value or ``CorruptError`` passes through. Time and memory are bounded."""
    started = time.process_time()
    if memory_max is not None:
        tracemalloc.start()
    try:
        with suppress(CorruptError):
            decode()
        if memory_max is not None:
            peak = tracemalloc.get_traced_memory()[1]
            assert peak <= memory_max, f"{peak} bytes"
    finally:
        if memory_max is not None:
            tracemalloc.stop()
    assert time.process_time() - started < CPU_SECONDS_MAX

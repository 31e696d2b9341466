"""The block that a handle read last: most pages that SQLite asks for lie where the one before was.

They are given out without a look at the tail, the map and the cache. A window is valid in the state
that it was made in, which is one read transaction, and only shows what nothing else lies over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlite_s3vfs.vfs.states import Pinned, Reading, State


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes ``start`` to ``stop`` of the file, as ``state`` has them."""

    state: State | None = None
    start: int = 0
    stop: int = 0
    view: memoryview = field(default_factory=lambda: memoryview(b""))


def window_at(offset: int, state: State) -> Window:
    """The block around an offset, where it may be shown as it is; else an empty window. 0 requests."""
    if not isinstance(state, Reading | Pinned):
        return Window()
    start, stop, content = state.snapshot.window(offset)
    return Window(state, start, stop, memoryview(content))

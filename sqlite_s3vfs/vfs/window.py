"""The block that a handle read last: most pages that SQLite asks for lie where the one before was.

They are given out without a look at the tail, the map and the cache. A window is valid in the state
that it was made in, which is one read transaction, and only shows what nothing else lies over.
"""

from __future__ import annotations

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.readahead import ReadAhead
from sqlite_s3vfs.vfs.states import Pinned, Reading, State


class Window:
    """Bytes ``start`` to ``stop`` of the file, as ``state`` has them."""

    __slots__ = ("start", "state", "stop", "view")

    def __init__(self, state: State | None = None, start: int = 0, content: Content = b"") -> None:
        self.state = state
        self.start = start
        self.stop = start + len(content)
        self.view = memoryview(content)


def window_at(
    offset: int, size: int, state: State, ahead: ReadAhead, *, again: bool
) -> Window | None:
    """The block that bytes lie in, where it is in memory and may be shown as it is. 0 requests.

    ``ahead`` is told that the block is read, unless it was told so just now (``again``).
    """
    if not isinstance(state, Reading | Pinned):
        return None
    snapshot = state.snapshot
    block = offset // snapshot.block_size
    content = snapshot.window(block, ahead, again=again)
    start = block * snapshot.block_size
    if content is None or offset + size > start + len(content):
        return None
    return Window(state, start, content)

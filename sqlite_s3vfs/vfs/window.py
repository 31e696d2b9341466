"""The block that a handle read last: most pages that SQLite asks for lie where the one before was.

They are given out without a look at the tail, the map and the cache. A window is valid in the state
that it was made in, which is one transaction, and only shows what nothing else lies over: it is gone
where the transaction writes into it.
"""

from __future__ import annotations

from sqlite_s3vfs.cache import Content
from sqlite_s3vfs.readahead import ReadAhead
from sqlite_s3vfs.vfs.states import Pinned, Reading, State, Writing

_SHOWN = (Reading, Writing, Pinned)


class Window:
    """Bytes ``start`` to ``stop`` of the file, as ``state`` has them."""

    __slots__ = ("start", "state", "stop", "view")

    def __init__(self, state: State | None, start: int, content: Content) -> None:
        self.state = state
        self.start = start
        self.stop = start + len(content)
        self.view = memoryview(content)


NOWHERE = Window(None, 0, b"")


def window_at(
    offset: int, size: int, state: State, ahead: ReadAhead, *, again: bool
) -> Window | None:
    """The block that bytes lie in, where it is in memory and may be shown as it is. 0 requests.

    ``ahead`` is told that the block is read, unless it was told so just now (``again``).
    """
    if not isinstance(state, _SHOWN):
        return None
    snapshot = state.snapshot
    block = offset // snapshot.block_size
    start = block * snapshot.block_size
    if isinstance(state, Writing):
        stop = min(start + snapshot.block_size, snapshot.size)
        if not state.transaction.shows_base(start, stop):
            return None
    content = snapshot.window(block, ahead, again=again)
    if content is None or offset + size > start + len(content):
        return None
    return Window(state, start, content)

"""The whole contents of many blocks, one after another, with what is missing read side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set

from sqlite_s3vfs.reader.snapshot import Snapshot

BATCH_BYTES = 8 << 20
"""Bytes of blocks that are fetched at once: bounds memory, and what the cache has to hold."""

ReadBytes = Callable[[int, int], bytes | memoryview]


def block_contents(
    snapshot: Snapshot,
    blocks: Sequence[int],
    *,
    size: int,
    read: ReadBytes,
    needs_old: Callable[[int], bool],
) -> Iterator[tuple[int, bytes]]:
    """Each block with its bytes in a file of ``size`` bytes, as ``read`` gives them.

    ``needs_old`` tells the blocks that ``read`` will take at least in part from ``snapshot``.
    """
    block_size = snapshot.block_size
    for part in _batches(blocks, block_size):
        snapshot.fetch(filter(needs_old, part))
        for block in part:
            offset = block * block_size
            yield block, bytes(read(offset, min(block_size, size - offset)))


def contents_past_the_cache(
    snapshot: Snapshot, blocks: Sequence[int], cached: Set[int]
) -> Iterator[tuple[int, bytes]]:
    """Each block with its bytes, the tail over them. What is not among ``cached`` is not kept."""
    block_size, size = snapshot.block_size, snapshot.size
    for part in _batches(blocks, block_size):
        started = snapshot.start_fetch(block for block in part if block not in cached)
        contents = snapshot.fetch(block for block in part if block in cached)
        for future in started:
            contents.update(future.result())
        for block in part:
            offset = block * block_size
            length = min(block_size, size - offset)
            yield block, snapshot.assemble(offset, length, contents)


def _batches(blocks: Sequence[int], block_size: int) -> Iterator[Sequence[int]]:
    batch = max(1, BATCH_BYTES // block_size)
    return (blocks[start : start + batch] for start in range(0, len(blocks), batch))

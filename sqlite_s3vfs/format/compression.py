"""How hard it is tried to make a block smaller.

zstd notices early that noise does not become smaller, but spends its whole time on bytes that become
a few percent smaller, such as a page of photographs with some room at its end. So samples are tried
first: where they gain little, the block is compressed at a level that only looks for repetitions and is
four times as fast. What comes out is zstd in either case: readers see no difference.

Where even that gains nothing for ``_FRUITLESS_MAX`` blocks in a row, as in a file of photographs or of
encrypted bytes, only one in ``_FRUITLESS_STEP`` is still tried: the others are left as they are, until
one becomes smaller again.
"""

from __future__ import annotations

import zstandard

COMPRESSION_LEVEL = 1
QUICK_LEVEL = -5
"""Repetitions only: the bytes between them stay as they are."""

_SAMPLES = 4
_SAMPLE_SIZE = 1 << 10
_SAMPLE_OFFSET = 1536
"""Not at the start of a page: there lie its header and, often, its free room, which tell nothing."""
_FRUITLESS_MAX, _FRUITLESS_STEP = 4, 8
_GAIN_MIN = 1 / 12
"""Of the samples: with less the block is not worth the usual level."""


class BlockCompressor:
    """Compresses blocks one after another; for one thread at a time.

    Making one takes about as long as finding out that a block of 64 KiB does not become smaller.
    """

    def __init__(self) -> None:
        self._usual = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
        self._quick = zstandard.ZstdCompressor(level=QUICK_LEVEL)
        self._fruitless = 0

    def compress(self, content: bytes | memoryview) -> bytes | memoryview:
        """One zstd frame, which may be longer than the content; or the content itself."""
        if self._is_promising(content):
            self._fruitless = 0
            return self._usual.compress(content)
        if self._fruitless >= _FRUITLESS_MAX and self._fruitless % _FRUITLESS_STEP:
            self._fruitless += 1
            return content
        compressed = self._quick.compress(content)
        self._fruitless = self._fruitless + 1 if len(compressed) >= len(content) else 0
        return compressed

    def _is_promising(self, content: bytes | memoryview) -> bool:
        step = len(content) // _SAMPLES
        if step < _SAMPLE_OFFSET + _SAMPLE_SIZE:
            return True
        sample = b"".join(
            content[start : start + _SAMPLE_SIZE]
            for start in range(_SAMPLE_OFFSET, _SAMPLES * step, step)
        )
        return len(self._usual.compress(sample)) < len(sample) * (1 - _GAIN_MIN)

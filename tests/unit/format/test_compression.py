from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sqlite_s3vfs.format.compression import COMPRESSION_LEVEL, BlockCompressor

SIZE = 64 << 10
NOISE = random.Random(1).randbytes(SIZE)
HEX = NOISE[: SIZE // 2].hex().encode()


def usual(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(content)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_what_is_compressed_unfolds_again(piece: bytes, times: int):
    content = piece * times

    compressed = BlockCompressor().compress(memoryview(content))

    assert zstandard.ZstdDecompressor().decompress(compressed, max_output_size=90_000) == content
    assert zstandard.frame_content_size(compressed) == len(content)


@pytest.mark.parametrize("content", [HEX, bytes(SIZE), b"some text " * 6000, HEX[:5000], NOISE[:5000]])
def test_what_becomes_smaller_is_compressed_as_usual(content: bytes):
    assert BlockCompressor().compress(content) == usual(content)


def test_what_hardly_becomes_smaller_still_does():
    """Pages of noise with some free room after their headers."""
    content = b"".join(
        NOISE[start : start + 16] + bytes(240) + NOISE[start + 256 : start + 4096]
        for start in range(0, SIZE, 4096)
    )

    compressed = BlockCompressor().compress(content)

    assert len(usual(content)) < 0.96 * SIZE
    assert compressed != usual(content)
    assert len(compressed) < 0.96 * SIZE


def test_noise_is_left_alone():
    assert SIZE <= len(BlockCompressor().compress(NOISE)) < SIZE + 100


def test_in_a_run_of_noise_few_blocks_are_tried(monkeypatch: pytest.MonkeyPatch):
    by, tried = BlockCompressor(), []
    quick = by._quick
    monkeypatch.setattr(by, "_quick", Watched(quick, tried))
    noise = [random.Random(seed).randbytes(SIZE) for seed in range(32)]

    left_alone = [by.compress(content) is content for content in noise]

    assert len(tried) == 4 + 3
    assert left_alone.count(True) == 32 - len(tried)


def test_after_noise_what_becomes_smaller_is_compressed_again():
    by = BlockCompressor()
    for seed in range(20):
        by.compress(random.Random(seed).randbytes(SIZE))

    assert by.compress(HEX) == usual(HEX)
    assert by.compress(NOISE) is not NOISE, "the run has ended"


class Watched:
    """A compressor that notes what it is given."""

    def __init__(self, inner: zstandard.ZstdCompressor, tried: list[bytes]) -> None:
        self._inner = inner
        self._tried = tried

    def compress(self, content: bytes) -> bytes:
        self._tried.append(content)
        return self._inner.compress(content)

"""What was read is kept near: decoded in memory, and as it was stored on a local disk."""

from sqlite_s3vfs.cache.blocks import BlockCache, CachedBlock
from sqlite_s3vfs.cache.disk import DiskCache
from sqlite_s3vfs.cache.memory import BoundedCache

__all__ = ["BlockCache", "BoundedCache", "CachedBlock", "DiskCache"]

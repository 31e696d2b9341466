"""What was read is kept near: decoded in memory, and as it was stored on a local disk."""

from sqlite_s3vfs.cache.blocks import BlockCache, CachedBlock, Content
from sqlite_s3vfs.cache.disk import DiskCache
from sqlite_s3vfs.cache.memory import BoundedCache
from sqlite_s3vfs.cache.slab import Slab

__all__ = ["BlockCache", "BoundedCache", "CachedBlock", "Content", "DiskCache", "Slab"]

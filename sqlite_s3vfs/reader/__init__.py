"""Reading one version: the map, the blocks, and the snapshot that puts the tail over them."""

from sqlite_s3vfs.reader.snapshot import Snapshot

__all__ = ["Snapshot"]

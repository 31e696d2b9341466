"""Whole databases as byte streams, out of the store and into it."""

from sqlite_s3vfs.transfer.deserialize import deserialize_iter
from sqlite_s3vfs.transfer.serialize import (
    SerializedFile,
    serialize_fileobj,
    serialize_iter,
    serialize_snapshot,
)

__all__ = [
    "SerializedFile",
    "deserialize_iter",
    "serialize_fileobj",
    "serialize_iter",
    "serialize_snapshot",
]

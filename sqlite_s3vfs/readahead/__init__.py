"""Which blocks to fetch before SQLite asks for them. Pure prediction: no I/O, no clock, no threads."""

from sqlite_s3vfs.readahead.policy import TELLING, ReadAhead
from sqlite_s3vfs.readahead.view import View

__all__ = ["TELLING", "ReadAhead", "View"]

"""The versions that ``--version`` prints, with click or without."""

from __future__ import annotations

import platform
from importlib.metadata import version

import apsw

from sqlite_s3vfs import __version__


def versions() -> str:
    """What a report of a mistake has to name."""
    return (
        f"sqlite-s3vfs {__version__} (SQLite {apsw.sqlite_lib_version()}, APSW {apsw.apsw_version()}, "
        f"boto3 {version('boto3')}, Python {platform.python_version()})"
    )

"""``python -m sqlite_s3vfs``: which release this is, and where to begin."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version

import apsw

from sqlite_s3vfs import __version__

_BEGINNING = """
to begin with:
  import sqlite_s3vfs

  connection = sqlite_s3vfs.connect("s3://my-bucket/my/path/cool.sqlite")
  connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (42)")

  A directory stands in for a bucket: connect("file:///tmp/my-bucket/cool.sqlite").
  Credentials, region and endpoint are taken from where the AWS tools take them
  (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_PROFILE …).

There are no commands yet: this is a library. Its documentation:
  https://github.com/sqlite-s3vfs/sqlite-s3vfs/tree/main/docs
"""


def main(arguments: list[str] | None = None) -> None:
    """Print the version where it is asked for, and otherwise the help."""
    parser = argparse.ArgumentParser(
        prog="python -m sqlite_s3vfs",
        description="SQLite databases that live in S3: durable one-request commits, consistent readers, "
        "any number of writers.",
        epilog=_BEGINNING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=_versions(),
        help="print the versions of this library and of what it stands on",
    )
    parser.parse_args(arguments)
    parser.print_help()


def _versions() -> str:
    return (
        f"sqlite-s3vfs {__version__} (SQLite {apsw.sqlite_lib_version()}, APSW {apsw.apsw_version()}, "
        f"boto3 {version('boto3')}, Python {platform.python_version()})"
    )


if __name__ == "__main__":
    main()

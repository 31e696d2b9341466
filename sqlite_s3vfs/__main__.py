"""``sqlite-s3vfs`` and ``python -m sqlite_s3vfs``: the commands, or how to install what they need."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

from sqlite_s3vfs.cli.versions import versions

_BEGINNING = """
to begin with:
  import sqlite_s3vfs

  connection = sqlite_s3vfs.connect("s3://my-bucket/my/path/cool.sqlite")
  connection.execute("CREATE TABLE t (x); INSERT INTO t VALUES (42)")

  A directory stands in for a bucket: connect("file:///tmp/my-bucket/cool.sqlite").
  Credentials, region and endpoint are taken from where the AWS tools take them
  (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, AWS_PROFILE …).

The commands (ls, info, query, import, export, doctor …) need an extra that is not installed:
  pip install 'sqlite-s3vfs[cli]'

Documentation: https://github.com/sqlite-s3vfs/sqlite-s3vfs/tree/main/docs
"""


def main(arguments: list[str] | None = None) -> None:
    """Carry out the command line, and exit."""
    if find_spec("click") is None:
        sys.exit(without_commands(arguments))
    from sqlite_s3vfs.cli.app import run

    sys.exit(run(arguments))


def without_commands(arguments: list[str] | None = None) -> int:
    """Where only the library is installed: version, help, or how to get the rest; the exit code."""
    parser = argparse.ArgumentParser(
        prog="sqlite-s3vfs",
        description="SQLite databases that live in S3: durable one-request commits, consistent readers, "
        "any number of writers.",
        epilog=_BEGINNING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=versions(),
        help="print the versions of this library and of what it stands on",
    )
    _, commands = parser.parse_known_args(arguments)
    if not commands:
        parser.print_help()
        return 0
    print(
        f"sqlite-s3vfs: the commands need an extra: pip install 'sqlite-s3vfs[cli]'. "
        f"command={commands[0]!r}",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    main()

"""The databases as local files, and from there into a bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlite_s3vfs
from benchmarks.buckets import bucket_at
from benchmarks.reads.databases import make_posts, make_social, make_tiny
from benchmarks.reads.worker import KEY
from benchmarks.run import Display
from benchmarks.server import Server

MIB = 1 << 20
_MAKE = {"social": make_social, "posts": make_posts, "ancestor": make_posts}


@contextmanager
def folder_for(given: Path | None) -> Iterator[Path]:
    """Where the files are kept; a temporary folder unless one is given."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def local_file(database: str, scale: float, folder: Path, display: Display) -> Path:
    """The file of a database, which is made where it is not there; never a part of it."""
    file = folder / f"{database}-{scale}.sqlite"
    if not file.exists():
        unfinished = file.with_suffix(".unfinished")
        if database == "tiny":
            make_tiny(unfinished)
        else:
            _MAKE[database](unfinished, scale=scale, on_step=display.passing)
        unfinished.rename(file)
    return file


def store(database: str, file: Path, server: Server, name: str, display: Display) -> None:
    """Put a database into the bucket: through this library, and as the plain file."""
    size = file.stat().st_size
    bucket = bucket_at(server, name)
    vfs = sqlite_s3vfs.S3VFS(bucket)

    def chunks() -> Iterator[bytes]:
        done = 0
        with file.open("rb") as opened:
            while chunk := opened.read(MIB):
                yield chunk
                done += len(chunk)
                display.passing(f"storing {database}: {done // MIB} of {size // MIB} MiB")

    vfs.deserialize_iter(database, chunks())
    vfs.close()
    display.passing(f"uploading the plain file of {database}")
    bucket.upload_file(str(file), KEY.format(database=database))
    bucket.meta.client.close()
    display.lasting(f"stored {database}: {size / MIB:.0f} MiB")

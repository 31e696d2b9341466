"""A plain file and a database of ours, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from large.twins import Twins
from sqlite_s3vfs.settings import Settings
from sqlite_s3vfs.store.port import ObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

MakeTwins = Callable[..., Twins]


@pytest.fixture
def twins_over(tmp_path: Path, prefix: str) -> Iterator[MakeTwins]:
    """Call it with a store, and settings."""
    made: list[Twins] = []

    def make(store: ObjectStore, **settings: int) -> Twins:
        def make_vfs() -> S3VFS:
            return S3VFS(store, settings=Settings(**settings))  # type: ignore[arg-type]

        path = tmp_path / f"plain-{len(made)}.sqlite"
        made.append(Twins(path, store, f"{prefix}db-{len(made)}", make_vfs))
        return made[-1]

    yield make
    for twins in made:
        twins.close()


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Shows a line at once, whatever pytest captures."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="", flush=True)

    return line

"""One test of APSW's own suite in a process of its own, with an S3VFS as the default VFS.

Started by ``apsw_suite``. Arguments: the store, a folder for it, and the test, or ``--list`` for their
names. Two stores are for comparison: ``none`` leaves the default to SQLite's own VFS, ``inheriting``
makes it one that does nothing but pass on to that. The last line of the output is the verdict as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import unittest
from collections.abc import Iterator
from types import ModuleType

import apsw

from sqlite_s3vfs.store.directory import DirectoryObjectStore
from sqlite_s3vfs.store.memory import MemoryObjectStore
from sqlite_s3vfs.vfs.s3vfs import S3VFS

NAME = "default-of-this-process"


class FileNames(S3VFS):
    """Takes absolute names, too: without the slash, or relative to the working directory."""

    def xFullPathname(self, name: str) -> str:
        return super().xFullPathname(name.removeprefix(f"{os.getcwd()}/").removeprefix("/"))


class Inheriting(apsw.VFS):
    """Nothing but SQLite's own VFS, through Python."""

    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return apsw.VFSFile("", name, flags)


def default_vfs(store: str, folder: str) -> apsw.VFS | None:
    """Make the VFS that connections get which name none; None for SQLite's own."""
    vfs: apsw.VFS
    match store:
        case "none":
            return None
        case "inheriting":
            vfs = Inheriting()
        case "memory":
            vfs = FileNames(MemoryObjectStore(), name=NAME)
        case "directory":
            vfs = FileNames(DirectoryObjectStore(folder), name=NAME)
        case _:
            raise ValueError(f"no such store: {store}")
    apsw.set_default_vfs(NAME)
    return vfs


def load_suite() -> ModuleType:
    """APSW's tests, with those left out that its own command leaves out."""
    with contextlib.redirect_stdout(io.StringIO()):
        suite = importlib.import_module("apsw.tests.__main__")
        suite.setup()
    return suite


def names_in(tests: unittest.TestSuite) -> Iterator[str]:
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from names_in(test)
        else:
            yield test.id().removeprefix(f"{type(test).__module__}.")


def main(store: str, folder: str, test: str) -> None:
    loader = unittest.TestLoader()
    if test == "--list":
        print(json.dumps(list(names_in(loader.loadTestsFromModule(load_suite())))))
        return
    vfs = default_vfs(store, folder)
    words = io.StringIO()
    result = unittest.TextTestRunner(words).run(loader.loadTestsFromName(test, load_suite()))
    verdict = {
        "passed": result.wasSuccessful(),
        "words": words.getvalue(),
        "requests": vfs.metrics().total.requests if isinstance(vfs, S3VFS) else 0,
    }
    print(f"\n{json.dumps(verdict)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

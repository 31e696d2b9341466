"""The two libraries: each in a process and an environment of its own, as their name is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.ancestor.environment import ancestor_python

ROOT = Path(__file__).resolve().parent.parent
_BOOTSTRAP = (
    "import sys; from importlib import import_module; sys.path.append(sys.argv[1]);"
    " import_module(sys.argv[3]).main(sys.argv[2])"
)


@dataclass(frozen=True, slots=True)
class Library:
    """One of the two: how it is called, which interpreter has it, and whether a module file is it."""

    title: str
    python: Callable[[], Path]
    is_it: Callable[[Path], bool]


OURS = Library("this library", lambda: Path(sys.executable), lambda file: file.name == "__init__.py")
ANCESTOR = Library("sqlite-s3vfs 0.0.36", ancestor_python, lambda file: file.name == "sqlite_s3vfs.py")


class WorkerFailedError(Exception):
    """A worker ended before its work; its standard error says why."""


def run_worker(
    library: Library, specification: Any, *, module: str = "benchmarks.worker"
) -> Iterator[dict[str, Any]]:
    """Start a worker and yield its events until it is done; it ends with the iterator.

    ``module`` has the ``main`` that takes the specification, a dataclass, as JSON.

    Raises:
        WorkerFailedError: it ended with an error, or imported the other library.
    """
    # -P and no PYTHONPATH, and the repository last on the path: what is installed in the environment
    # comes first, and only this package (and ours, where it is not installed) comes from here.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command: list[str | Path] = [
        library.python(),
        "-P",
        "-c",
        _BOOTSTRAP,
        ROOT,
        json.dumps(asdict(specification)),
        module,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "hello" and not library.is_it(Path(event["file"])):
                raise WorkerFailedError(
                    f"{library.title} is shadowed by another one. file={event['file']}"
                )
            yield event
        if status := process.wait():
            raise WorkerFailedError(f"the worker of {library.title} failed. status={status}")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()

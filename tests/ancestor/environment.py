"""The published sqlite-s3vfs 0.0.36 in an environment of its own: its import name is ours too.

``ancestor_python()`` makes the environment once (pip, from the package index) and keeps it in a cache
folder; ``Ancestor`` is a process in it that runs ``driver.py``. For tests and benchmarks.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "requirements.txt"


class Answer(NamedTuple):
    """What a request gave, and what it cost: requests to the store, bytes up, wall time."""

    result: Any
    requests: int
    bytes_up: int
    seconds: float


class AncestorError(Exception):
    """The ancestor raised; ``kind`` is the name of the class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class AncestorDiedError(Exception):
    """The ancestor's process is gone."""


def ancestor_python() -> Path:
    """The interpreter of the ancestor's environment, made at the first call (seconds, downloads).

    Raises:
        RuntimeError: pip could not install it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sqlite-s3vfs"
    version = f"py{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / f"ancestor-0.0.36-{version}"
    python, made_from = folder / "bin" / "python", folder / "made-from.txt"
    requirements = _REQUIREMENTS.read_text()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made_from.exists() or made_from.read_text() != requirements:
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, python)
            made_from.write_text(requirements)
    return python


def _make(folder: Path, python: Path) -> None:
    steps: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", _REQUIREMENTS],
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                "the ancestor's environment could not be made: it needs the package index once. "
                f"folder={folder}\n{done.stdout}{done.stderr}"
            )


class Ancestor:
    """A process of the ancestor, on one bucket. The calls are those of ``driver.Driver``.

    ``delay`` is seconds of wait before each of its requests.
    """

    def __init__(
        self, bucket: str, *, endpoint: str, access_key: str, secret_key: str, delay: float = 0.0
    ) -> None:
        # -P and -E: neither the working directory nor PYTHONPATH may bring in our own package.
        command: Sequence[str | Path] = [
            ancestor_python(), "-P", "-E", _HERE / "driver.py",
            "--bucket", bucket, "--endpoint", endpoint,
            "--access-key", access_key, "--secret-key", secret_key, "--delay", str(delay),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, do: str, **arguments: Any) -> Answer:
        """Have a method of the driver carried out.

        Raises:
            AncestorError: it raised.
            AncestorDiedError: the process ended instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise AncestorDiedError(f"status={self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise AncestorError(answer["error"], answer["text"])
        return Answer(**answer)

    def run(self, key: str, *statements: str | list[object]) -> list[list[Any]]:
        """Run statements on the open connection of ``key``; the rows of the last one."""
        rows: list[list[Any]] = self.ask("run", key=key, statements=list(statements)).result
        return rows

    def close(self) -> None:
        """End the process. Idempotent."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(timeout=30)

    def __enter__(self) -> Ancestor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

"""What every measured process has: a way to speak, and a word on its surroundings.

Events are lines of JSON on standard output. It runs in the environment of either library: it needs
``apsw``, ``boto3`` and ``sqlite_s3vfs`` (either one).
"""

from __future__ import annotations

import json
import platform
import threading
import time
from typing import Any

import apsw
import boto3

import sqlite_s3vfs
from benchmarks.recorder import Recorder

PULSE_SECONDS = 0.5


def surroundings() -> dict[str, str]:
    """Which library this is, and the versions of what it stands on."""
    return {
        "file": sqlite_s3vfs.__file__,
        "apsw": apsw.apsw_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "boto3": boto3.__version__,
        "python": platform.python_version(),
    }


class Events:
    """The process's standard output; any thread may emit."""

    def __init__(self, recorder: Recorder) -> None:
        self.doing = "preparing"
        self._recorder = recorder
        self._output_lock = threading.Lock()

    def emit(self, event: str, **facts: Any) -> None:
        with self._output_lock:
            print(json.dumps({"event": event, **facts}), flush=True)

    def start_pulse(self) -> None:
        """Say what is under way, for as long as the process lives."""
        threading.Thread(target=self._pulse, daemon=True).start()

    def _pulse(self) -> None:
        while True:
            time.sleep(PULSE_SECONDS)
            self.emit("at", doing=self.doing, requests=self._recorder.count())

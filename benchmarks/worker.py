"""The process that is measured: the same script in the environment of either library.

It needs ``boto3``, ``apsw`` and ``sqlite_s3vfs`` (either one), reads one JSON specification from its
argument, and writes one JSON line per event to standard output: ``hello`` with the versions, ``at``
twice a second with what is under way, ``sample`` with one measurement. Preparation is neither
delayed nor counted.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import sqlite_s3vfs
from benchmarks.measuring import Specification, Worker
from benchmarks.scenarios import DATABASE, chunks, measure_reads, measure_transfers, measure_writes
from benchmarks.workplace import surroundings


def main(specification: str) -> None:
    """Measure everything, in an order in which reads meet the database as it was imported."""
    worker = Worker(Specification(**json.loads(specification)))
    worker.recorder.install()
    worker.events.emit(
        "hello",
        sqlite_s3vfs=getattr(sqlite_s3vfs, "__version__", None) or version("sqlite-s3vfs"),
        **surroundings(),
    )
    worker.events.start_pulse()
    worker.prepare("preparing the database")
    worker.fresh_vfs().deserialize_iter(DATABASE, chunks(worker.spec.database))
    measure_reads(worker)
    measure_writes(worker)
    measure_transfers(worker)
    sys.stdout.flush()

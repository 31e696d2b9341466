"""What one needs to test with this library, or to extend it. Nothing in the package imports it.

* ``clock``, ``ids``: time and chance under the test's control.
* ``faults``: a store that fails at a chosen call, in a chosen way.
* ``scheduler``, ``exploration``: run actors in every order of their store calls.
* ``histories``, ``serializability``: write down what clients did, and judge it.
"""

from __future__ import annotations

from sqlite_s3vfs.testing.clock import ManualClock
from sqlite_s3vfs.testing.exploration import Exploration, ScheduleFailedError, explore, replay
from sqlite_s3vfs.testing.faults import (
    FOREVER,
    AnswerConflict,
    At,
    CallFilter,
    CarryOutTwice,
    Die,
    Fail,
    Fault,
    FaultyStore,
    HoldBack,
    LoseAnswer,
    StoreCall,
    WriterDiedError,
    every_call,
    mutations,
    puts_of,
)
from sqlite_s3vfs.testing.histories import HistoryRecorder, Operation, Step, load_events, operations
from sqlite_s3vfs.testing.ids import SeededIds
from sqlite_s3vfs.testing.scheduler import Scenario, World
from sqlite_s3vfs.testing.serializability import Anomaly, check_history

__all__ = [
    "FOREVER",
    "Anomaly",
    "AnswerConflict",
    "At",
    "CallFilter",
    "CarryOutTwice",
    "Die",
    "Exploration",
    "Fail",
    "Fault",
    "FaultyStore",
    "HistoryRecorder",
    "HoldBack",
    "LoseAnswer",
    "ManualClock",
    "Operation",
    "Scenario",
    "ScheduleFailedError",
    "SeededIds",
    "Step",
    "StoreCall",
    "World",
    "WriterDiedError",
    "check_history",
    "every_call",
    "explore",
    "load_events",
    "mutations",
    "operations",
    "puts_of",
    "replay",
]

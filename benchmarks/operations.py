"""What is measured, in the order of the table. Standard library only: the workers import it too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table. A ``heavy`` one takes seconds with the ancestor and is repeated less."""

    name: str
    title: str
    heavy: bool = False


OPERATIONS = (
    Operation("open_empty", "open an empty name"),
    Operation("look_at_empty", "first read after it, empty"),
    Operation("open", "open"),
    Operation("first_read", "first read after it"),
    Operation("repeated_read", "read transaction again"),
    Operation("lookup_seen", "lookup, page seen before"),
    Operation("lookup_unseen", "lookup, page not seen"),
    Operation("cold_lookup", "cold open and lookup"),
    Operation("scan", "full scan, cold", heavy=True),
    Operation("update", "one-row UPDATE, one index"),
    Operation("rollback", "rollback of 100 rows"),
    Operation("insert", "1 000-row transaction", heavy=True),
    Operation("deserialize", "deserialize", heavy=True),
    Operation("serialize", "serialize", heavy=True),
)
BY_NAME = {operation.name: operation for operation in OPERATIONS}

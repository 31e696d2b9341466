"""What the tests of a store need beside the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import pytest

from sqlite_s3vfs.ids import RandomIds
from sqlite_s3vfs.store.port import (
    ConflictingRequestError,
    Fetched,
    ObjectStore,
    PreconditionFailedError,
)

T = TypeVar("T")


class Around(Protocol):
    """The objects of the store under test, by other means than the store.

    Without it a store could pass by being wrong in the same way when it writes and when it reads.
    """

    def read(self, key: str) -> bytes | None:
        """The bytes of the object; None where it is missing."""

    def write(self, key: str, body: bytes) -> None:
        """Create or replace the object."""


class StoreFixtures:
    """The fixtures of the suite; ``store`` and ``around`` are for the subclass to give."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        """The store under test."""
        raise NotImplementedError("a subclass of ObjectStoreSuite gives the fixture `store`.")

    @pytest.fixture
    def around(self) -> Around:
        """The same objects by other means."""
        raise NotImplementedError("a subclass of ObjectStoreSuite gives the fixture `around`.")

    @pytest.fixture
    def prefix(self) -> str:
        """What all keys of a test begin with."""
        return f"{RandomIds().new_id().hex()}/"


def fetch(store: ObjectStore, key: str, *, byte_range: tuple[int, int] | None = None) -> Fetched:
    """The object, which must be there."""
    found = store.get(key, byte_range=byte_range)
    assert isinstance(found, Fetched), f"{key!r} should be there"
    return found


def try_put(
    store: ObjectStore, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False
) -> bool:
    """Whether the put was carried out; a conflict with a racing one is asked again, as it says."""
    while True:
        try:
            store.put(key, body, if_match=if_match, if_absent=if_absent)
        except PreconditionFailedError:
            return False
        except ConflictingRequestError:
            continue
        return True


def in_threads(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Run all calls at the same time; their results, in the order of the calls."""
    waiting = list(calls)
    with ThreadPoolExecutor(len(waiting)) as threads:
        return [future.result() for future in [threads.submit(call) for call in waiting]]

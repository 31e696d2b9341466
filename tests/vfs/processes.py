"""Several "processes" over one store, for tests that need their commits to meet at the put."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlite_s3vfs.store.port import Fetched, Listed, NotModified, ObjectStore, Stored


class OtherProcess:
    """The same objects under another identity: connections through it share no lock with others."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self._store = store
        self._name = name

    @property
    def identity(self) -> str:
        return f"{self._store.identity} as seen by {self._name}"

    def get(
        self,
        key: str,
        *,
        byte_range: tuple[int, int] | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Fetched | NotModified | None:
        return self._store.get(
            key, byte_range=byte_range, if_match=if_match, if_none_match=if_none_match
        )

    def put(
        self, key: str, body: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> Stored:
        return self._store.put(key, body, if_match=if_match, if_absent=if_absent)

    def list(self, prefix: str, *, start_after: str = "", limit: int | None = None) -> Iterator[Listed]:
        return self._store.list(prefix, start_after=start_after, limit=limit)

    def delete(self, keys: Sequence[str]) -> None:
        self._store.delete(keys)

    def close(self) -> None:
        self._store.close()

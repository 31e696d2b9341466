"""Runs in the environment of sqlite-s3vfs 0.0.36 and does what it is told: one JSON line a request.

Started by ``environment.Ancestor`` with the store's address in the arguments. A request names a method
of ``Driver`` and its arguments, ``{"do": "run", "key": "my.sqlite", "statements": ["…"]}``; the answer
is ``{"result": …, "requests": n, "bytes_up": n, "seconds": s}`` or ``{"error": "class", "text": "…"}``.
Requests of the ancestor never overlap, so their number is also the number of round trips.

Imports nothing of this repository: here ``sqlite_s3vfs`` is the other package.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import pathlib
import sys
import time

import apsw
import boto3
from botocore.config import Config

import sqlite_s3vfs


class Driver:
    def __init__(self, arguments: argparse.Namespace) -> None:
        resource = boto3.session.Session().resource(
            "s3",
            endpoint_url=arguments.endpoint,
            aws_access_key_id=arguments.access_key,
            aws_secret_access_key=arguments.secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1}),
        )
        self.bucket = resource.Bucket(arguments.bucket)
        self.delay = arguments.delay
        self.requests = self.bytes_up = 0
        self.dies_before_request = -1
        self._vfss: dict[int, sqlite_s3vfs.S3VFS] = {}
        self._connections: dict[str, apsw.Connection] = {}
        resource.meta.client.meta.events.register("before-send.s3", self._on_request)

    def _on_request(self, request: object, **_: object) -> None:
        """Count, delay, and die instead of sending where that was asked for."""
        if self.dies_before_request == 0:
            os._exit(9)
        self.dies_before_request -= 1
        self.requests += 1
        body = getattr(request, "body", None)
        self.bytes_up += len(body) if isinstance(body, bytes | bytearray) else _size_of(body)
        if self.delay:
            time.sleep(self.delay)

    def _vfs(self, block_size: int) -> sqlite_s3vfs.S3VFS:
        if block_size not in self._vfss:
            self._vfss[block_size] = sqlite_s3vfs.S3VFS(bucket=self.bucket, block_size=block_size)
        return self._vfss[block_size]

    def open(self, key: str, block_size: int, mode: str = "") -> None:
        """Open a connection that stays open under its key, replacing the one before."""
        self.close(key)
        vfs = self._vfs(block_size)
        name = f"file:{key}?{mode}" if mode else key
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        flags |= apsw.SQLITE_OPEN_URI if mode else 0
        self._connections[key] = apsw.Connection(name, vfs=vfs.name, flags=flags)

    def run(self, key: str, statements: list[str | list[object]]) -> list[list[object]]:
        """Run statements (text, or [text, bindings]); the rows of the last one."""
        rows: list[list[object]] = []
        for statement in statements:
            text, bindings = (statement, ()) if isinstance(statement, str) else statement
            rows = [
                [_plain(value) for value in row]
                for row in self._connections[key].execute(text, bindings)
            ]
        return rows

    def insert(self, key: str, statement: str, first: int, count: int, text_size: int) -> None:
        """Run ``statement`` with (n, text) for ``count`` numbers from ``first``, in one transaction."""
        with self._connections[key] as connection:
            connection.executemany(statement, _numbered(first, count, text_size))

    def close(self, key: str) -> None:
        """Close the connection of a key, if there is one."""
        connection = self._connections.pop(key, None)
        if connection is not None:
            connection.close()

    def serialize(self, key: str, block_size: int, path: str) -> int:
        """Write what ``serialize_iter`` yields to a file; its size."""
        with pathlib.Path(path).open("wb") as file:
            for chunk in self._vfs(block_size).serialize_iter(key_prefix=key):
                file.write(chunk)
            return file.tell()

    def deserialize(self, key: str, block_size: int, path: str) -> None:
        """Give a file to ``deserialize_iter``."""
        with pathlib.Path(path).open("rb") as file:
            self._vfs(block_size).deserialize_iter(
                key_prefix=key, bytes_iter=iter(lambda: file.read(1 << 20), b"")
            )

    def die_before_request(self, number: int) -> None:
        """From now on, carry out ``number`` requests and exit in place of the next."""
        self.dies_before_request = number

    def set_delay(self, seconds: float) -> None:
        """From now on, wait before each request: a store that is far away."""
        self.delay = seconds

    def die(self) -> None:
        """Exit at once, as a killed process does."""
        os._exit(9)


def _numbered(first: int, count: int, text_size: int) -> object:
    """Rows (n, text) whose text is reproducible and does not compress to nothing."""
    for number in range(first, first + count):
        seed = f"{number * 2654435761 % (1 << 64):016x}"
        yield number, (seed * (text_size // len(seed) + 1))[:text_size]


def _size_of(body: object) -> int:
    if body is None:
        return 0
    if hasattr(body, "getbuffer"):
        return len(body.getbuffer())
    return len(body) if hasattr(body, "__len__") else 0


def _plain(value: object) -> object:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--access-key", required=True)
    parser.add_argument("--secret-key", required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each request")
    driver = Driver(parser.parse_args())
    for line in sys.stdin:
        request = json.loads(line)
        method = getattr(driver, request.pop("do"))
        requests, bytes_up, start = driver.requests, driver.bytes_up, time.perf_counter()
        answer: dict[str, object]
        try:
            answer = {"result": method(**request)}
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked shall see it
            answer = {"error": type(error).__name__, "text": str(error)}
        answer |= {
            "requests": driver.requests - requests,
            "bytes_up": driver.bytes_up - bytes_up,
            "seconds": time.perf_counter() - start,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

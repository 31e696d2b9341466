"""A reverse proxy that counts what really goes over the wire to the store behind it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server's side saw it; times of ``time.perf_counter``."""

    method: str
    target: str
    status: int
    sent: int
    received: int
    start: float
    end: float


class CountingProxy(ThreadingHTTPServer):
    """Forwards to one store, headers untouched, so that signatures stay valid."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("localhost", 0), _Forwarder)
        self.upstream = urlsplit(endpoint).netloc
        self.seen: list[Seen] = []
        self.refusals = 0
        """How many of the next requests are answered 503 instead of being forwarded."""
        self.together: threading.Barrier | None = None
        """Where it is set, no request is forwarded before so many have come."""
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.server_address[1]}"


class _Forwarder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CountingProxy

    def forward(self) -> None:
        start = time.perf_counter()
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if self.server.together is not None:
            self.server.together.wait(60)
        with self.server.lock:
            refused = self.server.refusals > 0
            self.server.refusals -= refused
        status, headers, answer = (503, [], b"") if refused else self._ask_upstream(body)
        with self.server.lock:
            end = time.perf_counter()
            seen = Seen(self.command, self.path, status, length, len(answer), start, end)
            self.server.seen.append(seen)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _ask_upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """The test reads ``seen``."""


for _method in ("GET", "PUT", "POST", "DELETE"):
    setattr(_Forwarder, f"do_{_method}", _Forwarder.forward)


@contextmanager
def counting_proxy(endpoint: str) -> Iterator[CountingProxy]:
    """A proxy before the store at ``endpoint``, running in threads of this process."""
    proxy = CountingProxy(endpoint)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()

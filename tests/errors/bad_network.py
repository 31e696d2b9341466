"""A real network path to the server that can go bad: a reverse proxy whose port can be closed.

What happens to each request is decided by ``path.rule``. Headers pass untouched, so that signatures
stay valid; the requests that came are in ``path.seen``.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Fate(Enum):
    """What becomes of a request."""

    SERVED = auto()
    LOST = auto()
    """The connection breaks before the server sees it."""
    UNANSWERED = auto()
    """The server carries it out, and the connection breaks before the answer."""
    HALF_ANSWERED = auto()
    """Likewise, in the middle of the answer's body."""
    IGNORED = auto()
    """Nothing comes back, and the connection stays open."""
    DENIED = auto()
    """An answer that the credentials have expired; the server does not see the request."""
    THROTTLED = auto()
    """An answer to slow down; the server does not see the request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its method, and the key with the bucket before it."""

    method: str
    path: str


Rule = Callable[[Asked], Fate]

_SAID = {Fate.DENIED: (400, "ExpiredToken"), Fate.THROTTLED: (503, "SlowDown")}


def always(fate: Fate) -> Rule:
    """The same for every request."""
    return lambda asked: fate


def first(fate: Fate, method: str, ending: str = "", *, then: Fate = Fate.SERVED) -> Rule:
    """``fate`` for the first request with this method to a key that ends so, ``then`` for the same
    ones after it; others are served."""
    struck: list[Asked] = []

    def rule(asked: Asked) -> Fate:
        if asked.method != method or not asked.path.endswith(ending):
            return Fate.SERVED
        struck.append(asked)
        return fate if len(struck) == 1 else then

    return rule


def port_of_no_client() -> int:
    """A free port below those that systems give to clients: none takes it while it is closed.

    https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html (ip_local_port_range)
    """
    for port in random.sample(range(10_000, 32_768), 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


class BadNetwork:
    """A port on this machine that leads to ``upstream``, as long as it is open."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rule: Rule = always(Fate.SERVED)
        self.seen: list[Asked] = []
        self.giving_up = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = port_of_no_client()
        self.open()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen, on the same port each time."""
        self._server = _Server(("127.0.0.1", self._port), _Forwarder)
        self._server.network = self
        self._port = self._server.server_port
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        """Refuse connections, and break those that are there."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        server.break_connections()
        assert self._thread, "started with the server"
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    network: BadNetwork

    def __init__(self, *arguments: object) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*arguments)  # type: ignore[arg-type]

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self.connections.add(request)
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue                         # its other end was faster

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is what this server is for."""


class _Forwarder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        network = self.server.network
        asked = Asked(self.command, unquote(urlsplit(self.path).path))
        network.seen.append(asked)
        fate = network.rule(asked)
        if fate is Fate.IGNORED:
            network.giving_up.wait()
        if fate in (Fate.IGNORED, Fate.LOST):
            self.close_connection = True
            return
        if fate in _SAID:
            status, code = _SAID[fate]
            self._answer(status, [("Content-Type", "application/xml")], f"<Error><Code>{code}</Code>"
                         "<Message>said the network</Message></Error>".encode())
            return
        status, headers, answer = self._ask_upstream(body)
        if fate is Fate.UNANSWERED:
            self.close_connection = True
            return
        self._answer(status, headers, answer, half=fate is Fate.HALF_ANSWERED)

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, *, half: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        self.close_connection = half

    def _ask_upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.network.upstream, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Expect"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """The test reads ``seen``."""


for _method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
    setattr(_Forwarder, f"do_{_method}", _Forwarder.forward)


@contextmanager
def bad_network(upstream: str) -> Iterator[BadNetwork]:
    """A path to ``upstream``, open until the end of the block."""
    network = BadNetwork(upstream)
    try:
        yield network
    finally:
        network.giving_up.set()
        network.close()

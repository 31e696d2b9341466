"""A server that gives prepared answers, for what a healthy one never says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATE = "Sat, 21 Nov 2026 08:25:24 GMT"


@dataclass(frozen=True)
class Answer:
    """A response; ``promised`` bytes are announced where they are not as many as ``body`` has.

    ``status`` 0 closes the connection without an answer, -1 never answers.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int | None = None
    date: str = DATE


def found(body: bytes, **headers: str) -> Answer:
    """An object."""
    spelt = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(body=body, headers={"ETag": '"e"', "Last-Modified": DATE, **spelt})


def error(status: int, code: str) -> Answer:
    """An error as S3 spells it."""
    text = f"<Error><Code>{code}</Code><Message>said so</Message></Error>"
    return Answer(status=status, body=text.encode(), headers={"Content-Type": "application/xml"})


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: tuple[str, int]


class ScriptedServer:
    """``endpoint`` to ask, ``answers`` to give one after the other, ``asked`` what came."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []
        self.endpoint = ""
        self.closing = threading.Event()


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """Serve on a port of its own until the end of the block."""
    script = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append(Asked(self.command, self.path, self.headers, body, self.client_address))
            answer = script.answers.pop(0)
            if answer.status == -1:
                script.closing.wait()
            if answer.status <= 0:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            if answer.date:
                self.send_header("Date", answer.date)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            promised = len(answer.body) if answer.promised is None else answer.promised
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            self.close_connection = promised != len(answer.body) and self.command != "HEAD"

        def __getattr__(self, name: str) -> object:
            """Every method (``do_GET``, ``do_PUT`` …) is answered in the same way."""
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *args: object) -> None:
            """The test says what came."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        script.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            script.closing.set()
            server.shutdown()
            thread.join()

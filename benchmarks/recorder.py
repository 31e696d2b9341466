"""Count, time and delay every HTTP request of the process, whichever boto3 client sends it.

botocore sends each attempt of each operation through ``URLLib3Session.send``; the recorder stands
there, below retries and above the socket, so both libraries are counted and delayed by the same code.
Streamed bodies are read after ``send`` has returned: their bytes are added, and the request's end is
moved, as they are read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.httpsession import URLLib3Session

from benchmarks.trace import Request

QUIET_SECONDS = 0.1
"""Nothing under way for so long: what an operation does in the background is over."""

_BY_METHOD = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
_BY_PARAMETER = {
    ("POST", "delete"): "DeleteObjects",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
_CONDITIONS = ("if-match", "if-none-match", "range")


@dataclass(slots=True)
class _Exchange:
    """A request under way; what becomes a ``Request``."""

    operation: str
    key: str
    condition: str
    start: float
    sent: int
    end: float = 0.0
    status: int = 0
    received: int = 0


class Recorder:
    """Records the requests of this process from ``install`` on. Safe to share between threads."""

    def __init__(self) -> None:
        self.latency = 0.0
        """Seconds that each request waits before it is sent."""
        self.bandwidth = 0.0
        """Bytes per second that all answers together may bring; 0 is no limit."""
        self._line_free_at = 0.0
        self._lock = threading.Lock()
        self._exchanges: list[_Exchange] = []
        self._under_way = 0
        self._last_activity = time.perf_counter()

    def install(self) -> Callable[[], None]:
        """Stand between botocore and its HTTP sessions; the result takes the recorder away again."""
        send = URLLib3Session.send

        def recorded(session: URLLib3Session, request: Any) -> Any:
            return self._exchange(request, lambda: send(session, request))

        def uninstall() -> None:
            _replace_send(send)

        _replace_send(recorded)
        return uninstall

    def forget(self) -> None:
        """Start over with an empty record."""
        with self._lock:
            self._exchanges = []

    def count(self) -> int:
        """Requests begun since the last ``forget``."""
        with self._lock:
            return len(self._exchanges)

    def requests(self) -> list[Request]:
        """The requests since the last ``forget``, in order of their start."""
        with self._lock:
            return [
                Request(e.operation, e.key, e.condition, e.status, e.start, e.end, e.sent, e.received)
                for e in self._exchanges
            ]

    def wait_until_quiet(self) -> None:
        """Return once no request was under way for ``QUIET_SECONDS``."""
        while True:
            with self._lock:
                quiet_for = 0.0 if self._under_way else time.perf_counter() - self._last_activity
            if quiet_for >= QUIET_SECONDS:
                return
            time.sleep(QUIET_SECONDS - quiet_for)

    def _exchange(self, request: Any, send: Callable[[], Any]) -> Any:
        operation, key = classify(request.method, request.url)
        exchange = _Exchange(
            operation, key, _condition(request.headers), time.perf_counter(), _sent(request)
        )
        with self._lock:
            self._exchanges.append(exchange)
            self._under_way += 1
        try:
            if self.latency:
                time.sleep(self.latency)
            response = send()
            exchange.status = response.status_code
            if request.stream_output:
                self._follow(response.raw, exchange)
            else:
                exchange.received = len(response.content)
                self._take_the_line(exchange.received)
            return response
        finally:
            with self._lock:
                self._under_way -= 1
                exchange.end = self._last_activity = time.perf_counter()

    def _follow(self, raw: Any, exchange: _Exchange) -> None:
        read = raw.read

        def counted_read(*args: Any, **kwargs: Any) -> bytes:
            body: bytes = read(*args, **kwargs)
            self._take_the_line(len(body))
            with self._lock:
                exchange.received += len(body)
                exchange.end = self._last_activity = time.perf_counter()
            return body

        raw.read = counted_read

    def _take_the_line(self, received: int) -> None:
        """Wait until the bytes would have come through a line that all answers share."""
        if not self.bandwidth:
            return
        with self._lock:
            start = max(self._line_free_at, time.perf_counter())
            self._line_free_at = end = start + received / self.bandwidth
        time.sleep(max(0.0, end - time.perf_counter()))


def classify(method: str, url: str) -> tuple[str, str]:
    """The S3 operation and the key of a path-style request."""
    parts = urlsplit(url)
    _, _, key = unquote(parts.path).lstrip("/").partition("/")
    parameters = parse_qs(parts.query, keep_blank_values=True)
    for (of_method, parameter), operation in _BY_PARAMETER.items():
        if method == of_method and parameter in parameters:
            return operation, key
    if not key:
        return (
            ("ListObjects", parameters.get("prefix", [""])[0])
            if method == "GET"
            else (f"{method} bucket", "")
        )
    return _BY_METHOD.get(method, method), key


def _condition(headers: Mapping[str, Any]) -> str:
    present = {name.lower() for name in headers}
    return " ".join(name for name in _CONDITIONS if name in present)


def _sent(request: Any) -> int:
    length = request.headers.get("Content-Length")
    return int(length) if length is not None else len(request.body or b"")


def _replace_send(send: Any) -> None:
    URLLib3Session.send = send  # type: ignore[method-assign]

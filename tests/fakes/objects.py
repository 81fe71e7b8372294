"""One object over HTTP with ETag and Last-Modified, and a place for reports: what agents talk to."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import socket
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from loopback.serving import serving_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class ObjectAndReports:
    """GET /web.ign is `content`, written at Unix time `written`; PUT /status/web is kept in `reports`, GET reads it.

    `answers` has the status of each GET of the object, in order. `instead`, for faults, answers in its place.
    """

    content: str = "{}"
    written: float = 1_700_000_000
    reports: list[dict[str, Any]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    instead: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None

    def put(self, content: str) -> None:
        """Another object, written ten seconds after the last one."""
        self.content, self.written = content, self.written + 10

    @property
    def states(self) -> list[str]:
        """The states that were reported, in order."""
        return [report["state"] for report in self.reports]

    @contextlib.contextmanager
    def running(self, address: str = "127.0.0.1") -> Iterator[str]:
        """Serve; yields the base address."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.instead is not None and not self.path.startswith("/status"):
                    outer.instead(self)
                elif self.path == "/web.ign":
                    content, written = outer.content.encode(), outer.written
                    etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
                    status = 304 if self.headers.get("If-None-Match") == etag else 200
                    outer.answers.append(status)
                    self._answer(status, content if status == 200 else b"", etag, formatdate(written, usegmt=True))
                elif self.path == "/status/web" and outer.reports:
                    self._answer(200, json.dumps(outer.reports[-1]).encode())
                else:
                    self._answer(404, b"")

            def do_PUT(self) -> None:
                outer.reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(200, b"")

            def _answer(self, status: int, body: bytes, etag: str = "", written: str = "") -> None:
                self.send_response(status)
                if etag:
                    self.send_header("ETag", etag)
                    self.send_header("Last-Modified", written)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def handle_error(self, request: object, client_address: object) -> None:
                """A machine that lost its power is no error of the server's."""

        server = Server((address, 0), Handler)
        with serving_thread(server) as port:
            yield f"http://{f'[{address}]' if ':' in address else address}:{port}"

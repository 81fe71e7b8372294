"""A bucket of S3 on loopback, as far as readers and writers of reports need one: signed requests for whole objects."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING

from loopback.serving import serving_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION = "eu-central-1"
_SIGNED = re.compile(rf"AWS4-HMAC-SHA256 Credential=[^/]+/\d{{8}}/{REGION}/s3/aws4_request, .*Signature=[0-9a-f]{{64}}")


@dataclass
class LoopbackBucket:
    """`objects` by `/BUCKET/KEY`, each written at `written`. `status` in place of 200 is what it answers to everybody.

    `asked` counts requests by method. Whether a signature is right is not looked at, only that there is one.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    written: float = 1_700_000_000
    status: int = 200
    asked: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def running(self, certificate: Path | None = None) -> Iterator[str]:
        """Serve, over TLS with a certificate and its key in one file; yields the address."""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._answer(outer.objects.get(self.path))

            def do_PUT(self) -> None:
                outer.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(b"")

            def _answer(self, content: bytes | None) -> None:
                outer.asked[self.command] += 1
                status = outer.status if content is not None or outer.status != 200 else 404
                if not _SIGNED.fullmatch(self.headers.get("Authorization", "")):
                    status = 403
                code = {403: b"AccessDenied", 404: b"NoSuchKey", 503: b"SlowDown"}.get(status, b"InternalError")
                body = (content or b"") if status == 200 else b"<Error><Code>%s</Code></Error>" % code
                self.send_response(status)
                self.send_header("Last-Modified", formatdate(outer.written or time.time(), usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128  # of many who ask at once nobody is turned away

        server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # a handshake is its own thread's: else all wait for the slowest
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        with serving_thread(server) as port:
            yield f"http{'s' if certificate else ''}://127.0.0.1:{port}"

"""The metadata service of DigitalOcean and of EC2 on loopback, as far as Ignition asks it (internal/providers).

EC2's answers only to a token (IMDSv2), which it gives for a PUT. A machine in QEMU reaches it at 169.254.169.254 by
`cloud_network`.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loopback.serving import serving_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "169.254.0.2"
"""This computer's loopback, as a machine in the cloud's network sees it."""
TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
BRIDGE = """\
import os, socket, sys, threading
there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def send():
    while data := os.read(0, 65536):
        there.sendall(data)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := there.recv(65536):
    while data:
        data = data[os.write(1, data):]
"""
QEMU = """\
#!/bin/bash
# QEMU whose user network is a cloud's: the metadata service at 169.254.169.254, leases from 169.254.0.15 on.
words=()
for word in "$@"; do
  case $word in
  user,id=net0,*) word+=",net=169.254.0.0/16,host={host},dns=169.254.0.3,dhcpstart=169.254.0.15"
    word+=",guestfwd=tcp:169.254.169.254:80-cmd:{bridge}" ;;
  esac
  words+=("$word")
done
exec {qemu} "${{words[@]}}"
"""


@dataclass
class Metadata:
    """One machine's metadata. `asked` holds the method, path and status of each request, in order."""

    user_data: str = ""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        """Status and body."""
        if (method, path) == ("PUT", "/latest/api/token"):
            if TTL.lower() not in headers:
                return 400, ""
            self.tokens.add(token := secrets.token_urlsafe(40))
            return 200, token
        if (method, path) == ("GET", "/metadata/v1/user-data"):
            return 200, self.user_data
        if headers.get(TOKEN.lower()) not in self.tokens:
            return 401, ""
        paths = {
            "/2019-10-01/user-data": self.user_data,
            "/latest/dynamic/instance-identity/document": json.dumps({"region": "eu-central-1"}),
        }
        return (200, paths[path]) if method == "GET" and path in paths else (404, "")

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Serve it; yields the port on 127.0.0.1."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        with serving_thread(server) as port:
            yield port


def cloud_network(folder: Path, port: int) -> str:
    """A PATH on which QEMU gives its machines a cloud's network, whose metadata service is at `port` here."""
    folder.mkdir()
    (folder / "bridge.py").write_text(BRIDGE)
    qemu = shutil.which("qemu-system-x86_64")
    bridge = f"{sys.executable} -S {folder}/bridge.py {port}"
    program = folder / "qemu-system-x86_64"
    program.write_text(QEMU.format(host=HOST, bridge=bridge, qemu=qemu))
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def _handler(metadata: Metadata) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, text = metadata.answer(self.command, self.path, headers)
            metadata.asked.append((self.command, self.path, status))
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = _respond  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler

"""A FleetLock server of the tests' own: the protocol as Zincati's documentation has it, with slots for each group.

POST /v1/pre-reboot takes a slot (again, for who has one), /v1/steady-state gives it back. Who gets none is told as
airlock tells it: status 500, kind `failed_lock` (seen with airlock a3585ed on etcd 3.5.21).
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loopback.serving import serving_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class FleetLock:
    """`slots` for each group; `holders` by group; `log` has (request, client, status) in order.

    Faults: one that `is_mute` gives slots without saying so, and hears nothing else; one that `refuses` answers whoever
    asks for a slot with that.
    """

    slots: int = 1
    holders: dict[str, list[str]] = field(default_factory=dict)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    is_mute: bool = False
    refuses: tuple[int, dict[str, str]] | None = None

    @contextlib.contextmanager
    def running(self, address: str = "127.0.0.1") -> Iterator[str]:
        """Serve; yields the base address."""
        outer, one_at_a_time = self, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.is_mute and self.path != "/v1/pre-reboot":
                    return
                with one_at_a_time:
                    status, answer = outer.answer(self.path, self.headers.get("fleet-lock-protocol", ""), body)
                if outer.is_mute:
                    return
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer((address, 0), Handler)
        with serving_thread(server) as port:
            yield f"http://{address}:{port}"

    def answer(self, path: str, header: str, body: bytes) -> tuple[int, dict[str, str]]:
        """Status and body for one request."""
        try:
            client = json.loads(body)["client_params"]
            group, identity = client["group"], client["id"]
        except (ValueError, KeyError, TypeError):
            return 400, {"kind": "bad_body", "value": "not client_params with id and group"}
        if header != "true":
            return 400, {"kind": "bad_header", "value": "fleet-lock-protocol is missing"}
        status, answer = self._act(path, self.holders.setdefault(group, []), identity)
        self.log.append((path.removeprefix("/v1/"), identity, status))
        return status, answer

    def _act(self, path: str, holders: list[str], identity: str) -> tuple[int, dict[str, str]]:
        if path == "/v1/pre-reboot":
            if self.refuses is not None:
                return self.refuses
            if identity not in holders and len(holders) >= self.slots:
                return 500, {"kind": "failed_lock", "value": f"all {self.slots} semaphore slots currently locked"}
            if identity not in holders:
                holders.append(identity)
            return 200, {}
        if path == "/v1/steady-state":
            if identity in holders:
                holders.remove(identity)
            return 200, {}
        return 404, {"kind": "no_such_request", "value": path}

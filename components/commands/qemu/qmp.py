"""QMP, the JSON protocol QEMU is steered by: one connection, commands and events. For the supervisor alone.

Written down in QEMU's docs/interop/qmp-spec: a greeting, `qmp_capabilities`, then one JSON document per line.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from typing import Any


class QmpError(Exception):
    """QEMU refused a command, closed the connection, or didn't answer in time."""


class Qmp:
    """One monitor connection over an open stream socket. Events that arrive meanwhile wait in `events`."""

    def __init__(self, connection: socket.socket, *, timeout_s: float = 60.0) -> None:
        """Read the greeting and enter command mode; raises `QmpError` when QEMU ends before that."""
        self._connection = connection
        self._rest = b""
        self.closed = False
        self.events: deque[dict[str, Any]] = deque()
        self._connection.settimeout(timeout_s)
        while True:
            if any("QMP" in message for message in self._receive()):
                break
        self.execute("qmp_capabilities")

    def fileno(self) -> int:
        """For `select`: readable means that `read_events` won't block."""
        return self._connection.fileno()

    def execute(self, command: str, **arguments: object) -> object:
        """Run one command and return what it returns; raises `QmpError`."""
        document: dict[str, object] = {"execute": command}
        if arguments:
            document["arguments"] = arguments
        try:
            self._connection.sendall(json.dumps(document).encode() + b"\n")
        except OSError as error:
            self.closed = True
            raise QmpError(f"QEMU closed its monitor before {command}: {error}") from error
        while True:
            answer: dict[str, Any] | None = None
            for message in self._receive():
                if "event" in message:
                    self.events.append(message)
                elif "return" in message or "error" in message:
                    answer = message
            if answer is None:
                continue
            if "error" in answer:
                raise QmpError(f"QEMU refused {command}: {answer['error'].get('desc', answer['error'])}")
            return answer["return"]

    def read_events(self) -> None:
        """Put the events that have come into `events` (after `select` said so); sets `closed` when QEMU has ended."""
        try:
            self.events.extend(message for message in self._receive() if "event" in message)
        except QmpError:
            self.closed = True

    def _receive(self) -> list[dict[str, Any]]:
        try:
            data = self._connection.recv(65536)
        except TimeoutError as error:
            raise QmpError("QEMU doesn't answer on its monitor") from error
        except OSError as error:
            self.closed = True
            raise QmpError(f"QEMU's monitor broke: {error}") from error
        if not data:
            self.closed = True
            raise QmpError("QEMU closed its monitor")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

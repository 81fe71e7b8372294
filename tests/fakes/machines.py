"""The machines of a fake cloud: loopback machines (real sshd, stand-in system), each at an address of its own.

They get their user data as a cloud machine does, follow its pointer, and read the object from the fake cloud's S3
server: `https://BUCKET.…` and `s3://BUCKET/…` both lead there, inside the machine too (its `curl` is told the way).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from loopback.machine import LoopbackMachine

CURL = """#!/bin/bash
# Stand-in for the names of the real clouds: an address on stdin (`--config -`) is looked up at the fake one.
[[ " $* " != *" --config - "* ]] || exec /usr/bin/curl "$@" < <(sed -E {script})
exec /usr/bin/curl "$@"
"""


@dataclass
class MachinePark:
    """All machines of a fake cloud. `objects` is the address of its S3 server; one login key opens all."""

    folder: Path
    objects: str
    port: int
    signed: Callable[[str, str], str] | None = None
    """Gives the address to read a bucket's key with, as an instance's role does; None where machines have no role."""
    machines: dict[str, LoopbackMachine] = field(default_factory=dict)
    """The machines that are switched on, by the id that the cloud gave them."""
    ever: list[str] = field(default_factory=list)
    """The ids of all machines that were switched on, in order."""

    def __post_init__(self) -> None:
        # Far from 127.0.0.1, and another range for each test process.
        self._hosts = itertools.count(1)
        self._forwards: dict[tuple[str, str], _Forward] = {}
        self._range = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = self.folder / "login"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)

    def address(self) -> str:
        """A new address."""
        return f"{self._range}.{next(self._hosts)}"

    def switch_on(self, id_: str, address: str, user_data: str) -> None:
        """Start a machine with its user data, which has to be a pointer."""
        source = json.loads(user_data)["ignition"]["config"]["replace"]["source"]
        folder = self.folder / id_
        folder.mkdir()
        machine = LoopbackMachine(folder, source, serves=self._served(source), port=self.port, address=address)
        for name in ("login", "login.pub"):
            (folder / name).write_bytes((self.folder / name).read_bytes())
            (folder / name).chmod(0o600)
        # BUCKET.REGION.digitaloceanspaces.com/KEY and BUCKET.s3.REGION.amazonaws.com/KEY
        script = rf"s#https?://([^./]+)\.[^/]*\.(digitaloceanspaces|amazonaws)\.com/#{self.objects}/\1/#"
        curl = machine.path("/run/bin/curl")
        curl.write_text(CURL.format(script=shlex.quote(script)))
        curl.chmod(0o755)
        self.machines[id_] = machine.__enter__()
        self.ever.append(id_)

    def also_at(self, id_: str, address: str) -> None:
        """Make a machine answer at another address too: one that is reserved, and moved to it."""
        if (address, id_) not in self._forwards:
            for other in [place for place in self._forwards if place[0] == address]:
                self._forwards.pop(other).close()
            self._forwards[address, id_] = _Forward(address, self.port, self.machines[id_].address)

    def power(self, id_: str, on: bool) -> None:
        """Power a machine on or off; its disk stays."""
        if on:
            self.machines[id_].plug_in()
        else:
            self.machines[id_].pull_the_plug()

    def switch_off(self, id_: str) -> None:
        """Stop a machine for good."""
        machine = self.machines.pop(id_, None)
        if machine is not None:
            machine.__exit__()

    def close(self) -> None:
        """Stop all machines."""
        for id_ in list(self.machines):
            self.switch_off(id_)
        for forward in self._forwards.values():
            forward.close()

    def _served(self, source: str) -> str:
        parts = urlsplit(source)
        bucket = parts.netloc.partition(".")[0]
        if parts.scheme == "s3" and self.signed is not None:
            return self.signed(bucket, parts.path.lstrip("/"))
        return f"{self.objects}/{bucket}{parts.path}"


class _Forward:
    """Connections to one address handed to another one, same port."""

    def __init__(self, address: str, port: int, target: str) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), socket.create_connection((target, port)) as there:
                    back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
                    back.start()
                    _copy(self.request, there)
                    back.join()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True  # an address that moves is bound again at once
            daemon_threads = True

        self._server = Server((address, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

"""A TFTP server (RFC 1350) for one file: reads alone, no options, one client after the other."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 512
READ, DATA, ACKNOWLEDGE = 1, 3, 4


@contextlib.contextmanager
def serving(content: Callable[[], bytes]) -> Iterator[int]:
    """Answer every read with what `content` gives then; yields the UDP port on 127.0.0.1."""
    stop = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    request, client = server.recvfrom(2048)
                    if struct.unpack("!H", request[:2])[0] == READ:
                        _send(content(), client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            stop.set()
            thread.join()


def _send(data: bytes, client: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as transfer:
        transfer.settimeout(5)
        transfer.connect(client)
        for number in range(len(data) // BLOCK + 1):
            counter = (number + 1) % 65536
            transfer.send(struct.pack("!HH", DATA, counter) + data[number * BLOCK : (number + 1) * BLOCK])
            if struct.unpack("!HH", transfer.recv(2048)[:4]) != (ACKNOWLEDGE, counter):
                return

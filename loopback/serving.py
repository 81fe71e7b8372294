"""Serve HTTP from a thread, for as long as somebody asks."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import http.server
    from collections.abc import Iterator


@contextlib.contextmanager
def serving_thread(server: http.server.HTTPServer) -> Iterator[int]:
    """Serve within the `with` block; yields the port."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""DigitalOcean's HTTP API, as far as the stand-in needs it (docs.digitalocean.com/reference/api)."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from toolchain.plugins.base import ProviderError

POLL_SECONDS = 0.1
"""The real provider looks every 3 s at first after 10 s; nothing here depends on the pace."""


class GoneError(ProviderError):
    """What was asked for does not exist (404)."""


class Api:
    """The API at `endpoint` (no /v2 at the end), with the token from DIGITALOCEAN_TOKEN."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        # Never by a proxy: the address is on this computer.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The decoded answer, {} when it is empty.

        Raises GoneError for a 404, ProviderError with the API's message for other failures.
        """
        request = urllib.request.Request(  # noqa: S310
            f"{self._endpoint}/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {os.environ.get('DIGITALOCEAN_TOKEN', '')}",
            },
        )
        try:
            with self._opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise GoneError(f"{method} {path}: 404 not found") from None
            message = json.loads(error.read() or b"{}").get("message", "")
            raise ProviderError(f"{method} {path}: {error.code} {message}") from None
        except OSError as error:
            raise ProviderError(f"{method} {path}: {error}") from None
        return dict(json.loads(text)) if text else {}

    def wait(self, path: str, kind: str, name: str, wanted: object, seconds: float = 120) -> dict[str, Any]:
        """The object at `path` once its `name` has the value `wanted`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found: dict[str, Any] = self.ask("GET", path)[kind]
            if found[name] == wanted:
                return found
            time.sleep(POLL_SECONDS)
        raise ProviderError(f"{path}: {name} did not become {wanted} within {seconds:.0f} s")

    def act(self, path: str, **action: object) -> None:
        """Start an action and wait until it is completed."""
        started = self.ask("POST", f"{path}/actions", action)["action"]
        self.wait(f"{path}/actions/{started['id']}", "action", "status", "completed")

"""Requests for tests: what a test doesn't care about has a default."""

from __future__ import annotations

from typing import Any

from components.commands.objects.content import Content
from components.commands.reprovision.request import Request
from components.commands.ssh_session import SshTarget

DEFAULTS: dict[str, Any] = {
    "machine": "web", "config_id": "a" * 128, "source": "", "content": "{}", "place": None, "lifecycle": "reset",
    "keep": (), "health": (), "allow_degraded": False, "timeout": 10, "rollback_after": 0, "pause": 0, "drain": "",
    "restore": "", "console_log": "", "console_hint": "",
    "target": SshTarget(host="127.0.0.1", port=9, user="core", known_hosts="/nowhere", host_key_alias="web"),
}  # fmt: skip


def made_request(**changes: Any) -> Request:
    """A request with `DEFAULTS`, but for `changes`; `content` is given as text."""
    fields = {**DEFAULTS, **changes}
    return Request(**{**fields, "content": Content.of(fields["content"])})

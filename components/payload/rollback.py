"""What every Ignition config gets for its machine's rollback to the last good config, and so that a run can be retried.

A machine that is not confirmed within its deadline rolls back by itself (`scripts/rollback.sh`); the deployer's part of
that is `commands/reprovision/rollback.py`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from components.commands.ssh_session import script_text
from components.payload.fragments import enabling_link, text_file

if TYPE_CHECKING:
    from components.payload.fragments import IgnitionConfig

SCRIPT = "/etc/flatcar/rollback.sh"
FETCH_SECONDS = 300
_SERVICE = f"""\
[Unit]
Description=Go back to the last good config unless the running one is confirmed
RequiresMountsFor=/oem /boot
ConditionPathExists={SCRIPT}

[Service]
Type=oneshot
ExecStart=/usr/bin/bash {SCRIPT}
Restart=on-failure
RestartSec=15
"""
_TIMER = """\
[Unit]
Description=The time in which the deployer has to confirm the running config

[Timer]
# of the monotonic clock: setting the clock changes nothing
OnBootSec={seconds}
AccuracySec=1s
Unit=flatcar-rollback.service

[Install]
WantedBy=timers.target
"""


def rollback_fragment(seconds: int) -> IgnitionConfig:
    """What rolls a machine back `seconds` after a boot, unless the config that it runs is confirmed; 0: nothing."""
    if not seconds:
        return {}
    units = [
        {"name": "flatcar-rollback.service", "contents": _SERVICE},
        {"name": "flatcar-rollback.timer", "enabled": True, "contents": _TIMER.format(seconds=seconds)},
    ]
    link = enabling_link("flatcar-rollback.timer", "timers.target")
    return {"storage": {"files": [_script()], "links": [link]}, "systemd": {"units": units}}


@functools.cache
def _script() -> IgnitionConfig:
    return text_file(SCRIPT, script_text("staging.sh", "rollback.sh"), 0o700)


def retry_fragment(config: IgnitionConfig) -> IgnitionConfig:
    """What lets Ignition run `config` again on what its own failed first attempt has left.

    Ignition refuses a file or link that is there already unless it may overwrite it
    (coreos/ignition, internal/exec/stages/files/filesystemEntries.go), and waits forever for a web server that does not
    answer: files and links may be overwritten where the config does not say otherwise, and fetching has an end.
    """
    storage = config.get("storage", {})
    fragment: IgnitionConfig = {}
    for kind, marker in (("files", "contents"), ("links", "target")):
        unsaid = [node for node in storage.get(kind, []) if node.get(marker) and node.get("overwrite") is None]
        if unsaid:
            nodes = [{"path": node["path"], "overwrite": True} for node in unsaid]
            fragment.setdefault("storage", {})[kind] = nodes
    is_remote = any(
        _is_remote(node.get("contents", {})) or any(map(_is_remote, node.get("append", [])))
        for node in storage.get("files", [])
    )
    if is_remote and "timeouts" not in config.get("ignition", {}):
        fragment["ignition"] = {"timeouts": {"httpTotal": FETCH_SECONDS}}
    return fragment


def _is_remote(resource: dict[str, Any]) -> bool:
    return str(resource.get("source") or "").startswith(("http://", "https://"))

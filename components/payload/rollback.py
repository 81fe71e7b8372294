"""What every Ignition config gets so that its machine finds back to the last good config, and can retry a run.

Imported by `ignition_object`. The rest of the way back is on the machine (`scripts/rollback.sh`) and in the deployer
(`commands/way_back.py`): a machine that is not confirmed within its deadline goes back by itself.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from components.commands.ssh_session import script_text

if TYPE_CHECKING:
    from components.payload.lifecycle import IgnitionConfig

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


def with_way_back(config: IgnitionConfig, rollback_after: int) -> IgnitionConfig:
    """The config with what brings its machine back `rollback_after` seconds after a boot, unless it is confirmed."""
    storage = dict(config.get("storage", {}))
    systemd = dict(config.get("systemd", {}))
    file = {"path": SCRIPT, "overwrite": True, "mode": 0o700, "contents": {"source": _script_url()}}
    # Presets are applied when the machine id is new: the lifecycle `flag` needs the link.
    link = {
        "path": "/etc/systemd/system/timers.target.wants/flatcar-rollback.timer",
        "target": "/etc/systemd/system/flatcar-rollback.timer",
        "overwrite": True,
    }
    units = [
        {"name": "flatcar-rollback.service", "contents": _SERVICE},
        {"name": "flatcar-rollback.timer", "enabled": True, "contents": _TIMER.format(seconds=rollback_after)},
    ]
    return {
        **config,
        "storage": {
            **storage,
            "files": [*storage.get("files", []), file],
            "links": [*storage.get("links", []), link],
        },
        "systemd": {**systemd, "units": [*systemd.get("units", []), *units]},
    }


@functools.cache
def _script_url() -> str:
    return "data:," + quote(script_text("staging.sh", "rollback.sh"))


def repeatable(config: IgnitionConfig) -> IgnitionConfig:
    """The config in a form that Ignition can run again on what its own failed first attempt has left.

    Ignition refuses a file or link that is there already unless it may overwrite it
    (coreos/ignition, internal/exec/stages/files/filesystemEntries.go), and waits forever for a web server that does not
    answer: files and links may be overwritten where the config does not say otherwise, and fetching has an end.
    """
    storage = dict(config.get("storage", {}))
    for kind, marker in (("files", "contents"), ("links", "target")):
        if kind in storage:
            storage[kind] = [
                {**node, "overwrite": True} if node.get(marker) and node.get("overwrite") is None else node
                for node in storage[kind]
            ]
    changed = {**config, "storage": storage} if storage else dict(config)
    remote = any(
        _is_remote(node.get("contents", {})) or any(map(_is_remote, node.get("append", [])))
        for node in storage.get("files", [])
    )
    ignition: dict[str, Any] = changed.get("ignition", {})
    if remote and "timeouts" not in ignition:
        changed["ignition"] = {**ignition, "timeouts": {"httpTotal": FETCH_SECONDS}}
    return changed


def _is_remote(resource: dict[str, Any]) -> bool:
    return str(resource.get("source") or "").startswith(("http://", "https://"))

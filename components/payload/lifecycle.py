"""What a lifecycle adds to an Ignition config: for `reformat`, a wiped ROOT and the host keys' way back.

`reformat` keeps the host keys by way of the OEM partition: `scripts/staging.sh` puts them there, and the unit that
`with_lifecycle` adds brings them back before sshd starts, so that no private key leaves the machine.
"""

from __future__ import annotations

from typing import Any

from cl.transpiler.lint import ROOT_DEVICES
from components.settings.lifecycle import Lifecycle

IgnitionConfig = dict[str, Any]
"""A decoded Ignition config of spec 3: JSON, checked by the transpiler."""

_RESTORE_UNIT = """\
[Unit]
Description=Bring back the SSH host keys that waited on the OEM partition
DefaultDependencies=no
RequiresMountsFor=/oem /etc/ssh
After=local-fs.target
Before=sshd-keygen.service sshd.socket sshd.service shutdown.target
Conflicts=shutdown.target
ConditionPathIsDirectory=/oem/.flatcar-host-keys

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cp -p /oem/.flatcar-host-keys/* /etc/ssh/ && sync && rm -rf /oem/.flatcar-host-keys'

[Install]
WantedBy=multi-user.target
RequiredBy=sshd-keygen.service
"""


def with_lifecycle(config: IgnitionConfig, lifecycle: Lifecycle) -> IgnitionConfig:
    """The Ignition config with what its lifecycle adds: for `reformat`, a wiped ROOT and the host keys' way back."""
    if lifecycle is not Lifecycle.REFORMAT:
        return config
    storage = dict(config.get("storage", {}))
    filesystems = [dict(entry) for entry in storage.get("filesystems", [])]
    roots = [entry for entry in filesystems if entry.get("device") in ROOT_DEVICES]
    if not roots:
        roots = [{"device": ROOT_DEVICES[0], "format": "ext4", "label": "ROOT"}]
        filesystems += roots
    for entry in roots:
        entry["wipeFilesystem"] = True
    systemd = dict(config.get("systemd", {}))
    restore = {"name": "flatcar-restore-host-keys.service", "enabled": True, "contents": _RESTORE_UNIT}
    return {
        **config,
        "storage": {**storage, "filesystems": filesystems},
        "systemd": {**systemd, "units": [*systemd.get("units", []), restore]},
    }

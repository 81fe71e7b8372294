"""What a lifecycle adds to an Ignition config: for `reformat`, a wiped ROOT, and host keys that outlive that.

The host keys wait on the OEM partition, where `scripts/staging.sh` puts them; a unit restores them before sshd starts,
so that no private key leaves the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl.transpiler.lint import ROOT_DEVICES
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from components.payload.fragments import IgnitionConfig

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


def lifecycle_fragment(config: IgnitionConfig, lifecycle: Lifecycle) -> IgnitionConfig:
    """For `reformat`: `config`'s own ROOT, or else the usual one, is wiped, and the host keys are restored."""
    if lifecycle is not Lifecycle.REFORMAT:
        return {}
    devices = [entry.get("device") for entry in config.get("storage", {}).get("filesystems", [])]
    roots = [{"device": device, "wipeFilesystem": True} for device in devices if device in ROOT_DEVICES]
    usual = {"device": ROOT_DEVICES[0], "format": "ext4", "label": "ROOT", "wipeFilesystem": True}
    restore = {"name": "flatcar-restore-host-keys.service", "enabled": True, "contents": _RESTORE_UNIT}
    return {"storage": {"filesystems": roots or [usual]}, "systemd": {"units": [restore]}}

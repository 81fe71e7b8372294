"""Lifecycles: what happens to a machine when its config changes, and what is kept. Imported by other components.

| lifecycle  | what goes                       | what stays                                                            |
|------------|---------------------------------|-----------------------------------------------------------------------|
| `reset`    | all of ROOT but the kept paths  | kept paths, SSH host keys, machine id, other file systems             |
| `reformat` | all of ROOT                     | SSH host keys, machine id, other file systems                         |
| `flag`     | nothing: old files stay behind  | everything; new units stay disabled, as presets are not applied again |
| `replace`  | the machine, when a new one runs | what is not in the machine: reserved addresses                       |
| `ignore`   | nothing                         | everything: the change waits in the object, and is told as pending    |

Switching from one to another changes no machine by itself. A machine's object keeps its address for the machine's life.
One that `replace` makes has an object of its own, at an address with its config's id; going back to an in-place
lifecycle, it keeps that address, and another config is written there.

`reformat` keeps the host keys by way of the OEM partition: `scripts/staging.sh` puts them there, and the unit that
`with_lifecycle` adds brings them back before sshd starts, so that no private key leaves the machine.
What is kept, and how paths are matched: `keep`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from cl.transpiler.lint import ROOT_DEVICES

IgnitionConfig = dict[str, Any]
"""A decoded Ignition config of spec 3: JSON, checked by the transpiler."""


class Lifecycle(StrEnum):
    """What happens to a machine when its config changes."""

    RESET = "reset"
    REFORMAT = "reformat"
    FLAG = "flag"
    REPLACE = "replace"
    IGNORE = "ignore"

    @property
    def is_in_place(self) -> bool:
        """Whether the config is run again on the same machine."""
        return self in (Lifecycle.RESET, Lifecycle.REFORMAT, Lifecycle.FLAG)


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

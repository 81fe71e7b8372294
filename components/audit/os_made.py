r"""What the operating system itself puts into /etc, so that nobody needs to declare it. Expressions over whole paths.

After Flatcar's ways, tried on the stand-in alone: baselayout and sysusers (accounts), Ignition (its result and
presets are elsewhere), ca-certificates, afterburn (hostname), open-iscsi and nvme (identities made at the first
boot), docker (key.json), systemd (machine-id, adjtime, ld.so.cache, .updated). Files of accounts are compared as
accounts. `scripts/preview.sh` leaves out the same, and more of other folders.
"""

from __future__ import annotations

OS_MADE = (
    r"/etc/(machine-id|hostname|adjtime|mtab|localtime|resolv\.conf|os-release|ld\.so\.cache)",
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?",
    r"/etc/(\.updated|\.pwd\.lock|\.ignition-result\.json|\.no-dup-update|\.clean)",
    r"/etc/ssh/ssh_host_.*",
    r"/etc/ssl/certs/.*",
    r"/etc/(iscsi/initiatorname\.iscsi|nvme/host(nqn|id)|docker/key\.json)",
    r"/etc/udev/hwdb\.bin",
)

SYSTEM_LOGINS = ("root", "core", "sync", "shutdown", "halt", "operator")
"""Accounts of the image with a shell of some kind."""

PLATFORM_KEYS = ("afterburn", "coreos-metadata", "coreos-cloudinit")
"""Files under ~/.ssh/authorized_keys.d that the platform's metadata fills (coreos-metadata-sshkeys@core)."""

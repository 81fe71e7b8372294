r"""What the operating system itself puts into /etc, so that nobody needs to declare it. Expressions over whole paths.

After Flatcar's ways, tried on the stand-in alone: baselayout and sysusers (accounts), Ignition (its result, and its
presets), ca-certificates, afterburn (hostname), open-iscsi and nvme (identities made at the first
boot), docker (key.json), systemd (machine-id, adjtime, ld.so.cache, .updated), audit-rules.service (audit.rules), on
EC2 the OEM's own services (ssm, eks). Files of accounts are compared as accounts. `scripts/preview.sh` leaves out the
same, and more of other folders.
"""

from __future__ import annotations

import re

OS_MADE = (
    r"/etc/(machine-id|hostname|adjtime|mtab|localtime|resolv\.conf|os-release|ld\.so\.cache)",
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?",
    r"/etc/(\.updated|\.pwd\.lock|\.ignition-result\.json|\.no-dup-update|\.clean)",
    r"/etc/systemd/system-preset/20-ignition\.preset",
    r"/etc/ssh/ssh_host_.*",
    r"/etc/ssl/certs/.*",
    r"/etc/(iscsi/initiatorname\.iscsi|nvme/host(nqn|id)|docker/key\.json)",
    r"/etc/udev/hwdb\.bin",
    r"/etc/audit/audit\.rules",
    r"/etc/amazon/ssm/.*",
    r"/etc/eks/bootstrap\.sh",
    r"/etc/flatcar/(oem-sysext/oem|sysext/flatcar)-[^/]*\.raw",
)

_OS_MADE = re.compile("|".join(OS_MADE))

OS_LINKS = re.compile(
    r"/etc/extensions/oem-[^/]+\.raw (/etc/flatcar/oem-sysext|/oem/sysext|/usr/share/oem/sysext)/oem-[^/]+\.raw"
    r"|/etc/extensions/flatcar-[^/]+\.raw /etc/flatcar/sysext/flatcar-[^/]+\.raw"
)
"""Links, as `PATH TARGET`, to the system extensions of the OS version that runs, made in the initramfs
(flatcar/bootengine, initrd-setup-root-after-ignition)."""

SYSTEM_LOGINS = ("root", "core", "sync", "shutdown", "halt", "operator")
"""Accounts of the image with a shell of some kind."""

PLATFORM_KEYS = ("afterburn", "coreos-metadata", "coreos-cloudinit")
"""Files under ~/.ssh/authorized_keys.d that the platform's metadata fills (coreos-metadata-sshkeys@core)."""


def is_os_made(path: str) -> bool:
    """Whether a path under /etc is what the system itself puts there."""
    return _OS_MADE.fullmatch(path) is not None

"""The `update` and `locksmith` sections as the text of /etc/coreos/update.conf."""

from __future__ import annotations

from cl.transpiler.clc import schema
from cl.transpiler.gotext import lower, quote

_UPDATE = {
    "server": "SERVER",
    "pcr_policy_server": "PCR_POLICY_SERVER",
    "download_user": "DOWNLOAD_USER",
    "download_password": "DOWNLOAD_PASSWORD",
    "machine_alias": "MACHINE_ALIAS",
}
_LOCKSMITH = {
    "reboot_strategy": "REBOOT_STRATEGY",
    "window_start": "LOCKSMITHD_REBOOT_WINDOW_START",
    "window_length": "LOCKSMITHD_REBOOT_WINDOW_LENGTH",
    "group": "LOCKSMITHD_GROUP",
    "etcd_endpoints": "LOCKSMITHD_ENDPOINT",
    "etcd_cafile": "LOCKSMITHD_ETCD_CAFILE",
    "etcd_certfile": "LOCKSMITHD_ETCD_CERTFILE",
    "etcd_keyfile": "LOCKSMITHD_ETCD_KEYFILE",
}


def update_conf(update: schema.Update | None, locksmith: schema.Locksmith | None) -> str:
    """The file's text, without a newline at its end; "" when there is nothing to say.

    Byte for byte as ct v0.9.4 (config/types/update.go, locksmith.go) writes it: without a group the text begins
    with a newline; empty texts are left out for `update` but kept for `locksmith`, which also quotes.
    """
    text = ""
    if update is not None:
        if update.group:
            text += f"GROUP={lower(update.group)}"
        for name, variable in _UPDATE.items():
            if value := getattr(update, name):
                text += f"\n{variable}={value}"
    if locksmith is not None:
        for name, variable in _LOCKSMITH.items():
            if (value := getattr(locksmith, name)) is not None:
                text += f"\n{variable}={quote(value)}"
    return text

"""The stack config of a machine that exists already, as frozen, typed settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.config.section import Section
    from components.stores.settings import StoreSettings

MODES = ("oem", "bucket")
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """`host`: name or address and port for SSH, and what /oem/config.ign holds: the config, or a pointer to it."""

    address: str = ""
    port: int = 22
    mode: str = "oem"


def host_settings(section: Section, ssh_port: int | None, store: StoreSettings) -> HostSettings:
    """Read a machine's `host`; problems go to the section's list. `ssh_port` is `flatcar:ssh.port`."""
    settings = HostSettings(
        address=section.text("address", required=True),
        port=section.integer("port", 22, minimum=1, maximum=65535),
        mode=section.choice("mode", MODES, "oem"),
    )
    if settings.address and not _ADDRESS.fullmatch(settings.address):
        section.problem("address", f"{settings.address!r} is no host name or IP address")
    if settings.mode == "bucket" and store.is_local:
        section.problem(
            "mode", "'bucket' needs a store that the host can read from: set flatcar:store to kind s3 or spaces"
        )
    if ssh_port and settings.port not in (22, ssh_port):
        section.problem(
            "port",
            f"is {settings.port}, and flatcar:ssh.port, which counts for all machines, is {ssh_port}; "
            "take one of them out",
        )
    section.finish()
    return settings

"""Platforms: where machines run. One file per platform; platforms never import each other.

This file holds what `FlatcarMachine` needs from any platform, and imports none of them. A new platform is one
new file with a class that has `ignition_platform`, `login_user` and `create` (the `Platform` protocol).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import pulumi


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformMachine:
    """A machine that exists and is switched on, as the other components see it.

    Everything that talks to the machine takes `depends_on=[machine.resource]`: the addresses below can be known
    before the machine runs (a recorded port, a reserved address), so they don't order anything by themselves.
    """

    resource: pulumi.Resource
    """What has to exist before the machine can be reached; replaced only when the machine itself is."""

    ssh_host: pulumi.Input[str]
    """Name or address for the operator's `ssh`. Kept over reboots, re-provisioning and power cuts."""

    ssh_port: pulumi.Input[int]
    """TCP port of sshd at `ssh_host`; 22 on clouds, a forwarded loopback port in QEMU. Kept as well."""

    console_log: pulumi.Input[str]
    """Path of a file on the operator's computer that the serial console is appended to; "" where there is none.

    Whoever reports that a machine didn't come back shows its last lines.
    """

    console_hint: pulumi.Input[str]
    """Where to look when the machine doesn't answer: half a sentence that follows "its console: "."""

    oem: str = ""
    """For hosts without user data: what lies in /oem/config.ign instead, "pointer" or "config"."""


class Platform(Protocol):
    """What makes a machine from a name and a constant pointer."""

    @property
    def ignition_platform(self) -> str:
        """Ignition's own name of the platform ("qemu", "aws", "digitalocean", "metal").

        It is `transpile(platform=…)`, which fills Container Linux Config's dynamic data such as {PRIVATE_IPV4}.
        """
        ...

    @property
    def login_user(self) -> str | None:
        """Whose SSH keys the platform itself brings to each boot, from its metadata; None: a config has to."""
        ...

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        """Declare the machine `name` and return how to reach it.

        `user_data` is the pointer: Ignition JSON that never changes while the machine lives. The store's object is
        written before the machine is first switched on: the caller puts it into `opts.depends_on`. `opts` are
        passed on to the machine's resource (parent, depends_on, protect, custom_timeouts …).
        Raises `pulumi.RunError` for settings that can't work, so that they fail at preview.
        """
        ...

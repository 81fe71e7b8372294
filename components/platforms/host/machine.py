"""Platform: machines that run Flatcar already and have no user data, such as bare metal; known by address and SSH.

Nothing is created, nothing deleted: `pulumi destroy` forgets the host and leaves it as it is. Ignition reads
/oem/config.ign where there is no user data; what lies there is written while a re-run is staged (`scripts/staging.sh`):
with mode `oem` the config itself, with mode `bucket` the pointer, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.platforms import PlatformMachine
from components.platforms.host import PLATFORM, HostPlatform
from components.platforms.host.settings import HostSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingHost:
    """A host at `address`, with sshd at `port`. `mode` is "oem" or "bucket"; it may change while the host lives."""

    address: str
    port: int = 22
    mode: str = "oem"

    @property
    def ignition_platform(self) -> str:
        """Ignition's name of the platform."""
        return PLATFORM.ignition.name

    @property
    def login_user(self) -> None:
        """SSH keys come with the config: what wrote those that are there may not run again."""

    @property
    def described(self) -> tuple[HostPlatform, HostSettings]:
        """The platform, and what is the machine's own on it (`Platform`)."""
        return PLATFORM, HostSettings(address=self.address, port=self.port, mode=self.mode)

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        """Declare the host `name`; see `Platform.create`. It is not touched before its config has to be run."""
        host = pulumi.ComponentResource("flatcar:index:ExistingHost", name, {"address": self.address}, opts)
        host.register_outputs({})
        return PlatformMachine(
            resource=host,
            ssh_host=self.address,
            ssh_port=self.port,
            console_log="",
            console_hint=f"the screen or management controller of {self.address}",
            oem="pointer" if self.mode == "bucket" else "config",
        )

"""DigitalOcean: droplets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from components.config.credentials import Credential
from components.config.values import closed_port
from components.platforms import VOLUME_STAYS, Descriptor, IgnitionPlatform
from components.platforms.digitalocean.settings import (
    DigitalOceanSettings,
    DropletSettings,
    digitalocean_settings,
    droplet_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from components.config.section import Section
    from components.platforms import Login, PlatformOf
    from components.stores import Store
    from components.stores.settings import StoreSettings

TOKEN = Credential(key="digitalocean:token", variables=("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"))


def check_token() -> None:
    """Raises `pulumi.RunError` when there is no API token for DigitalOcean."""
    if not TOKEN.is_given():
        raise pulumi.RunError(
            "there is no API token for DigitalOcean: export DIGITALOCEAN_TOKEN=…, one that may write "
            "(cloud.digitalocean.com/account/api/tokens), or pulumi config set --secret digitalocean:token"
        )


class DigitalOceanPlatform(Descriptor[DigitalOceanSettings, DropletSettings]):
    """Droplets."""

    name = "digitalocean"
    ignition = IgnitionPlatform(name="digitalocean", ct_platform="digitalocean")
    stores = ("spaces", "s3")
    stack_key = "digitalocean"
    machine_key = "droplet"

    def read_shared(self, section: Section, login: Login) -> DigitalOceanSettings:
        return digitalocean_settings(section.section(self.stack_key), login.public_key)

    def read_own(self, section: Section, shared: DigitalOceanSettings, store: StoreSettings) -> DropletSettings:
        return droplet_settings(section)

    def replace_problems(self, own: DropletSettings) -> Iterator[tuple[str, str]]:
        if own.volume:
            yield "lifecycle", VOLUME_STAYS

    def unreachable(self, port: int, shared: DigitalOceanSettings | None) -> str | None:
        return closed_port(port, shared.open_ports, f"flatcar:{self.stack_key}.open_ports") if shared else None

    def declare(
        self,
        shared: DigitalOceanSettings,
        open_store: Callable[[], Store],
        *,
        retain: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> PlatformOf[DropletSettings]:
        from components.platforms.digitalocean.machine import DigitalOcean, Droplet

        check_token()
        group = DigitalOcean(shared, opts, retain=retain)
        store = open_store()
        return lambda machine: (Droplet(group, machine), store)


PLATFORM = DigitalOceanPlatform()

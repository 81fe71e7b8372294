"""Hosts that are there already: bare metal, and any machine that somebody else makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.config.local_files import objects_dir
from components.platforms import Descriptor, IgnitionPlatform
from components.platforms.host.settings import HostSettings, host_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pulumi

    from components.config.section import Section
    from components.platforms import Login, Platform, PlatformOf
    from components.stores import Store
    from components.stores.settings import StoreSettings


class HostPlatform(Descriptor[int | None, HostSettings]):
    """Hosts, which share `flatcar:ssh.port`."""

    name = "host"
    ignition = IgnitionPlatform(name="metal", ct_platform="custom", oem_pointer=True)
    stores = ("folder", "spaces", "s3")
    machine_key = "host"

    def read_shared(self, section: Section, login: Login) -> int | None:
        return login.port

    def read_own(self, section: Section, shared: int | None, store: StoreSettings) -> HostSettings:
        return host_settings(section, shared, store)

    def replace_problems(self, own: HostSettings) -> Iterator[tuple[str, str]]:
        yield "lifecycle", "'replace' is for clouds: a host can't be made anew; use reset or reformat"

    def pull_problems(self, own: HostSettings) -> Iterator[tuple[str, str]]:
        if own.mode == "oem":
            yield "pull", "needs an object that the host can ask: set host.mode to bucket"

    def declare(
        self,
        shared: int | None,
        open_store: Callable[[], Store],
        *,
        retain: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> PlatformOf[HostSettings]:
        from components.platforms.host.machine import ExistingHost
        from components.stores.local_folder import LocalFolder

        store = open_store()
        folder = LocalFolder(directory=objects_dir(), served=False)  # what was last written to which host

        def platform_of(host: HostSettings) -> tuple[Platform, Store]:
            platform = ExistingHost(address=host.address, port=host.port, mode=host.mode)
            return platform, store if host.mode == "bucket" else folder

        return platform_of


PLATFORM = HostPlatform()

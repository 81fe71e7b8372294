"""Virtual machines in QEMU on this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.config.local_files import machine_image, machines_dir, objects_dir
from components.platforms import Descriptor, IgnitionPlatform
from components.platforms.qemu.settings import QemuSettings, image_setting, qemu_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pulumi

    from components.config.section import Section
    from components.platforms import Login, Platform, PlatformOf
    from components.stores import Store
    from components.stores.settings import StoreSettings


class QemuPlatform(Descriptor[str, QemuSettings]):
    """Machines in QEMU, which share an image."""

    name = "qemu"
    ignition = IgnitionPlatform(
        name="qemu",
        ct_platform="custom",
        limit=65_535 * 512 - 1,  # RFC 1350: numbered blocks, the last one not full
        limit_of="TFTP, by which QEMU serves it,",
    )
    stores = ("folder",)
    on_this_computer = True
    stack_key = "image"
    machine_key = "qemu"

    def read_shared(self, section: Section, login: Login) -> str:
        return image_setting(section, login)

    def read_own(self, section: Section, shared: str, store: StoreSettings) -> QemuSettings:
        return qemu_settings(section)

    def replace_problems(self, own: QemuSettings) -> Iterator[tuple[str, str]]:
        yield "lifecycle", "'replace' is for clouds: a machine in QEMU is its disk; use reset or reformat"

    def unreachable(self, port: int, shared: str | None) -> str | None:
        return "only SSH is forwarded to this computer from a machine in QEMU"

    def declare(
        self,
        shared: str,
        open_store: Callable[[], Store],
        *,
        retain: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> PlatformOf[QemuSettings]:
        from components.platforms.qemu.machine import Qemu

        image = machine_image(shared)
        store = open_store()

        def platform_of(machine: QemuSettings) -> tuple[Platform, Store]:
            platform = Qemu(
                image=image.path,
                image_version=image.version,
                directory=machines_dir(),
                objects=objects_dir(),
                memory_mib=machine.memory_mib or image.memory_mib,
                cpus=machine.cpus,
                disk_gib=machine.disk_gib,
            )
            return platform, store

        return platform_of


PLATFORM = QemuPlatform()

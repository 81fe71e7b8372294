"""Which platform and which store a machine of a stack gets. The one place that knows all platforms and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.places import machine_image, machines_dir
from components.platforms.qemu import Qemu, objects_dir
from components.stores.local_folder import LocalFolder

if TYPE_CHECKING:
    from components.platforms import Platform
    from components.settings import MachineSettings, Settings
    from components.stores import Store


def place(settings: Settings, machine: MachineSettings) -> tuple[Platform, Store]:
    """The platform and the store of one machine. Raises `pulumi.RunError` when what they need is not there."""
    image = machine_image(settings.image)
    objects = objects_dir()
    platform = Qemu(
        image=image.path,
        directory=machines_dir(),
        objects=objects,
        memory_mib=machine.qemu.memory_mib or image.memory_mib,
        cpus=machine.qemu.cpus,
        disk_gib=machine.qemu.disk_gib,
    )
    return platform, LocalFolder(directory=objects)

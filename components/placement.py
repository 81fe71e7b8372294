"""Which platform and which store the machines of a stack get. The one place that knows all platforms and stores.

A cloud's SDK is imported when a stack needs it, not before: a local stack starts without any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.platforms.access import check_spaces_key, check_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from components.platforms import Platform
    from components.settings.machine import StackMachine
    from components.settings.stack import Settings
    from components.stores import Store

    Place = Callable[[StackMachine], tuple[Platform, Store]]


def placement(settings: Settings) -> Place:
    """Declare what the machines of a stack share; a function that gives each machine its platform and store.

    Raises `pulumi.RunError` when what they need is not there.
    """
    if settings.digitalocean is not None:
        from components.platforms.digitalocean.machine import DigitalOcean, Droplet

        check_token()
        droplets = DigitalOcean(settings.digitalocean, retain=_one_stays(settings))
        store = _store(settings)
        return lambda machine: (Droplet(droplets, machine.droplet), store)
    if settings.aws is not None:
        from components.platforms.aws.machine import Aws, Ec2

        instances = Aws(settings.aws, retain=_one_stays(settings))
        store = _store(settings)
        return lambda machine: (Ec2(instances, machine.ec2), store)
    if settings.platform == "host":
        return _hosts(settings)
    return _on_this_computer(settings)


def _one_stays(settings: Settings) -> bool:
    """Whether the cloud keeps a machine that Pulumi forgets: then what guards it has to stay as well."""
    return any(machine.retain_on_delete for machine in settings.machines)


def _store(settings: Settings) -> Store:
    if settings.store.kind == "spaces":
        from components.stores.spaces import Spaces

        check_spaces_key()
        return Spaces(settings.store)
    from components.stores.s3 import S3

    return S3(settings.store)


def _hosts(settings: Settings) -> Place:
    from components.config.local_files import machines_dir
    from components.platforms.host.machine import ExistingHost
    from components.stores.local_folder import LocalFolder

    folder = LocalFolder(directory=machines_dir() / "objects")  # what was last written to which host
    store: Store = folder if settings.store.kind == "folder" else _store(settings)

    def place(machine: StackMachine) -> tuple[Platform, Store]:
        host = machine.host
        return ExistingHost(address=host.address, port=host.port, mode=host.mode), (
            store if host.mode == "bucket" else folder
        )

    return place


def _on_this_computer(settings: Settings) -> Place:
    from components.config.local_files import machine_image, machines_dir
    from components.platforms.qemu.machine import Qemu, objects_dir
    from components.stores.local_folder import LocalFolder

    image = machine_image(settings.image)
    objects = objects_dir()
    folder = LocalFolder(directory=objects)

    def place(machine: StackMachine) -> tuple[Platform, Store]:
        platform = Qemu(
            image=image.path,
            directory=machines_dir(),
            objects=objects,
            memory_mib=machine.qemu.memory_mib or image.memory_mib,
            cpus=machine.qemu.cpus,
            disk_gib=machine.qemu.disk_gib,
        )
        return platform, folder

    return place

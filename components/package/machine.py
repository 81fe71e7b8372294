"""A whole machine: `FlatcarMachine` for programs in other languages."""

from dataclasses import replace
from typing import Any

import pulumi

from components.flatcar_machine import FlatcarMachine
from components.package.given import machine_args, section_of, settings_of
from components.package.inputs import MachineArgs
from components.platforms.registry import PLATFORMS
from components.stores.registry import open_store
from components.stores.settings import StoreSettings

_ON_THIS_COMPUTER = StoreSettings(kind="folder", is_local=True)
_PLATFORMS = {
    platform.machine_key: platform for platform in PLATFORMS if platform.machine_key in MachineArgs.__annotations__
}


class Machine(pulumi.ComponentResource):
    """A Flatcar machine whose config changes in place: in QEMU on this computer, or one that is there already.

    When the config changes, `pulumi up` makes the machine run Ignition again, keeps what `keep` names, and proves that
    it runs the new config; else it is rolled back.
    """

    address: pulumi.Output[str]
    """Name or address for ssh."""
    ssh_command: pulumi.Output[str]
    """What a person types to log in."""
    config_id: pulumi.Output[str]
    """The config id that the machine has proven to run."""
    os_version: pulumi.Output[str]
    """The version of the OS that it was proven on."""
    host_key: pulumi.Output[str]
    """The machine's ed25519 public host key."""
    downtime_seconds: pulumi.Output[float]
    """How long the last re-provisioning took the machine away; 0 when it did not reboot."""

    def __init__(self, name: str, args: MachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        given = dict[str, Any](args)
        chosen = [key for key in _PLATFORMS if given.get(key) is not None]
        if len(chosen) != 1:
            found = " and ".join(chosen) or "none of them"
            raise pulumi.RunError(f"the machine {name!r} needs one of {', '.join(_PLATFORMS)}; given is {found}")
        (key,) = chosen
        descriptor = _PLATFORMS[key]
        settings = settings_of(name, args, beside=tuple(_PLATFORMS))
        with section_of(f"{name}.{key}", given[key]) as section:
            shared = section.text(descriptor.stack_key) if descriptor.stack_key else None
            own = descriptor.read_own(section, shared, _ON_THIS_COMPUTER)
        platform, store = descriptor.declare(shared, lambda: open_store(_ON_THIS_COMPUTER), retain=False)(own)
        # the objects and Commands have to change: what is protected is the machine
        is_protected = bool(opts is not None and opts.protect)
        super().__init__(
            "flatcar:index:Machine", name, {}, pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=False))
        )
        machine = FlatcarMachine(
            name,
            machine_args(given, replace(settings, protect=settings.protect or is_protected), platform, store),
            pulumi.ResourceOptions(parent=self),
        )
        outputs = {field: getattr(machine, field) for field in Machine.__annotations__}
        for field, value in outputs.items():
            setattr(self, field, value)
        self.register_outputs(outputs)

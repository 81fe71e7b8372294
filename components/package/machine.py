"""A whole machine: `FlatcarMachine` for programs in other languages."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pulumi

from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.package.given import machine_args, protection, section_of, settings_of
from components.package.inputs import MachineArgs
from components.package.shared import SHARED
from components.package.stores import given_store
from components.platforms import Platform, PlatformOf
from components.platforms.registry import PLATFORMS
from components.stores import Store
from components.stores.settings import StoreSettings

_PLATFORMS = {
    platform.stack_key if platform.stack_key in SHARED else platform.machine_key: platform for platform in PLATFORMS
}
"""By the input that chooses it."""
_OWN = {platform.machine_key: key for key, platform in _PLATFORMS.items() if key in SHARED}
"""What is a machine's own, where that doesn't choose its platform: with which input it goes."""


class Machine(pulumi.ComponentResource):
    """A Flatcar machine whose config changes in place: on EC2, a droplet, in QEMU on this computer, or one that is
    there already.

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
        wanted = declared_args(name, args)
        is_protected, opts = protection(opts)
        super().__init__("flatcar:index:Machine", name, {}, opts)
        machine = FlatcarMachine(
            name, replace(wanted, protect=wanted.protect or is_protected), pulumi.ResourceOptions(parent=self)
        )
        outputs = outputs_of(machine)
        for field, value in outputs.items():
            setattr(self, field, value)
        self.register_outputs(outputs)


def outputs_of(machine: FlatcarMachine) -> dict[str, pulumi.Output[Any]]:
    """The outputs of a machine, known when a preview has told what happens to it: the component ends with them."""
    outputs = {field: getattr(machine, field) for field in Machine.__annotations__}
    if machine.told is not None:
        outputs["address"] = pulumi.Output.all(machine.address, machine.told).apply(lambda both: both[0])
    return outputs


def declared_args(name: str, given: Mapping[str, Any]) -> FlatcarMachineArgs:
    """What a machine is made of. Raises `pulumi.RunError` for what makes none."""
    settings = settings_of(name, given, beside=(*_PLATFORMS, *_OWN, "store"))
    platform, store = on_platform(name, given)
    return machine_args(given, settings, platform, store)


def on_platform(name: str, given: Mapping[str, Any]) -> tuple[Platform, Store]:
    """The machine's platform and its store. Raises `pulumi.RunError` for what makes none."""
    chosen = [key for key in _PLATFORMS if given.get(key) is not None]
    if len(chosen) != 1:
        found = " and ".join(chosen) or "none of them"
        raise pulumi.RunError(f"the machine {name!r} needs one of {', '.join(_PLATFORMS)}; given is {found}")
    (key,) = chosen
    problems = [
        f"{own} goes with {other}, not with {key}" for own, other in _OWN.items() if own in given and key != other
    ]
    if "store" in given and key != "host":
        problems.append("store goes with host; on a cloud the store is part of what machines share")
    if problems:
        raise pulumi.RunError("\n  ".join([f"the machine {name!r} can't be used:", *problems]))
    platform = _PLATFORMS[key]
    if key in SHARED:
        shared = given[key]
        if not isinstance(shared, SHARED[key]):
            raise pulumi.RunError(
                f"the machine {name!r} can't be used:\n  {key}: has to be the component {SHARED[key].__name__} itself, "
                "made by the same provider"
            )
        with section_of(f"{name}.{platform.machine_key}", given.get(platform.machine_key) or {}) as section:
            own = platform.read_own(section, shared.settings, shared.store)
        on_shared: tuple[Platform, Store] = shared.platform_of(own)
        return on_shared
    store = given.get("store") or {"kind": "folder"}
    if store["kind"] not in platform.stores or (store["kind"] == "s3" and not store.get("public")):
        raise pulumi.RunError(
            f"the machine {name!r} can't be used:\n  store: a host reads from `spaces`, or from `s3` that is `public`: "
            "it has no credentials"
        )
    with section_of(f"{name}.{key}", given[key]) as section:
        shared = section.text(platform.stack_key) if platform.stack_key else None
        own = platform.read_own(section, shared, StoreSettings(kind=store["kind"], is_local=store["kind"] == "folder"))
    platform_of: PlatformOf[Any] = platform.declare(shared, lambda: given_store(name, store), retain=False)
    return platform_of(own)

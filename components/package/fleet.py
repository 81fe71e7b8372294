"""Machines whose changes go in waves: the rollout of a stack for programs in other languages."""

from dataclasses import replace
from typing import Any

import pulumi

from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.package.given import protection, section_of
from components.package.inputs import FleetArgs
from components.package.machine import declared_args, outputs_of
from components.settings.rollout import Member, plan, rollout_settings

_OF_ALL = ("aws", "digitalocean", "ssh")


class Fleet(pulumi.ComponentResource):
    """Flatcar machines whose changed configs come to them in waves: a machine that fails ends the rollout."""

    addresses: pulumi.Output[dict[str, str]]
    """Names or addresses for ssh, by machine."""
    ssh_commands: pulumi.Output[dict[str, str]]
    """What a person types to log in, by machine."""
    config_ids: pulumi.Output[dict[str, str]]
    """The config ids that the machines have proven to run."""

    def __init__(self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        wanted = _wanted(name, args)
        with section_of(f"{name}.rollout", args.get("rollout") or {}) as section:
            rollout = rollout_settings(section)
        members = [
            Member(name=machine, config=given.get("config_name") or given["config"], group=given.get("group", ""))
            for machine, given in args["machines"].items()
        ]
        try:
            steps = plan(rollout, members)
        except ValueError as error:
            raise pulumi.RunError(f"{name!r} can't be used:\n  rollout.groups: {error}") from None
        is_protected, opts = protection(opts)
        super().__init__("flatcar:index:Fleet", name, {}, opts)
        made: dict[str, FlatcarMachine] = {}
        for step in steps:
            machine = replace(
                wanted[step.name],
                protect=wanted[step.name].protect or is_protected,
                after=[made[other] for other in step.after],
                pause=step.pause,
                wave=f"{step.wave + 1} of {step.waves}",
            )
            made[step.name] = FlatcarMachine(step.name, machine, pulumi.ResourceOptions(parent=self))
        of_each = {machine: outputs_of(made[machine]) for machine in args["machines"]}
        self.addresses = pulumi.Output.all(**{machine: of["address"] for machine, of in of_each.items()})
        self.ssh_commands = pulumi.Output.all(**{machine: of["ssh_command"] for machine, of in of_each.items()})
        self.config_ids = pulumi.Output.all(**{machine: of["config_id"] for machine, of in of_each.items()})
        self.register_outputs({field: getattr(self, field) for field in Fleet.__annotations__})


def _wanted(name: str, args: FleetArgs) -> dict[str, FlatcarMachineArgs]:
    """What each machine should be. Raises `pulumi.RunError` that tells what is wrong with all of them."""
    of_all: dict[str, Any] = {key: args[key] for key in _OF_ALL if key in args}  # type: ignore[literal-required]
    wanted, problems = dict[str, FlatcarMachineArgs](), []
    if not args["machines"]:
        raise pulumi.RunError(f"{name!r} can't be used:\n  machines: names no machine")
    for machine, own in args["machines"].items():
        given = {**of_all, **own, "secrets": {**args.get("secrets", {}), **own.get("secrets", {})}}
        given.pop("group", None)
        try:
            wanted[machine] = replace(declared_args(machine, given), shared_variables=args.get("variables") or {})
        except pulumi.RunError as error:
            problems.append(str(error))
    if problems:
        raise pulumi.RunError("\n".join(problems))
    return wanted

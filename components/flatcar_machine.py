"""A Flatcar machine whose config changes in place: the component that the program declares once per machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from components import preview, rollout
from components.commands.reprovision.pulling import STORE
from components.ignition_object import IgnitionObject
from components.live_plans import LivePlans
from components.payload.edits import remember
from components.payload.machine_config import (
    MachineConfig,
    MachineConfigArgs,
    VariableValues,
    config_name,
    machine_config,
)
from components.payload.pinned_config import pinned_config, read_pinned
from components.payload.salt import salt
from components.payload.wanted_config import Variables, WantedConfig, known_summary, wanted_config
from components.reprovision import Reprovision, ReprovisionArgs, host_key_alias
from components.settings.keep import DEFAULT_KEEP, kept_paths
from components.settings.lifecycle import Lifecycle
from components.settings.machine import MachineSettings
from components.settings.problems import machine_problems, variable_problems
from components.stores import TakesReports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.platforms import Platform
    from components.settings.ssh import SshSettings
    from components.stores import Store, StoredReport


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatcarMachineArgs(MachineSettings):
    """What a machine is made of: its settings, and what it has from its stack.

    `files_dir` is where the `local` paths of its configs start. `shared_variables` and `secrets` may be left unused,
    and the values of `secrets` are masked wherever they would be shown; both may be Outputs, as `variables`.
    `strict`: warnings about the config are errors. `after` names the machines that have to be proven before this one
    is re-provisioned, and `pause` the seconds to wait then (`rollout`); `wave` is shown, such as "1 of 3". With
    `--continue-on-error`, it is re-provisioned while no more than `max_failures` machines of the program have failed,
    among which `skips_unreachable` doesn't count those that never answered.
    """

    platform: Platform
    store: Store
    ssh: SshSettings
    files_dir: Path = Path("cl/files")
    shared_variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    strict: bool = True
    after: Sequence[FlatcarMachine] = ()
    pause: int = 0
    wave: str = ""
    max_failures: int = 0
    skips_unreachable: bool = False


class FlatcarMachine(pulumi.ComponentResource):
    """A machine, its object, and the Command that re-provisions it when the object changes."""

    address: pulumi.Output[str]
    """Name or address for ssh."""
    ssh_command: pulumi.Output[str]
    """What a person types to log in."""
    config_id: pulumi.Output[str]
    """The config id that the machine has proven to run; "" for one that pulls, unless somebody waited for it."""
    os_version: pulumi.Output[str]
    host_key: pulumi.Output[str]
    """The machine's ed25519 public host key."""
    downtime_seconds: pulumi.Output[float]
    """How long the last re-provisioning took the machine away; 0 when it did not reboot."""
    told: pulumi.Output[str] | None
    """What a preview says, for who has to wait for that (`preview.add`)."""

    def __init__(self, name: str, args: FlatcarMachineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the machine.

        Raises `pulumi.RunError` when its config can't be used, or settings exclude each other, before any resource is
        made.
        """
        # 1. The Ignition config and its id
        config = checked_config(name, args, pulumi.ResourceOptions(parent=opts.parent if opts is not None else None))
        properties = {
            "config": config_name(args.config),
            "configId": _short(config.config_id),
            **({"pinned": _short(config.config_id)} if args.pinned is not None else {}),
            "lifecycle": args.lifecycle.value,
            "keep": list(DEFAULT_KEEP if args.keep is None else args.keep),
            **({"pull": args.pull.shown()} if args.pull is not None else {}),
            **config.digests,
        }
        looked_at = preview.options()
        super().__init__("flatcar:index:Machine", name, properties, pulumi.ResourceOptions.merge(opts, looked_at))

        # None and a value count as no change to the engine: switching lifecycles replaces nothing.
        made_for = config.unsalted_id if args.lifecycle is Lifecycle.REPLACE else None

        # 2. The object in its store, at an address that never changes while the machine lives; a machine that pulls has
        # no deployer: how it changes without a reboot lies in there
        plans = None
        if args.pull is not None and args.lifecycle is Lifecycle.LIVE:
            plans = LivePlans(name, config.text, args, pulumi.ResourceOptions(parent=self), looked_at)
        ignition_object = IgnitionObject.put(
            name,
            text=config.text if plans is None else plans.text,
            store=args.store,
            pulls=args.pull is not None,
            config_id=config.config_id,
            signing_keys=args.pull.signing_keys if args.pull is not None else (),
            opts=pulumi.ResourceOptions(parent=self, replacement_trigger=made_for),
        )

        # 3. The machine, which knows the address alone
        report = _report_in_store(name, args, pulumi.ResourceOptions(parent=self))
        machine = args.platform.create(
            name,
            user_data=ignition_object.user_data,
            **({"report": report.address} if report is not None else {}),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[ignition_object.resource, *([report.resource] if report is not None else [])],
                protect=args.protect,
                retain_on_delete=args.retain_on_delete,
                replacement_trigger=made_for,
            ),
        )

        # 4. Its way to the wanted config, and the proof
        self.reprovision: Reprovision = Reprovision.of(
            name,
            ReprovisionArgs(
                settings=args,
                config=config,
                ignition_object=ignition_object,
                machine=machine,
                ssh=args.ssh,
                owner=owner(name),
                pause=args.pause,
            ),
            pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    parent=self,
                    depends_on=rollout.after(
                        {} if args.pull else {other.reprovision.machine: other.reprovision for other in args.after},
                        args.max_failures,
                        skips_unreachable=args.skips_unreachable,
                    ),
                ),
                looked_at,
            ),
        )
        planned = preview.Plan(
            lifecycle=args.lifecycle,
            kept=len(kept_paths(args.keep)),
            pulls=args.pull is not None,
            wave=args.wave,
            unsalted_id=config.unsalted_id if isinstance(config.unsalted_id, str) else None,
            is_off=machine.is_off,
            is_there=bool(machine.oem),
            text=config.text,
            live=args.live,
            salt=config.salt if plans is None else plans.salt,
            hides_names=config.salt is not None or (plans is not None and config.masked is not None),
            summary=config.summary,
        )
        told_of = [self, self.reprovision, *([plans] if plans is not None else [])]
        self.told = preview.add(name, planned, told_of, opts.parent if opts is not None else None)
        if not pulumi.runtime.is_dry_run():
            known_summary(config.summary).apply(partial(remember, name))

        self.address = pulumi.Output.from_input(machine.ssh_host)
        self.ssh_command = pulumi.Output.all(machine.ssh_host, machine.ssh_port, host_key_alias(name, machine)).apply(
            lambda way: args.ssh.command(
                name,
                host=way[0],
                port=args.ssh.port or way[1],
                host_key_alias=way[2],
                write=not pulumi.runtime.is_dry_run(),
            )
        )
        self.config_id = self.reprovision.proof("config_id", "")
        if args.lifecycle is Lifecycle.IGNORE and args.pull is None:
            pulumi.Output.all(self.config_id, config.config_id).apply(lambda ids: self._tell_pending(*ids))
        self.os_version = self.reprovision.proof("os_version", "")
        self.host_key = self.reprovision.proof("host_key", "")
        self.downtime_seconds = self.reprovision.proof("downtime_seconds", 0.0)
        self.register_outputs({"address": self.address, "sshCommand": self.ssh_command})

    def _tell_pending(self, runs: str, wanted: str) -> None:
        if runs != wanted:
            pulumi.log.warn(
                f"pending: the machine stays on config id {runs[:12]} (lifecycle 'ignore'), {wanted[:12]} is wanted; "
                "another lifecycle applies it",
                self,
            )


def _report_in_store(name: str, args: FlatcarMachineArgs, opts: pulumi.ResourceOptions) -> StoredReport | None:
    """Declare where the machine puts its reports, if that is the store: one that takes them, as was checked."""
    if args.pull is None or args.pull.report != STORE or not isinstance(args.store, TakesReports):
        return None
    return args.store.report(name, opts)


def _short(config_id: pulumi.Input[str]) -> pulumi.Input[str]:
    if isinstance(config_id, str):
        return config_id[:12]
    known: pulumi.Output[str] = pulumi.Output.all(config_id).apply(lambda ids: str(ids[0])[:12])
    return known


def checked_config(name: str, args: FlatcarMachineArgs, beside: pulumi.ResourceOptions) -> WantedConfig:
    """What the machine `name` should be; its salt is made with the options `beside`. Raises as `FlatcarMachine`."""
    problems = [
        *machine_problems(
            name, args, getattr(args.platform, "described", None), store=getattr(args.store, "described", None)
        ),
        *variable_problems("shared_variables", args.shared_variables),
        *variable_problems("secrets", args.secrets),
    ]
    if problems:
        lines = [f"{setting}: {problem}" if setting else problem for setting, problem in problems]
        raise pulumi.RunError("\n  ".join([f"the machine {name!r} can't be used:", *lines]))
    if args.pinned is not None:
        return _pinned_config(name, args, args.pinned, beside)
    built_in = {"ssh_public_key": args.ssh.public_key, "machine_name": name}
    variables = Variables(own=args.variables, shared={**args.shared_variables, **built_in}, secrets=args.secrets)
    return wanted_config(
        partial(_machine_config, name, args),
        variables,
        # an agent that is there takes another id for another config
        salted=None if args.pull is not None else lambda: salt(name, beside),
    )


def owner(name: str) -> str:
    """Whom the machine belongs to, as it notes it itself."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}/{name}"


def _pinned_config(name: str, args: FlatcarMachineArgs, file: Path, beside: pulumi.ResourceOptions) -> WantedConfig:
    proven = read_pinned(file, name)
    if proven.is_salted:
        salt(name, beside)  # its config's stays the same for when it is pinned no more
    config = pinned_config(_config_args(name, args), proven, str(file))
    if (problem := args.store.secrets_problem([*args.secrets] if proven.is_salted else proven.sensitive)) is not None:
        raise pulumi.RunError(f"{file}: {problem}")
    pulumi.log.warn(
        f"{name}: pinned to config {proven.config_id[:12]}, so that {config_name(args.config)} has no effect; "
        f"`make rollback MACHINE={name} TO=none` takes that back"
    )
    return config


def _machine_config(name: str, args: FlatcarMachineArgs, variables: VariableValues, salt: str) -> MachineConfig:
    config = machine_config(_config_args(name, args), variables, salt)
    problem = args.store.secrets_problem(config.secrets)
    if problem is not None:
        raise pulumi.RunError(f"{config_name(args.config)}: {problem}")
    return config


def _config_args(name: str, args: FlatcarMachineArgs) -> MachineConfigArgs:
    return MachineConfigArgs(
        settings=args,
        machine=name,
        owner=owner(name),
        files_dir=args.files_dir,
        platform=args.platform.ignition_platform,
        platform_user=args.platform.login_user,
        login_user=args.ssh.user,
        login_key=args.ssh.login_key,
        strict=args.strict,
        image_version=getattr(args.platform, "image_version", ""),
    )

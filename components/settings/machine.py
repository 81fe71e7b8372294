"""One machine of a stack: the entries of `flatcar:machines`, checked. `settings` has what a stack's machines share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cl.transpiler.lint import OF_DEVICES, Allowed, OneDevice, Rule
from components.config.section import Section, did_you_mean
from components.platforms.aws.settings import AwsSettings, InstanceSettings, instance_settings
from components.platforms.digitalocean.settings import DropletSettings, droplet_settings
from components.platforms.host.settings import HostSettings, host_settings
from components.settings.health import health_checks
from components.settings.lifecycle import Lifecycle
from components.settings.problems import machine_problems
from components.settings.pull import PullSettings, pull_settings
from components.settings.ssh import PUBLIC_KEY
from components.stores.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pulumi

    from cl.transpiler.butane import Butane
    from components.commands.reprovision.request import HealthCheck

RESERVED_VARIABLES = ("ssh_public_key", "machine_name")
_MACHINE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackWide:
    """What machines share. `root` is the project's folder, `snippets` come before a machine's own."""

    root: Path
    platform: str
    aws: AwsSettings | None
    store: StoreSettings
    snippets: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuSettings:
    """A machine's shape in QEMU. None: the memory that its image needs, the disk size that its image has."""

    memory_mib: int | None = None
    cpus: int = 2
    disk_gib: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """What can be set for one machine, with its defaults: by a stack's config and by a program of one's own alike.

    A setting that the re-provisioning has to know is handed on by its name, to the `Request`'s field of the same name.
    """

    config: Path | str | Butane
    """A file with a Butane or Container Linux Config (`Path`), its text (`str`, or `cl.transpiler.Snippet` with a name
    for reports), or a config written in Python."""
    snippets: Sequence[Path | str | Butane] = ()
    """Configs that are merged over it, in order."""
    variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Fill `${name}`, and must all be used. Outputs that are secret are masked, and what a preview doesn't know yet
    shows as `<computed>` (`wanted_config`)."""
    lifecycle: Lifecycle = Lifecycle.RESET
    keep: Sequence[str] | None = None
    """Presets and expressions over whole paths (see the module `keep`); None, not set: the logs."""
    allow: Collection[Allowed] = ()
    """Rules of `cl.transpiler.lint` that are taken back, or are for one device."""
    generation: int = 0
    """Raising it re-provisions without another change."""
    host_key: str = ""
    """The SSH host key, `TYPE BASE64`, where it is known beforehand; else the console tells it, or the first connection
    pins it."""
    health: Sequence[HealthCheck] = ()
    allow_degraded: bool = False
    """Whether a unit that has failed is no reason to go back."""
    timeout: int = 600
    """Seconds that a boot may take."""
    protect: bool = False
    """Pulumi's, for the machine itself: it can't be deleted or replaced."""
    retain_on_delete: bool = False
    """Pulumi's: the machine is only forgotten."""
    rollback_after: int = 300
    """Seconds after a boot, when a machine that was not proven goes back to its last good config; 0: never."""
    drain: str = ""
    """A shell command for the operator's computer, before the machine is taken down."""
    restore: str = ""
    """The same after the proof."""
    os_update: Literal["allow", "refuse"] = "allow"
    """What to do where an update of the OS waits for the reboot that a re-run needs."""
    take_over: bool = False
    """Whether a machine that belongs to another stack, or to this one by another name, is changed, too."""
    pull: PullSettings | None = None
    """The machine takes its configs by itself: nothing drains it or lets it wait. None: the deployer pushes."""

    def by_name(self) -> dict[str, Any]:
        """The settings by name, for what has fields or arguments of these names."""
        return {setting.name: getattr(self, setting.name) for setting in fields(MachineSettings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackMachine(MachineSettings):
    """One entry of `flatcar:machines`. Paths are relative to the project's folder."""

    name: str
    group: str
    qemu: QemuSettings
    droplet: DropletSettings
    ec2: InstanceSettings
    host: HostSettings


def machine_settings(machines: Section, stack: StackWide) -> tuple[StackMachine, ...]:
    """All entries of the section `flatcar:machines`; what is wrong with them becomes problems of the section."""
    if not machines.names():
        machines.problem("", "names no machine; add for example  web: {config: cl/machine-web.yaml}")
    return tuple(_machine(name, machines.section(name), stack) for name in machines.names())


def existing_files(section: Section, name: str, root: Path) -> tuple[Path, ...]:
    """The files that a list names, relative to `root`; one that isn't there is a problem of the section."""
    files = section.texts(name)
    for file in files:
        if not (root / file).is_file():
            section.problem(name, f"there is no file {file}")
    return tuple(map(Path, files))


def _machine(name: str, section: Section, stack: StackWide) -> StackMachine:
    if not _MACHINE_NAME.fullmatch(name):
        section.problem(
            "", "a machine's name is up to 63 of a-z, 0-9 and '-', starting with a letter, not ending in '-'"
        )
    config = section.text("config", required=True)
    if config and not (stack.root / config).is_file():
        section.problem("config", f"there is no file {config}")
    health = section.section("health")
    checks = health_checks(health)
    qemu, droplet, ec2, host = (section.section(kind) for kind in ("qemu", "droplet", "ec2", "host"))
    for kind, other in (("qemu", qemu), ("digitalocean", droplet), ("aws", ec2), ("host", host)):
        if other.names() and kind != stack.platform:
            other.problem("", f"is for machines on another platform than {stack.platform!r}")
    settings = StackMachine(
        name=name,
        config=Path(config),
        snippets=(*stack.snippets, *existing_files(section, "snippets", stack.root)),
        variables=variables_of(section, "variables"),
        lifecycle=Lifecycle(section.choice("lifecycle", [item.value for item in Lifecycle], Lifecycle.RESET)),
        keep=section.optional_texts("keep"),
        allow=_allowed(section),
        generation=section.integer("generation", 0),
        host_key=_host_key(section),
        health=checks,
        allow_degraded=health.choice("degraded", ("fail", "allow"), "fail") == "allow",
        timeout=section.integer("timeout", 600, minimum=10, maximum=86400),
        rollback_after=_rollback_after(section, sum(check.seconds for check in checks)),
        group=section.text("group"),
        drain=section.text("drain"),
        restore=section.text("restore"),
        os_update="refuse" if section.choice("os_update", ("allow", "refuse"), "allow") == "refuse" else "allow",
        take_over=section.flag("take_over", False),
        pull=pull_settings(section.section("pull"), name) if "pull" in section.names() else None,
        qemu=QemuSettings(
            memory_mib=qemu.integer("memory_mib", 0, maximum=1 << 20) or None,
            cpus=qemu.integer("cpus", 2, minimum=1, maximum=256),
            disk_gib=qemu.integer("disk_gib", 0, maximum=1 << 14) or None,
        ),
        protect=section.flag("protect", False),
        retain_on_delete=section.flag("retain_on_delete", False),
        droplet=droplet_settings(droplet) if stack.platform == "digitalocean" else DropletSettings(),
        ec2=instance_settings(ec2, stack.aws) if stack.aws else InstanceSettings(),
        host=host_settings(host, stack.store.kind) if stack.platform == "host" else HostSettings(),
    )
    for setting, problem in machine_problems(settings):
        section.problem(setting, problem)
    if settings.lifecycle is Lifecycle.REPLACE:
        _check_replace(section, settings, stack.platform)
    if settings.pull is not None and stack.platform == "host" and settings.host.mode == "oem":
        section.problem("pull", "needs an object that the host can ask: set host.mode to bucket")
    for inner in (qemu, health, section):
        inner.finish()
    return settings


def _check_replace(section: Section, machine: StackMachine, platform: str) -> None:
    if platform == "qemu":
        section.problem("lifecycle", "'replace' is for clouds: a machine in QEMU is its disk; use reset or reformat")
    if platform == "host":
        section.problem("lifecycle", "'replace' is for clouds: a host can't be made anew; use reset or reformat")
    if machine.ec2.termination_protection:
        section.problem(
            "ec2.termination_protection",
            "'replace' could not end the old machine; choose an in-place lifecycle, or switch it off",
        )
    if machine.droplet.volume or machine.ec2.volume:
        section.problem(
            "lifecycle",
            "'replace' starts the new machine before the old one goes, and a volume is at one machine at a time; "
            "'reset' and 'reformat' keep the volume's data",
        )


def _rollback_after(section: Section, health_seconds: int) -> int:
    """A machine must not go back while its health checks still run: 300 s, and what the checks may take on top."""
    wanted = section.flag("rollback", True)
    seconds = section.integer("rollback_after", 300 + health_seconds, minimum=30, maximum=86400)
    if seconds < health_seconds + 30:
        section.problem(
            "rollback_after", f"has to be at least {health_seconds + 30}: the health checks may take so long"
        )
    if not wanted and "rollback_after" in section.names():
        section.problem("rollback_after", "has no effect with rollback: false; take one of them out")
    return seconds if wanted else 0


def _allowed(section: Section) -> tuple[Allowed, ...]:
    """Rules, alone or with the one device that they are taken back for: `wipe`, `wipe:/dev/vdb`."""
    rules, allowed = [rule.value for rule in Rule], list[Allowed]()
    for value in section.texts("allow"):
        name, colon, device = value.partition(":")
        if name not in rules:
            section.problem("allow", f"{name!r} is none of {', '.join(rules)}{did_you_mean(name, rules)}")
        elif not colon:
            allowed.append(Rule(name))
        elif name not in OF_DEVICES:
            section.problem("allow", f"{value!r}: this rule is about no device; write {name} alone")
        elif not device.startswith("/dev/"):
            section.problem("allow", f"{value!r} names no device; write {name}:/dev/…, as the finding does")
        else:
            allowed.append(OneDevice(Rule(name), device))
    return tuple(allowed)


def variables_of(section: Section, name: str) -> dict[str, str]:
    """The mapping `name` of a section as variables of configs; names that none can have are problems."""
    variables = section.mapping_of_texts(name)
    for variable in variables:
        if not _VARIABLE_NAME.fullmatch(variable):
            section.problem(
                f"{name}.{variable}", "a variable's name is letters, digits and '_', not starting with a digit"
            )
        elif variable in RESERVED_VARIABLES:
            section.problem(f"{name}.{variable}", "is set by the program itself")
    return variables


def _host_key(section: Section) -> str:
    key = section.text("host_key")
    if key and not PUBLIC_KEY.fullmatch(key):
        section.problem(
            "host_key", "is not an SSH host key of one line (ssh-ed25519 AAAA…), as in ssh_host_ed25519_key.pub"
        )
    return " ".join(key.split()[:2])

"""The stack config as frozen, typed settings. Everything wrong with it fails the preview at once, key by key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import config as runtime_config

from cl.transpiler.lint import Rule
from components import ssh
from components.cloud_values import aws_region_problem
from components.config_section import Section
from components.droplet_settings import (
    DigitalOceanSettings,
    DropletSettings,
    digitalocean_settings,
    droplet_settings,
)
from components.ec2_settings import AwsSettings, InstanceSettings, aws_settings, instance_settings
from components.health_settings import health_checks
from components.host_settings import HostSettings, host_settings
from components.lifecycle import DEFAULT_KEEP, Lifecycle, keep_problem
from components.machine_files import with_files
from components.pull_settings import PullSettings, pull_settings
from components.rollout import Member, Place, RolloutSettings, plan, rollout_settings
from components.ssh import SshSettings
from components.store_settings import StoreSettings, store_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from components.commands.request import HealthCheck

PROJECT = "flatcar"
PLATFORMS = ("qemu", "digitalocean", "aws", "host")
RESERVED_VARIABLES = ("ssh_public_key", "machine_name")

_MACHINE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_JUMP_HOST = re.compile(r"([a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?")
_PUBLIC_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+=*( [^\r\n]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuSettings:
    """A machine's shape in QEMU. None: the memory that its image needs, the disk size that its image has."""

    memory_mib: int | None = None
    cpus: int = 2
    disk_gib: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """One entry of `flatcar:machines`. Paths are relative to the project's folder."""

    name: str
    config: Path
    snippets: tuple[Path, ...]
    variables: Mapping[str, str]
    lifecycle: Lifecycle
    keep: tuple[str, ...]
    allow: tuple[Rule, ...]
    """Rules of `cl.transpiler.lint` that are taken back."""
    generation: int
    host_key: str
    """The SSH host key, `TYPE BASE64`; "" where it is not known beforehand."""
    health: tuple[HealthCheck, ...]
    allow_degraded: bool
    timeout: int
    protect: bool
    retain_on_delete: bool
    rollback_after: int
    """Seconds after a boot; 0: no way back."""
    group: str
    drain: str
    restore: str
    pull: PullSettings | None
    """None: the deployer pushes."""
    qemu: QemuSettings
    droplet: DropletSettings
    ec2: InstanceSettings
    host: HostSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A stack: its machines, and what they share. `secrets` are variables too, masked wherever they would be shown."""

    platform: str
    machines: tuple[MachineSettings, ...]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    files_dir: Path
    strict: bool
    rollout: RolloutSettings
    ssh: SshSettings
    image: str
    digitalocean: DigitalOceanSettings | None
    aws: AwsSettings | None
    store: StoreSettings

    def places(self) -> list[tuple[MachineSettings, Place]]:
        """The machines in the order of the rollout, each with its place in it."""
        by_name = {machine.name: machine for machine in self.machines}
        return [(by_name[place.name], place) for place in plan(self.rollout, _members(self.machines))]


def stack_settings() -> Settings:
    """The settings of the current stack. Raises `pulumi.RunError` that names every wrong key."""
    values = runtime_config.CONFIG.get() or runtime_config.get_config_env()
    secret = {key for key in values if runtime_config.is_config_secret(key)}
    settings, problems = read_settings(values, secret_keys=secret, root=Path())
    if settings is None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise pulumi.RunError(f"the config of stack {pulumi.get_stack()!r} can't be used:{lines}")
    return settings


def read_settings(
    values: Mapping[str, str], *, secret_keys: Collection[str], root: Path
) -> tuple[Settings | None, list[str]]:
    """Settings from the engine's view of stack config (full keys, objects as JSON), and what is wrong with it.

    Keys of other namespaces are left alone, but for `aws:region`, whose shape is looked at. `root` is the project's
    folder. The settings are None when there are problems.
    """
    problems: list[str] = []
    section = Section(PROJECT, with_files(_decoded(values, problems), root, problems), problems)
    section.texts("machine_files")
    problems += [
        f"{key}: holds a secret; secrets belong under {PROJECT}:secrets, which is masked everywhere"
        for key in sorted(secret_keys)
        if key.startswith(PROJECT + ":") and key != f"{PROJECT}:secrets"
    ]
    platform = section.choice("platform", PLATFORMS, PLATFORMS[0])
    login = _ssh(section.section("ssh"))
    droplets, instances = section.section("digitalocean"), section.section("aws")
    for other in {"digitalocean": (instances,), "aws": (droplets,)}.get(platform, (droplets, instances)):
        if other.names():
            other.problem("", f"is for another platform than {platform!r}, which flatcar:platform names")
    aws = aws_settings(instances) if platform == "aws" else None
    if (region := values.get("aws:region")) is not None and (wrong := aws_region_problem(region)) is not None:
        problems.append(f"aws:region: {wrong}")
    store = store_settings(section.section("store"), platform, region or "")
    settings = Settings(
        platform=platform,
        digitalocean=digitalocean_settings(droplets, login.public_key) if platform == "digitalocean" else None,
        aws=aws,
        store=store,
        variables=_variables(section, "variables"),
        secrets=_variables(section, "secrets"),
        files_dir=_folder(section, "files_dir", "cl/files", root),
        strict=section.flag("strict", True),
        image=section.text("image"),
        rollout=rollout_settings(section.section("rollout")),
        ssh=login,
        machines=_machines(section, root, platform, aws, store, _files(section, "snippets", root)),
    )
    section.finish()
    try:
        plan(settings.rollout, _members(settings.machines))
    except ValueError as error:
        section.problem("rollout.groups", str(error))
    for name in sorted(set(settings.variables) & set(settings.secrets)):
        section.problem(f"secrets.{name}", "is a variable as well; keep one of them")
    if problems:
        return None, problems
    return settings, []


def _members(machines: tuple[MachineSettings, ...]) -> list[Member]:
    return [Member(name=machine.name, config=str(machine.config), group=machine.group) for machine in machines]


def _decoded(values: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for key, text in values.items():
        namespace, _, name = key.partition(":")
        if namespace != PROJECT:
            continue
        decoded[name] = text
        if text.lstrip().startswith(("{", "[")):
            try:
                decoded[name] = json.loads(text)
            except ValueError as error:
                problems.append(f"{key}: is not valid JSON: {error}")
                decoded[name] = None
    return decoded


def _machines(
    section: Section,
    root: Path,
    platform: str,
    aws: AwsSettings | None,
    store: StoreSettings,
    snippets: tuple[Path, ...],
) -> tuple[MachineSettings, ...]:
    """`snippets` are for all machines, each one's own come after them."""
    machines = section.section("machines")
    if not machines.names():
        machines.problem("", "names no machine; add for example  web: {config: cl/machine-web.yaml}")
    return tuple(
        _machine(name, machines.section(name), root, platform, aws, store, snippets) for name in machines.names()
    )


def _files(section: Section, name: str, root: Path) -> tuple[Path, ...]:
    files = section.texts(name)
    for file in files:
        if not (root / file).is_file():
            section.problem(name, f"there is no file {file}")
    return tuple(map(Path, files))


def _machine(
    name: str,
    section: Section,
    root: Path,
    platform: str,
    aws: AwsSettings | None,
    store: StoreSettings,
    snippets: tuple[Path, ...],
) -> MachineSettings:
    if not _MACHINE_NAME.fullmatch(name):
        section.problem(
            "", "a machine's name is up to 63 of a-z, 0-9 and '-', starting with a letter, not ending in '-'"
        )
    config = section.text("config", required=True)
    if config and not (root / config).is_file():
        section.problem("config", f"there is no file {config}")
    keep = section.texts("keep", DEFAULT_KEEP)
    for entry in keep:
        if (problem := keep_problem(entry)) is not None:
            section.problem("keep", f"{entry!r} {problem}")
    health = section.section("health")
    checks = health_checks(health)
    qemu, droplet, ec2, host = (section.section(kind) for kind in ("qemu", "droplet", "ec2", "host"))
    for kind, other in (("qemu", qemu), ("digitalocean", droplet), ("aws", ec2), ("host", host)):
        if other.names() and kind != platform:
            other.problem("", f"is for machines on another platform than {platform!r}")
    settings = MachineSettings(
        name=name,
        config=Path(config),
        snippets=(*snippets, *_files(section, "snippets", root)),
        variables=_variables(section, "variables"),
        lifecycle=Lifecycle(section.choice("lifecycle", [item.value for item in Lifecycle], Lifecycle.RESET)),
        keep=keep,
        allow=tuple(map(Rule, section.choices("allow", [rule.value for rule in Rule]))),
        generation=section.integer("generation", 0),
        host_key=_host_key(section),
        health=checks,
        allow_degraded=health.choice("degraded", ("fail", "allow"), "fail") == "allow",
        timeout=section.integer("timeout", 600, minimum=10, maximum=86400),
        rollback_after=_rollback_after(section, sum(check.seconds for check in checks)),
        group=section.text("group"),
        drain=section.text("drain"),
        restore=section.text("restore"),
        pull=pull_settings(section.section("pull"), name, checks) if "pull" in section.names() else None,
        qemu=QemuSettings(
            memory_mib=qemu.integer("memory_mib", 0, maximum=1 << 20) or None,
            cpus=qemu.integer("cpus", 2, minimum=1, maximum=256),
            disk_gib=qemu.integer("disk_gib", 0, maximum=1 << 14) or None,
        ),
        protect=section.flag("protect", False),
        retain_on_delete=section.flag("retain_on_delete", False),
        droplet=droplet_settings(droplet) if platform == "digitalocean" else DropletSettings(),
        ec2=instance_settings(ec2, aws) if aws else InstanceSettings(),
        host=host_settings(host, store.kind) if platform == "host" else HostSettings(),
    )
    if settings.lifecycle is Lifecycle.REPLACE:
        _check_replace(section, settings, platform)
    if settings.pull is not None:
        _check_pull(section, settings, platform)
    for inner in (qemu, health, section):
        inner.finish()
    return settings


def _check_pull(section: Section, machine: MachineSettings, platform: str) -> None:
    if machine.lifecycle is Lifecycle.REPLACE:
        section.problem("lifecycle", "'replace' makes a new machine, and one that pulls changes itself; use reset")
    if platform == "host" and machine.host.mode == "oem":
        section.problem("pull", "needs an object that the host can ask: set host.mode to bucket")
    for name in ("drain", "restore"):
        if getattr(machine, name):
            section.problem(
                name,
                "runs when the deployer stages a re-run, and this machine pulls; use the ExecStop of a unit",
            )


def _check_replace(section: Section, machine: MachineSettings, platform: str) -> None:
    if platform == "qemu":
        section.problem("lifecycle", "'replace' is for clouds: a machine in QEMU is its disk; use reset or reformat")
    if platform == "host":
        section.problem("lifecycle", "'replace' is for clouds: a host can't be made anew; use reset or reformat")
    if machine.protect:
        section.problem(
            "protect", "a protected machine can't be replaced; choose an in-place lifecycle, or unprotect it"
        )
    if machine.retain_on_delete:
        section.problem(
            "retain_on_delete",
            "'replace' would leave a machine behind with each change, which nobody knows of; choose one of them",
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
    return seconds if wanted else 0


def _variables(section: Section, name: str) -> dict[str, str]:
    variables = section.mapping_of_texts(name)
    for variable in variables:
        if not _VARIABLE_NAME.fullmatch(variable):
            section.problem(
                f"{name}.{variable}", "a variable's name is letters, digits and '_', not starting with a digit"
            )
        elif variable in RESERVED_VARIABLES:
            section.problem(f"{name}.{variable}", "is set by the program itself")
    return variables


def _folder(section: Section, name: str, default: str, root: Path) -> Path:
    folder = section.text(name, default)
    if folder != default and not (root / folder).is_dir():
        section.problem(name, f"there is no folder {folder}")
    return Path(folder)


def _host_key(section: Section) -> str:
    key = section.text("host_key")
    if key and not _PUBLIC_KEY.fullmatch(key):
        section.problem(
            "host_key", "is not an SSH host key of one line (ssh-ed25519 AAAA…), as in ssh_host_ed25519_key.pub"
        )
    return " ".join(key.split()[:2])


def _ssh(section: Section) -> SshSettings:
    user = section.text("user", "core")
    if not _USER.fullmatch(user):
        section.problem("user", f"{user!r} is not a user's name")
    jump_host = section.text("jump_host")
    if jump_host and not _JUMP_HOST.fullmatch(jump_host):
        section.problem("jump_host", f"{jump_host!r} is not [user@]host[:port]")
    private_key_file = section.text("private_key_file")
    if private_key_file and not Path(private_key_file).expanduser().is_file():
        section.problem("private_key_file", f"there is no file {private_key_file}")
    public_key = section.text("public_key")
    if private_key_file and not public_key:
        public = Path(private_key_file + ".pub").expanduser()
        public_key = public.read_text(encoding="utf-8").strip() if public.is_file() else ""
        if not public_key:
            section.problem("public_key", f"is missing, and there is no {private_key_file}.pub beside the private key")
    elif not private_key_file and not public_key:
        private_key_file, public_key = ssh.local_key()
    if public_key and not _PUBLIC_KEY.fullmatch(public_key):
        section.problem("public_key", "is not an SSH public key of one line (ssh-ed25519 AAAA… comment)")
    port = section.integer("port", 0, maximum=65535)
    settings = SshSettings(
        user=user,
        port=port or None,
        private_key_file=str(Path(private_key_file).expanduser()) if private_key_file else "",
        public_key=public_key,
        jump_host=jump_host,
    )
    section.finish()
    return settings

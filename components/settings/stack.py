"""The stack config as frozen, typed settings. Everything wrong with it fails the preview at once, key by key."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.runtime import config as runtime_config

from cl.transpiler.report import did_you_mean
from components.config.places import with_places
from components.config.section import Section
from components.platforms import registry
from components.settings import ssh
from components.settings.machine import (
    StackMachine,
    StackWide,
    machine_settings,
)
from components.settings.machine_files import with_files
from components.settings.part import Part, part
from components.settings.problems import variable_problems
from components.settings.rollout import Member, RolloutSettings, Step, plan, plan_of, rollout_settings
from components.settings.ssh import PUBLIC_KEY, SshSettings
from components.settings.stacks import of_stack
from components.stores.registry import open_store, store_settings
from components.stores.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from components.platforms import Descriptor, Platform
    from components.stores import Store


PROJECT = "flatcar"

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_JUMP_HOST = re.compile(r"([a-z_][a-z0-9_-]{0,31}@)?[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A stack: its machines, and what they share. `secrets` are variables too, masked wherever they would be shown."""

    platform: Descriptor[Any, Any]
    shared: object
    """What the machines share on their platform: what its `read_shared` made."""
    machines: tuple[StackMachine, ...]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    files_dir: Path
    strict: bool
    rollout: RolloutSettings
    ssh: SshSettings
    store: StoreSettings

    def rollout_steps(self) -> list[tuple[StackMachine, Step]]:
        """The machines in the order of the rollout, each with its step in it. Of a run that is about a part of them,
        new ones that don't belong to it are left out."""
        by_name, members, its = {machine.name: machine for machine in self.machines}, _members(self.machines), part()
        if its is None:
            return [(by_name[step.name], step) for step in plan(self.rollout, members)]
        # who pulls waits for nobody, so nobody is to wait for it
        others = sorted((name for name in its.others if name in by_name), key=lambda name: bool(by_name[name].pull))
        its = Part(machines=its.machines, others=tuple(others))
        return [(by_name[step.name], step) for step in plan_of(its, self.rollout, members)]

    def declare(self) -> Callable[[StackMachine], tuple[Platform, Store]]:
        """Declare what the machines share; a function that gives each one its platform and its store.

        Raises `pulumi.RunError` when what they need is not there.
        """
        one_stays = any(machine.retain_on_delete for machine in self.machines)
        platform_of = self.platform.declare(self.shared, partial(open_store, self.store), retain=one_stays)
        return lambda machine: platform_of(machine.on_platform)


def stack_settings() -> Settings:
    """The settings of the current stack. Raises `pulumi.RunError` that names every wrong key."""
    values = runtime_config.CONFIG.get() or runtime_config.get_config_env()
    secret = {key for key in values if runtime_config.is_config_secret(key)}
    settings, problems = read_settings(values, secret_keys=secret, root=Path(), stack=pulumi.get_stack())
    if settings is None:
        files = _decoded(values, []).get("machine_files")
        placed = with_places(
            problems,
            values,
            root=Path(),
            stack=pulumi.get_stack(),
            machine_files=[file for file in files if isinstance(file, str)] if isinstance(files, list) else [],
        )
        lines = "".join(f"\n  {problem}" for problem in placed)
        raise pulumi.RunError(f"the config of stack {pulumi.get_stack()!r} can't be used:{lines}")
    return settings


def read_settings(
    values: Mapping[str, str],
    *,
    secret_keys: Collection[str],
    root: Path,
    stack: str = "",
    reader: Callable[[str, Mapping[str, Any], list[str]], Section] = Section,
) -> tuple[Settings | None, list[str]]:
    """Settings from the engine's view of stack config (full keys, objects as JSON), and what is wrong with it.

    Keys of other namespaces are left alone, but for the region of the store's cloud. `root` is the project's
    folder, `stack` the stack's own name, `reader` what they are asked from. The settings are None when there are
    problems.
    """
    problems: list[str] = []
    config = of_stack(with_files(_decoded(values, problems), root, problems), stack, problems)
    section = reader(PROJECT, config, problems)
    section.texts("machine_files")
    section.texts("stacks")
    problems += [
        f"{key}: holds a secret; secrets belong under {PROJECT}:secrets, which is masked everywhere"
        for key in sorted(secret_keys)
        if key.startswith(PROJECT + ":") and key != f"{PROJECT}:secrets"
    ]
    names = [platform.name for platform in registry.PLATFORMS]
    problems += _misspelt_namespaces(values, [PROJECT, *names])
    name = section.choice("platform", names, names[0])
    platform = next(platform for platform in registry.PLATFORMS if platform.name == name)
    login = _ssh(section.section("ssh"), on_this_computer=platform.on_this_computer)
    for other in registry.PLATFORMS:
        if other is not platform and other.stack_key and section.has(other.stack_key):
            section.problem(other.stack_key, f"is for another platform than {name!r}, which flatcar:platform names")
    shared = platform.read_shared(section, login)
    store = store_settings(section.section("store"), platform, partial(_namespace, values, problems))
    settings = Settings(
        platform=platform,
        shared=shared,
        store=store,
        variables=section.mapping_of_texts("variables"),
        secrets=section.mapping_of_texts("secrets"),
        files_dir=_folder(section, "files_dir", "cl/files", root),
        strict=section.flag("strict", True),
        rollout=rollout_settings(section.section("rollout")),
        ssh=login,
        machines=machine_settings(
            section.section("machines"),
            StackWide(
                root=root,
                platform=platform,
                shared=shared,
                store=store,
                snippets=_existing_files(section, "snippets", root),
            ),
        ),
    )
    section.finish()
    section.value_problems(variable_problems("variables", settings.variables))
    section.value_problems(variable_problems("secrets", settings.secrets))
    _check_stack(section, settings)
    try:
        plan(settings.rollout, _members(settings.machines))
    except ValueError as error:
        section.problem("rollout.groups", str(error))
    for name in sorted(set(settings.variables) & set(settings.secrets)):
        section.problem(f"secrets.{name}", "is a variable as well; keep one of them")
    if problems:
        return None, problems
    return settings, []


def _check_stack(section: Section, settings: Settings) -> None:
    """Settings of the stack, or of all its machines, of which one would switch the other off."""
    for machine in settings.machines:
        if machine.group and not settings.rollout.groups:
            section.problem(
                f"machines.{machine.name}.group", "is in no order: name the groups in flatcar:rollout.groups"
            )
    if settings.rollout != RolloutSettings() and settings.machines and all(one.pull for one in settings.machines):
        section.problem("rollout", "lets nothing wait: every machine pulls; use pull.window, pull.jitter or pull.lock")


def _members(machines: tuple[StackMachine, ...]) -> list[Member]:
    return [Member(name=machine.name, config=str(machine.config), group=machine.group) for machine in machines]


def _namespace(values: Mapping[str, str], problems: list[str], name: str) -> Section:
    prefix = f"{name}:"
    own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    return Section(name, own, problems)


def _misspelt_namespaces(values: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Settings that nobody reads, as their namespace is nearly one of ours: others are somebody's own."""
    for key in sorted(values):
        namespace = key.partition(":")[0]
        if namespace not in known and (near := did_you_mean(namespace, known)) is not None:
            yield f"{key}: nobody reads the namespace {namespace!r}; {near}"


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


def _existing_files(section: Section, name: str, root: Path) -> tuple[Path, ...]:
    files = section.texts(name)
    for file in files:
        if not (root / file).is_file():
            section.problem(name, f"there is no file {file}")
    return tuple(Path(file) for file in files if (root / file).is_file())


def _folder(section: Section, name: str, default: str, root: Path) -> Path:
    folder = section.text(name, default)
    if folder != default and not (root / folder).is_dir():
        section.problem(name, f"there is no folder {folder}")
    return Path(folder)


def _missing_key(private_key_file: str) -> str:
    """Configs hold it: were it taken from a computer, another computer would re-provision every machine."""
    file = private_key_file or str(ssh.local_key_file())  # where earlier versions made one
    key = _text_of(file + ".pub")
    if not key:
        file, key = private_key_file or "~/.ssh/id_ed25519", "ssh-ed25519 AAAA… (the line in ~/.ssh/id_ed25519.pub)"
    return (
        "is missing. Configs hold it, so it has to be the same on every computer; write into "
        f"stacks/Pulumi.{pulumi.get_stack()}.yaml:\n"
        f"    flatcar:ssh:\n      private_key_file: {file}\n      public_key: {key}"
    )


def _text_of(file: str) -> str:
    path = Path(file).expanduser()
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _ssh(section: Section, *, on_this_computer: bool) -> SshSettings:
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
    if not public_key and not on_this_computer:
        section.problem("public_key", _missing_key(private_key_file))
    elif not public_key and private_key_file:
        public_key = _text_of(private_key_file + ".pub")
        if not public_key:
            section.problem("public_key", f"is missing, and there is no {private_key_file}.pub beside the private key")
    elif not public_key:
        try:
            private_key_file, public_key = ssh.local_key()
        except ssh.LoginKeyError as error:
            section.problem("", str(error))
    if public_key and not PUBLIC_KEY.fullmatch(public_key):
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

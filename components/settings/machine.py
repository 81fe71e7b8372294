"""One machine of a stack: the entries of `flatcar:machines`, checked. `settings` has what a stack's machines share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cl.transpiler.lint import Allowed, OneDevice, Rule
from components.commands.reprovision.live_plan import DRIFTS, LiveSettings
from components.config.section import Section
from components.platforms import registry
from components.settings.health import health_checks
from components.settings.lifecycle import Lifecycle
from components.settings.problems import allow_problem, machine_problems
from components.settings.pull import PullSettings, pull_settings
from components.settings.ssh import without_comment
from components.stores.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pulumi

    from cl.transpiler.butane import Butane
    from components.commands.reprovision.request import HealthCheck
    from components.platforms import Descriptor


@dataclass(frozen=True, slots=True, kw_only=True)
class StackWide:
    """What machines share. `root` is the project's folder, `snippets` come before a machine's own."""

    root: Path
    platform: Descriptor[Any, Any]
    shared: object
    store: StoreSettings
    snippets: tuple[Path, ...]


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
    """What happens to the machine when its config changes (see the module `lifecycle`)."""
    keep: Sequence[str] | None = None
    """Presets and expressions over whole paths (see the module `keep`); None, not set: the logs."""
    allow: Collection[Allowed] = ()
    """Rules of `cl.transpiler.lint` that are taken back, or are for one device."""
    generation: int = 0
    """Raising it re-provisions without another change."""
    pinned: Path | None = None
    """A file with an object that was proven before, which `make rollback` writes: the machine goes back to that, and
    its configs, variables and generation have no effect (operate.md)."""
    host_key: str = ""
    """The SSH host key, `TYPE BASE64`, where it is known beforehand; else the console tells it, or the first connection
    pins it."""
    health: Sequence[HealthCheck] = ()
    """What has to hold, before a changed machine is proven."""
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
    live: LiveSettings | None = None
    """With the lifecycle `live`: `restart` and `reload` have units by files that no unit names, and `drift: refuse`
    leaves a machine alone that has drifted (live.md)."""
    take_over: bool = False
    """Whether a machine that belongs to another stack, or to this one by another name, is changed, too."""
    pull: PullSettings | None = None
    """The machine takes its configs by itself: nothing drains it or lets it wait. None: the deployer pushes."""

    def by_name(self) -> dict[str, Any]:
        """The settings by name, for what has fields or arguments of these names."""
        return {setting.name: getattr(self, setting.name) for setting in fields(MachineSettings)}


_DEFAULT = MachineSettings(config="")


@dataclass(frozen=True, slots=True, kw_only=True)
class StackMachine(MachineSettings):
    """One entry of `flatcar:machines`. Paths are relative to the project's folder."""

    name: str
    group: str
    stack: str
    """Of several stacks with one file of settings, the one that it belongs to."""
    on_platform: object
    """What is its own on its platform: what the platform's `read_own` made."""


def machine_settings(machines: Section, stack: StackWide) -> tuple[StackMachine, ...]:
    """All entries of the section `flatcar:machines`; what is wrong with them becomes problems of the section."""
    if not machines.names():
        machines.problem("", "names no machine; add for example  web: {config: cl/machine-web.yaml}")
    return tuple(_machine(name, machines.section(name), stack) for name in machines.names())


def _machine(name: str, section: Section, stack: StackWide) -> StackMachine:
    platform = stack.platform
    for other in registry.PLATFORMS:
        if other is not platform and section.has(other.machine_key):
            section.problem(other.machine_key, f"is for machines on another platform than {platform.name!r}")
    settings = StackMachine(
        name=name,
        config=Path(section.text("config", required=True)),
        snippets=(*stack.snippets, *map(Path, section.texts("snippets"))),
        variables=section.mapping_of_texts("variables"),
        group=section.text("group"),
        stack=section.text("stack"),
        on_platform=platform.read_own(section.section(platform.machine_key), stack.shared, stack.store),
        **common_settings(name, section),
    )
    on_platform = platform, settings.on_platform
    section.value_problems(machine_problems(name, settings, on_platform, stack.root, stack.shared, stack.store))
    section.finish()
    return settings


def common_settings(name: str, section: Section) -> dict[str, Any]:
    """Of a machine's settings, by name, those that are written alike in a stack's config and by other languages: all
    but its configs and their variables. What has another type or name goes to the section's problems."""
    health = section.section("health")
    checks = health_checks(health)
    settings = dict[str, Any](
        lifecycle=Lifecycle(section.choice("lifecycle", [item.value for item in Lifecycle], Lifecycle.RESET)),
        keep=section.optional_texts("keep"),
        allow=_allowed(section),
        generation=section.whole_number("generation", _DEFAULT.generation),
        pinned=Path(pinned) if (pinned := section.text("pinned")) else None,
        host_key=without_comment(section.text("host_key")),
        health=checks,
        allow_degraded=health.choice("degraded", ("fail", "allow"), "fail") == "allow",
        timeout=section.whole_number("timeout", _DEFAULT.timeout),
        rollback_after=_rollback_after(section, sum(check.seconds for check in checks)),
        drain=section.text("drain"),
        restore=section.text("restore"),
        os_update="refuse" if section.choice("os_update", ("allow", "refuse"), "allow") == "refuse" else "allow",
        live=live_settings(section.section("live")) if "live" in section.names() else None,
        take_over=section.flag("take_over", False),
        pull=pull_settings(section.section("pull"), name) if "pull" in section.names() else None,
        protect=section.flag("protect", False),
        retain_on_delete=section.flag("retain_on_delete", False),
    )
    health.finish()
    return settings


def live_settings(section: Section) -> LiveSettings:
    """Read `live` of a machine."""
    settings = LiveSettings(
        restart=section.mapping_of_texts("restart"),
        reload=section.mapping_of_texts("reload"),
        drift=section.choice("drift", DRIFTS, "reset"),
    )
    section.finish()
    return settings


def _rollback_after(section: Section, health_seconds: int) -> int:
    """Unless it is set, the default, and what the health checks may take on top."""
    wanted = section.flag("rollback", True)
    seconds = section.whole_number("rollback_after", _DEFAULT.rollback_after + health_seconds)
    if not seconds:
        section.problem("rollback_after", "has to be some time; rollback: false switches it off")
    if not wanted and "rollback_after" in section.names():
        section.problem("rollback_after", "has no effect with rollback: false; take one of them out")
    return seconds if wanted else 0


def _allowed(section: Section) -> tuple[Allowed, ...]:
    """Rules, alone or with the one device that they are taken back for: `wipe`, `wipe:/dev/vdb`."""
    allowed = list[Allowed]()
    for value in section.texts("allow"):
        rule, colon, device = value.partition(":")
        if (problem := allow_problem(value)) is not None:
            section.problem("allow", problem)
        else:
            allowed.append(OneDevice(Rule(rule), device) if colon else Rule(rule))
    return tuple(allowed)

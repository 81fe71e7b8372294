"""What is wrong with one machine's settings, by themselves or beside others: told before anything is made.

`machine_settings` asks for a stack's machines, and `FlatcarMachine` for those of a program of one's own; reading from a
stack's config refuses only what makes no setting: other types, unknown names. What is allowed though one of two
settings has no effect, and why, is in docs/configs.md, "Settings that exclude each other".
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.transpiler.lint import OF_DEVICES, OneDevice, Rule
from components.commands.reprovision.live_plan import DRIFTS, may_restart
from components.commands.reprovision.pulling import STORE
from components.config.section import bounds_problem, choice_problem, meant
from components.settings.health import health_problems
from components.settings.keep import keep_problems
from components.settings.lifecycle import Lifecycle
from components.settings.pull import pull_problems
from components.settings.ssh import PUBLIC_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cl.transpiler.butane import Butane
    from components.commands.reprovision.live_plan import LiveSettings
    from components.platforms import Descriptor
    from components.settings.machine import MachineSettings
    from components.settings.pull import PullSettings
    from components.stores.settings import StoreSettings


DAY = 86400
"""Seconds."""
OS_UPDATES = ("allow", "refuse")
RESERVED_VARIABLES = ("ssh_public_key", "machine_name")
_MACHINE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def machine_problems(
    name: str,
    machine: MachineSettings,
    on_platform: tuple[Descriptor[Any, Any], object] | None,
    root: Path = Path(),
    shared: object = None,
    store: StoreSettings | None = None,
) -> Iterator[tuple[str, str]]:
    """A setting's name, what is wrong with it and what to do, for each that is wrong by itself or beside another.

    The name is "" for the machine's own `name`. `on_platform` is its platform and what is its own there, None where
    that is not known. Paths of configs start at `root`. `shared` is what the stack's machines share there, `store`
    where their objects lie, if known.
    """
    if not _MACHINE_NAME.fullmatch(name):
        yield "", "a machine's name is up to 63 of a-z, 0-9 and '-', starting with a letter, not ending in '-'"
    yield from _file_problems("config", [machine.config], root)
    yield from _file_problems("snippets", machine.snippets, root)
    yield from variable_problems("variables", machine.variables)
    for allowed in machine.allow:
        text = f"{allowed.rule}:{allowed.device}" if isinstance(allowed, OneDevice) else allowed
        if (problem := allow_problem(text)) is not None:
            yield "allow", problem
    if machine.host_key and not PUBLIC_KEY.fullmatch(machine.host_key):
        yield "host_key", "is not an SSH host key of one line (ssh-ed25519 AAAA…), as in ssh_host_ed25519_key.pub"
    for setting, problem in (
        ("generation", bounds_problem(machine.generation, 0)),
        ("timeout", bounds_problem(machine.timeout, 10, DAY)),
        ("rollback_after", _rollback_problem(machine)),
        ("os_update", choice_problem(machine.os_update, OS_UPDATES)),
    ):
        if problem is not None:
            yield setting, problem
    if machine.live is not None:
        yield from _live_problems(machine.live)
    if on_platform is None:
        yield from health_problems(machine.health)
    else:
        yield from health_problems(machine.health, partial(on_platform[0].unreachable, shared=shared))
    for problem in keep_problems(machine.keep or ()):
        yield "keep", problem
    if machine.keep and machine.lifecycle in _KEEPS_NOTHING:
        why = _KEEPS_NOTHING[machine.lifecycle]
        yield "keep", f"is lost: {machine.lifecycle.value!r} {why}; use reset, or take keep out"
    if machine.lifecycle is Lifecycle.LIVE and not machine.rollback_after:
        yield "lifecycle", "'live' changes only machines that can roll back by themselves; use reset, or rollback: true"
    if machine.lifecycle is Lifecycle.REPLACE:
        yield from _replaced(machine)
    if machine.pinned is not None:
        yield from _pinned(name, machine, machine.pinned, root)
    if machine.pull is not None:
        yield from pull_problems(machine.pull)
        yield from _pulled(machine, machine.pull)
        if machine.pull.report == STORE and not _takes_reports(store, on_platform[0] if on_platform else None):
            yield "pull.report", _NO_REPORTS
    if on_platform is not None:
        platform, own = on_platform
        if machine.lifecycle is Lifecycle.REPLACE:
            yield from platform.replace_problems(own)
        if machine.pull is not None:
            yield from platform.pull_problems(own)


_NO_REPORTS = (
    "'store' is for machines on EC2 with a private S3 bucket, where each may put its own report by its role; others "
    "have no credentials to write with: give the address of a server that takes PUT and GET, such as "
    "https://reports.example/{machine}"
)


def _takes_reports(store: StoreSettings | None, platform: Descriptor[Any, Any] | None) -> bool:
    """Whether machines have credentials for the store: those that read what is private there may put a report."""
    return store is not None and platform is not None and not store.public and store.kind in platform.private_stores


def variable_problems(setting: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The same for names of variables."""
    for name in names:
        if not _VARIABLE_NAME.fullmatch(name):
            yield f"{setting}.{name}", "a variable's name is letters, digits and '_', not starting with a digit"
        elif name in RESERVED_VARIABLES:
            yield f"{setting}.{name}", "is set by the program itself"


def allow_problem(text: str) -> str | None:
    """What is wrong with a rule to take back, `RULE` or `RULE:DEVICE`."""
    rules = [rule.value for rule in Rule]
    name, colon, device = text.partition(":")
    if name not in rules:
        return f"{name!r} is none of {', '.join(rules)}{meant(name, rules)}"
    if colon and name not in OF_DEVICES:
        return f"{text!r}: this rule is about no device; write {name} alone"
    if colon and not device.startswith("/dev/"):
        return f"{text!r} names no device; write {name}:/dev/…, as the finding does"
    return None


def _file_problems(setting: str, sources: Sequence[Path | str | Butane], root: Path) -> Iterator[tuple[str, str]]:
    for source in sources:
        if isinstance(source, Path) and not (root / source).is_file():
            yield setting, f"there is no file {source}"


def _rollback_problem(machine: MachineSettings) -> str | None:
    """A machine must not go back while its health checks still run."""
    seconds, health = machine.rollback_after, sum(check.seconds for check in machine.health)
    if seconds and seconds < health + 30:
        return f"has to be at least {health + 30}: the health checks may take so long"
    return bounds_problem(seconds, 30, max(DAY, 300 + health)) if seconds else None


_NO_LIVE_UNITS = (
    "has to be services, timers, sockets or path units, parted by blanks; no templates, and none that the machine "
    "stands on, as sshd and systemd-* are"
)


def _live_problems(live: LiveSettings) -> Iterator[tuple[str, str]]:
    if (problem := choice_problem(live.drift, DRIFTS)) is not None:
        yield "live.drift", problem
    for setting, units in (("restart", live.restart), ("reload", live.reload)):
        for pattern, names in units.items():
            if not pattern.startswith("/"):
                yield f"live.{setting}", f"{pattern!r} is no absolute path, such as /etc/app/*"
            if not may_restart(names):
                yield f"live.{setting}", f"{names!r} {_NO_LIVE_UNITS}"


_KEEPS_NOTHING = {
    Lifecycle.REFORMAT: "makes the root file system anew",
    Lifecycle.REPLACE: "makes a new machine, and the old one goes with its disk",
}


def _replaced(machine: MachineSettings) -> Iterator[tuple[str, str]]:
    if machine.protect:
        yield "protect", "a protected machine can't be replaced; choose an in-place lifecycle, or unprotect it"
    if machine.retain_on_delete:
        yield (
            "retain_on_delete",
            "'replace' would leave a machine behind with each change, which nobody knows of; choose one of them",
        )
    for name in ("drain", "restore"):
        if getattr(machine, name):
            why = "runs when the deployer stages a re-run, and 'replace' stages none"
            yield name, f"{why}; use the ExecStop of a unit, or an in-place lifecycle"


def _pinned(name: str, machine: MachineSettings, file: Path, root: Path) -> Iterator[tuple[str, str]]:
    if machine.pull is not None:
        yield "pinned", "a machine that pulls refuses an object that is older than its own; change its config"
    if machine.lifecycle is Lifecycle.REPLACE:
        yield "pinned", "'replace' makes a new machine of its config; change that, or use an in-place lifecycle"
    if not (root / file).is_file():
        version = re.search(r"-([0-9a-f]{12})-[0-9a-f]{12}\b", file.name)
        way = f"; `make rollback MACHINE={name} TO={version[1]}` writes it on this computer, too" if version else ""
        yield "pinned", f"there is no file {file}{way}"


def _pulled(machine: MachineSettings, pull: PullSettings) -> Iterator[tuple[str, str]]:
    if machine.lifecycle is Lifecycle.REPLACE:
        yield "lifecycle", "'replace' makes a new machine, and one that pulls changes itself; use reset"
    for name in ("drain", "restore"):
        if getattr(machine, name):
            yield name, "runs when the deployer stages a re-run, and this machine pulls; use the ExecStop of a unit"
    if pull.wait != "ssh":
        for check in machine.health:
            if check.vantage != "machine":
                yield (
                    "pull.wait",
                    f"the health check {check.name!r} is asked from the operator's computer: wait for ssh",
                )

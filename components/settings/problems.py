"""Settings of one machine that switch each other off: told before anything is made. Pure.

`machine_settings` asks for a stack's machines, and `FlatcarMachine` for those of a program of one's own. What is
allowed though one of two settings has no effect, and why, is in docs/configs.md, "Settings that exclude each other".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.settings.keep import keep_problems
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from components.settings.machine import MachineSettings
    from components.settings.pull import PullSettings


def machine_problems(machine: MachineSettings) -> Iterator[tuple[str, str]]:
    """A setting's name, what is wrong with it and what to do, for each that is wrong by itself or beside another."""
    for problem in keep_problems(machine.keep or ()):
        yield "keep", problem
    if machine.keep and machine.lifecycle in _KEEPS_NOTHING:
        why = _KEEPS_NOTHING[machine.lifecycle]
        yield "keep", f"is lost: {machine.lifecycle.value!r} {why}; use reset, or take keep out"
    if machine.lifecycle is Lifecycle.REPLACE:
        yield from _replaced(machine)
    if machine.pull is not None:
        yield from _pulled(machine, machine.pull)


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

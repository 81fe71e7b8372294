"""A large fleet in waves under the real engine. What it costs: bench row 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopback.fleet import fleet_stack, running_fleet, waves_hold
from toolchain.checkpoints import SKIPPED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project


def keeps_its_waves(folder: Path, pulumi: Project, machines: int) -> None:
    """Make so many machines, change them all, and assert that the waves hold at every moment."""
    names = [f"m{number:03}" for number in range(machines)]
    with running_fleet(folder / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "25%", "max_unavailable": machines * 12 // 100}
        stack = fleet_stack(fleet, pulumi, **SKIPPED)  # nothing that waves depend on: bench row 7 has it
        for file in ("/etc/one", "/etc/two"):
            fleet.write(stack.directory, file)
            stack.up()
        waves_hold(fleet, names)
        assert all(machine.boots == 2 for machine in fleet.machines.values())

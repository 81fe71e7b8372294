"""A hundred machines in waves under the real engine; $ROLLOUT_MACHINES for another number. What it costs: bench row 7.

In a file of its own, so that it runs beside the other tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from loopback.fleet import fleet_stack, running_fleet, waves_hold

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project

pytestmark = pytest.mark.slow

WITHOUT_CHECKPOINTS = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
"""The engine writes its state at the end alone. With a state after each step it encrypts all secrets hundreds of times:
two fifths of this test's processor time, and nothing that waves depend on. Bench row 7 has it."""
MACHINES = int(os.environ.get("ROLLOUT_MACHINES", "100"))


def test_a_large_fleet_keeps_its_waves_at_every_moment(tmp_path: Path, pulumi: Project) -> None:
    names = [f"m{number:03}" for number in range(MACHINES)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "25%", "max_unavailable": 12}
        stack = fleet_stack(fleet, pulumi, **WITHOUT_CHECKPOINTS)
        for file in ("/etc/one", "/etc/two"):
            fleet.write(stack.directory, file)
            stack.up()
        waves_hold(fleet, names)
        assert all(machine.boots == 2 for machine in fleet.machines.values())

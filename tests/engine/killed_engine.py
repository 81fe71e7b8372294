"""An engine that is killed while it changes a fleet and skips its checkpoints: the next run converges."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from loopback.fleet import fleet_stack, running_fleet
from loopback.machine import wait_until
from toolchain.checkpoints import SKIPPED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project

NAMES = ("canary", "web-1", "web-2", "web-3")
"""In three waves: when the engine ends, some are through, some are on their way, and some are untouched."""


def converges_wherever_it_is_killed(folder: Path, pulumi: Project, points: int) -> None:
    """Kill the engine at so many points of a run, spread over it, and assert that the next one finishes the change.

    No machine reboots a second time, and none twice in one run.
    """
    with running_fleet(folder / "fleet", NAMES) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "2"}
        stack = fleet_stack(fleet, pulumi)
        state = stack.scratch / "state" / ".pulumi" / "stacks"
        fleet.write(stack.directory, "/etc/first")
        stack.up()
        stack.env |= SKIPPED
        fleet.write(stack.directory, "/etc/second")
        start = time.monotonic()
        stack.up()
        length = time.monotonic() - start
        boots, written, states = 2, _written(state), set[tuple[int, ...]]()
        for point in range(points):
            fleet.write(stack.directory, f"/etc/at-{point}")
            with stack.running("up", "--yes", "--skip-preview") as engine:
                time.sleep(length * (point + 0.5) / points)
                engine.kill()
                engine.wait()
            if _written(state) == written:  # else it was at its end
                states.add(tuple(machine.boots - boots for machine in fleet.machines.values()))
            stack.run("cancel", "--yes", code=None)
            done = stack.up()
            boots += 1
            assert {name: machine.boots for name, machine in fleet.machines.items()} == dict.fromkeys(NAMES, boots), (
                f"killed at {point + 0.5} of {points} parts\n{done.output}"
            )
            for machine in fleet.machines.values():
                assert machine.path(f"/etc/at-{point}").exists()
                wait_until(lambda machine=machine: not machine.path("/oem/config.ign").exists())
            assert set(stack.preview().ops().values()) == {"same"}
            written = _written(state)
        assert len(states) > 1, f"machines were in one state only: {states}"


def _written(state: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(state.rglob("*.json"))]

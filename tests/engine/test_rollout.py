"""Rollouts under the real engine: waves, their end at the first failure, and who takes no part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.engine.fleet import PROGRAM, running_fleet, waves_hold
from tests.engine.loopback_machine import wait_until

if TYPE_CHECKING:
    from tests.conftest import Project

PROJECT = Path(__file__).parents[2]


def test_a_small_fleet_through_success_failure_and_a_change_of_some(tmp_path: Path, pulumi: Project) -> None:
    names = [f"m{number}" for number in range(6)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "3", "max_unavailable": 2}
        stack = pulumi(PROGRAM, env={**fleet.environment, "PYTHONPATH": str(PROJECT)})
        (stack.directory / "components").symlink_to(PROJECT / "components")
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        assert fleet.absences() == [], "creation boots once"

        fleet.write(stack.directory, "/etc/two")
        stack.up()
        waves_hold(fleet, names)
        boots = {name: machine.boots for name, machine in fleet.machines.items()}

        # a bad config ends at the canary, which is back; the others run the old config and have not noticed
        fleet.forget()
        fleet.write(stack.directory, "/etc/sick")
        failed = stack.up(code=None)
        assert failed.code != 0
        assert any("back on its last good config id" in line for line in failed.progress("m0-reprovision"))
        for name, machine in fleet.machines.items():
            assert machine.path("/etc/two").exists(), name
            assert machine.boots == boots[name] + (2 if name == "m0" else 0)

        # the next `up` goes on, with all of them
        fleet.forget()
        fleet.write(stack.directory, "/etc/three")
        stack.up()
        waves_hold(fleet, names)

        # who does not change takes no part
        fleet.forget()
        fleet.settings["generation"] = {"m2": 1, "m5": 1}
        fleet.write(stack.directory, "/etc/three")
        stack.up()
        waves_hold(fleet, ["m2", "m5"])

        # connection settings re-run nothing
        fleet.forget()
        fleet.settings["ssh"] = {**fleet.settings["ssh"], "public_key": "", "user": "somebody-else", "port": 1}
        fleet.write(stack.directory, "/etc/three")
        changed = stack.up()
        assert {op for name, op in changed.ops().items() if name.endswith("-reprovision")} == {"update"}
        assert fleet.absences() == []


def test_a_killed_pulumi_leaves_its_lock_and_after_cancel_the_next_run_converges(
    tmp_path: Path, pulumi: Project
) -> None:
    with running_fleet(tmp_path / "fleet", ["m0"]) as fleet:
        stack = pulumi(PROGRAM, env={**fleet.environment, "PYTHONPATH": str(PROJECT)})
        (stack.directory / "components").symlink_to(PROJECT / "components")
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.write(stack.directory, "/etc/two")
        machine = fleet.machines["m0"]
        machine.seconds_down = 5
        with stack.running("up", "--yes", "--skip-preview") as engine:
            wait_until(lambda: bool(machine.went_down), seconds=120)
            machine.pull_the_plug()  # it stays away until both have been looked at
            second = stack.up(code=None)
            assert second.code != 0
            assert "is currently locked by 1 lock" in second.output, "two at once: the engine's lock"
            engine.kill()
            engine.wait()
        machine.plug_in()
        assert "pulumi cancel" in stack.up(code=None).output
        stack.run("cancel", "--yes")
        stack.up()
        assert machine.path("/etc/two").exists()

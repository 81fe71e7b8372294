"""Rollouts under the real engine: waves, their end at the first failure, and who takes no part."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from loopback.fleet import Fleet, fleet_stack, running_fleet, waves_hold
from loopback.machine import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project

pytestmark = pytest.mark.slow


def test_a_small_fleet_through_success_failure_and_a_change_of_some(tmp_path: Path, pulumi: Project) -> None:
    names = [f"m{number}" for number in range(6)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "3", "max_unavailable": 2}
        stack = fleet_stack(fleet, pulumi)
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
        assert any("back on its last good config" in line for line in failed.progress("m0-reprovision"))
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


def test_a_failure_in_a_later_wave_leaves_those_after_it_and_the_next_run_goes_on_there(
    tmp_path: Path, pulumi: Project
) -> None:
    names = [f"m{number}" for number in range(5)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "2", "groups": ["first", "second"]}
        fleet.settings["groups"] = {name: "second" if name in ("m0", "m1") else "first" for name in names}
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        # by group and then by name: m2; m3 and m4; m0; m1
        fleet.machines["m4"].failed_units_after_boot = "broken.service loaded failed failed Broken\n"
        fleet.write(stack.directory, "/etc/two")
        assert stack.up(code=None).code != 0
        runs_new = [name for name, machine in fleet.machines.items() if machine.path("/etc/two").exists()]
        assert runs_new == ["m2", "m3"]
        assert [fleet.machines[name].boots for name in names] == [1, 1, 2, 2, 3], "m4 went and came back"

        fleet.machines["m4"].failed_units_after_boot = ""
        fleet.forget()
        stack.up()
        assert [absence.name for absence in fleet.absences()] == ["m4", "m0", "m1"], "those that had it kept their boot"
        waves_hold(fleet, ["m4", "m0", "m1"])


def test_continue_on_error_goes_on_with_machines_that_wait_for_no_failed_one(tmp_path: Path, pulumi: Project) -> None:
    names = [f"m{number}" for number in range(5)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 0, "batch": "4", "max_unavailable": 2}  # m0 → m2, m1 → m3; then m4
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.machines["m0"].failed_units_after_boot = "broken.service loaded failed failed Broken\n"
        fleet.write(stack.directory, "/etc/two")
        failed = stack.up("--continue-on-error", "--parallel", "2", code=None)
        assert failed.code != 0
        runs_new = [name for name, machine in fleet.machines.items() if machine.path("/etc/two").exists()]
        assert runs_new == ["m1", "m3"], failed.output


def test_a_rollout_that_is_cancelled_stops_where_it_is_and_goes_on_later(tmp_path: Path, pulumi: Project) -> None:
    names = ["m0", "m1"]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "1"}
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.write(stack.directory, "/etc/two")
        fleet.machines["m0"].seconds_down = 8
        with stack.running("up", "--yes", "--skip-preview") as engine:
            wait_until(lambda: bool(fleet.machines["m0"].went_down), seconds=120)
            engine.send_signal(signal.SIGINT)  # Ctrl-C
            output = engine.communicate(timeout=120)[0]
        assert engine.returncode != 0
        assert "signal: killed" in output, output  # by the command plugin, without a word before
        assert "Traceback" not in output, output
        assert fleet.machines["m1"].boots == 1, "the wave after it did not begin"
        stack.up()
        assert all(machine.path("/etc/two").exists() for machine in fleet.machines.values())
        assert [machine.boots for machine in fleet.machines.values()] == [2, 2]


def test_a_killed_pulumi_leaves_its_lock_and_after_cancel_the_next_run_converges(
    tmp_path: Path, pulumi: Project
) -> None:
    with running_fleet(tmp_path / "fleet", ["m0"]) as fleet:
        stack = fleet_stack(fleet, pulumi)
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


SICK = "broken.service loaded failed failed Broken\n"


def test_a_rollout_goes_on_while_no_more_fail_than_may(tmp_path: Path, pulumi: Project) -> None:
    names = [f"m{number}" for number in range(7)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "2", "max_failures": "30%"}  # m0; m1 m2; m3 m4; m5 m6
        stack = fleet_stack(fleet, pulumi, PULUMI_CONTINUE_ON_ERROR="true")
        fleet.write(stack.directory, "/etc/one")
        stack.up()

        # two of seven: all others are reached, the run fails, and the next one tries the two again
        for name in ("m1", "m4"):
            fleet.machines[name].failed_units_after_boot = SICK
        fleet.write(stack.directory, "/etc/two")
        failed = stack.up(code=None)
        assert failed.code != 0
        assert running(fleet, "/etc/two") == ["m0", "m2", "m3", "m5", "m6"]
        summary = "rollout: proven: m0, m2, m3, m5, m6; failed: m1, m4; the next `pulumi up` tries what isn't proven\n"
        assert summary in failed.output, failed.output
        for name in ("m1", "m4"):
            fleet.machines[name].failed_units_after_boot = ""
        fleet.forget()
        stack.up()
        assert sorted(absence.name for absence in fleet.absences()) == ["m1", "m4"]

        # three of seven: none is begun after the third, and nobody is lost from the state
        for name in ("m1", "m2", "m3"):
            fleet.machines[name].failed_units_after_boot = SICK
        fleet.write(stack.directory, "/etc/three")
        failed = stack.up(code=None)
        assert failed.code != 0
        assert running(fleet, "/etc/three") == ["m0", "m4"]
        assert "failed: m1, m2, m3; not tried: m5, m6; the next" in failed.output, failed.output
        for name in ("m1", "m2", "m3"):
            fleet.machines[name].failed_units_after_boot = ""
        assert {f"{name}-reprovision" for name in names} < set(stack.resources())

        # a canary has to be proven, whatever may fail
        fleet.machines["m0"].failed_units_after_boot = SICK
        fleet.write(stack.directory, "/etc/four")
        assert stack.up(code=None).code != 0
        assert running(fleet, "/etc/four") == []
        fleet.machines["m0"].failed_units_after_boot = ""
        stack.up()
        assert running(fleet, "/etc/four") == names


def test_without_continue_on_error_the_first_failure_ends_it(tmp_path: Path, pulumi: Project) -> None:
    names = ["m0", "m1", "m2"]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 0, "batch": "1", "max_failures": "2"}
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.machines["m0"].failed_units_after_boot = SICK
        fleet.write(stack.directory, "/etc/two")
        assert stack.up(code=None).code != 0
        assert running(fleet, "/etc/two") == []


def test_a_machine_that_never_answers_is_skipped_by_choice(tmp_path: Path, pulumi: Project) -> None:
    names = ["m0", "m1", "m2", "m3"]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 0, "batch": "1", "unreachable": "skip"}
        stack = fleet_stack(fleet, pulumi, PULUMI_CONTINUE_ON_ERROR="true")
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.settings["timeout"] = 15
        fleet.machines["m1"].pull_the_plug()
        fleet.write(stack.directory, "/etc/two")
        skipped = stack.up(code=None)
        assert skipped.code != 0
        assert "rollout: proven: m0, m2, m3; unreachable: m1; the next" in skipped.output, skipped.output
        assert running(fleet, "/etc/two") == ["m0", "m2", "m3"]

        # one that fails is no such machine, nor is one that went down and never came back
        fleet.machines["m1"].plug_in()
        stack.up()
        assert running(fleet, "/etc/two") == names
        fleet.machines["m1"].seconds_down = 60
        fleet.write(stack.directory, "/etc/three")
        failed = stack.up(code=None)
        assert failed.code != 0
        assert "rollout: proven: m0; failed: m1; not tried: m2, m3; the next" in failed.output, failed.output


def running(fleet: Fleet, file: str) -> list[str]:
    """The machines whose config has written the file."""
    return [name for name, machine in fleet.machines.items() if machine.path(file).exists()]

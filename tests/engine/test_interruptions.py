"""Interruptions of a re-run: deployers that end, networks that are cut, machines that are off; a loopback machine.

Each is in a row of docs/faults.md, by name.
"""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

from components.commands.reprovision.request import NEVER_ANSWERED
from loopback.lab import SICK, Lab, confirmed_lab, converges, is_back
from loopback.machine import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def slow_staging(lab: Lab, seconds: int) -> None:
    """From now on the machine's flatcar-reset takes so long before it stages anything."""
    tool = lab.machine.path("/run/bin/flatcar-reset")
    tool.rename(tool.with_name("flatcar-reset-itself"))
    tool.write_text(f'#!/bin/bash\n[[ $1 == --preview-* ]] || sleep {seconds}\nexec flatcar-reset-itself "$@"\n')
    tool.chmod(0o755)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with confirmed_lab(tmp_path) as lab:
        yield lab


def test_a_machine_left_alone_by_its_deployer_goes_back_and_the_next_run_tries_again(lab: Lab) -> None:
    wanted = lab.publish("new")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.boots == 2)
    process.kill()  # during the wait: nobody confirms
    process.communicate(timeout=30)
    wait_until(lambda: lab.machine.boots == 3)
    assert lab.machine.path("/oem/config.ign").exists()
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert "that this machine rolled back to by itself" in progress
    assert not lab.machine.path("/oem/config.ign").exists()


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        ("checking what the pointer serves", signal.SIGKILL),
        ("staging lifecycle reset", signal.SIGKILL),
        ("rebooting", signal.SIGKILL),
        ("rebooting, no answer", signal.SIGKILL),
        ("checking health: it", signal.SIGKILL),
        ("rebooting", signal.SIGTERM),
    ],
)
def test_a_deployer_that_ends_early_leaves_a_state_that_the_next_run_finishes(
    lab: Lab, moment: str, how: signal.Signals
) -> None:
    wanted = lab.publish("new")
    process = lab.start(wanted, health=[{"name": "it", "subject": "sleep 1", "seconds": 5}])
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith(moment):
            process.send_signal(how)
            break
    _, rest = process.communicate(timeout=60)
    assert "Traceback" not in rest
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert lab.machine.path("/etc/only-new").exists()
    assert lab.machine.path("/var/log/kept").read_text() == "kept"
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()


def test_the_reboot_of_an_earlier_staging_does_not_come_in_the_middle_of_the_next_one(lab: Lab) -> None:
    slow_staging(lab, 16)
    lab.machine.path("/etc/systemd/system/flatcar-rollback.timer").unlink()  # the stand-in does one thing at a time
    lab.machine.inside("systemd-run --unit=flatcar-reprovision --on-active=15s systemctl reboot")
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 0, progress
    assert "the connection broke" not in progress
    assert lab.machine.boots == 2


def test_a_machine_that_starts_to_shut_down_is_waited_for_and_then_staged(lab: Lab) -> None:
    lab.machine.hangs_on_shutdown = 4
    lab.machine.inside(
        "setsid flock /run/flatcar-reprovision.lock bash -c 'sleep 15; systemctl reboot' >/dev/null 2>&1 </dev/null &"
    )
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 0, progress
    assert "the machine is rebooting already" in progress
    assert lab.machine.boots == 3


def test_a_deployer_that_is_killed_on_the_way_back_leaves_it_to_the_machine(lab: Lab) -> None:
    process = lab.start(lab.publish("bad", "/etc/sick"), health=[SICK])
    assert process.stderr is not None
    for line in process.stderr:
        if "rolling back to the last good" in line:
            process.kill()
            break
    process.communicate(timeout=60)
    wait_until(lambda: lab.machine.boots == 3 and lab.machine.path("/etc/only-good").exists())
    converges(lab)


def test_power_lost_on_the_way_back_does_not_shadow_the_next_config(lab: Lab) -> None:
    wanted = lab.publish("new")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.boots == 2)
    process.kill()
    process.communicate(timeout=30)
    # rollback.sh has got as far as putting the last good config in its place
    lab.machine.path("/oem/config.ign").write_text(lab.contents[lab.good])
    code, _, progress = lab.run(wanted)
    assert code == 0, progress
    assert not lab.machine.path("/oem/config.ign").exists()
    converges(lab)


def test_a_machine_on_its_way_back_is_waited_for_and_then_staged(lab: Lab) -> None:
    lab.rollback_after = 60  # else its own timer may come first
    wanted = lab.publish("new")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.boots == 2 and lab.machine.path("/etc/only-new").exists())
    process.kill()
    process.communicate(timeout=30)
    slow_staging(lab, 10)
    lab.machine.inside("systemctl --no-block start flatcar-rollback.service")
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert "the machine is rolling back to its last good config" in progress
    assert lab.machine.boots == 4


def test_a_rollback_whose_time_comes_while_the_next_config_is_staged_gives_way(lab: Lab) -> None:
    lab.rollback_after = 120
    process = lab.start(lab.publish("new"))
    wait_until(lambda: lab.machine.boots == 2 and lab.machine.path("/etc/only-new").exists())
    process.kill()
    process.communicate(timeout=30)
    slow_staging(lab, 5)
    wanted = lab.publish("newer")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.path("/.flatcar-unwiped").exists())
    lab.machine.inside("systemctl --no-block start flatcar-rollback.service")  # waits for the lock
    _, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress
    assert lab.machine.path("/etc/only-newer").exists()
    assert not lab.machine.path("/oem/config.ign").exists()


def test_two_deployers_at_once_end_with_one_config(lab: Lab) -> None:
    wanted = lab.publish("new")
    processes = [lab.start(wanted) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert any(process.returncode == 0 for process in processes), said
    code, _, progress = lab.run(wanted)
    assert code == 0, progress
    assert lab.machine.path("/etc/only-new").exists()


def test_a_machine_that_is_off_is_waited_for_and_then_told(lab: Lab) -> None:
    wanted = lab.publish("new")
    lab.machine.pull_the_plug()
    code, _, progress = lab.run(wanted, timeout=3)
    assert code == NEVER_ANSWERED
    assert "did not answer within 3 s; last seen: no answer" in progress
    lab.machine.plug_in()
    converges(lab)


@pytest.mark.parametrize("how", ["power", "reboot"])
def test_a_machine_that_restarts_before_the_first_look_at_it_is_proven(lab: Lab, how: str) -> None:
    lab.rollback_after = 60
    wanted = lab.publish("new")
    process = lab.start(wanted)
    if how == "power":
        wait_until(lambda: lab.machine.boots == 2)
        lab.machine.pull_the_plug()
        time.sleep(1)
        lab.machine.plug_in()
    else:
        lab.machine.restarts_at_once = 2
    stdout, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress
    assert json.loads(stdout)["config_id"] == wanted
    assert "rolling back" not in progress
    assert how == "power" or lab.machine.boots == 4


def test_a_machine_that_restarts_in_the_middle_of_its_health_checks_is_proven(lab: Lab) -> None:
    lab.rollback_after = 60
    lab.machine.hangs_on_shutdown = 3
    again = "grep -qx running /run/system-state"
    once = "touch /var/log/restarted; systemctl reboot; false"
    check = {"name": "it", "subject": f"if test -e /var/log/restarted; then {again}; else {once}; fi", "seconds": 1}
    wanted = lab.publish("new")
    code, outputs, progress = lab.run(wanted, health=[check])
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert "the machine has restarted meanwhile, proving it again" in progress
    assert lab.machine.boots == 3


def test_a_network_that_is_cut_while_staging_is_got_over(lab: Lab) -> None:
    wanted = lab.publish("new")
    process = lab.start(wanted)
    assert process.stderr is not None
    for line in process.stderr:
        if "checking what the pointer serves" in line:
            lab.machine.cut_the_network(seconds=12)  # a client gives up after 5
            break
    _, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress
    assert "the connection broke while staging, looking again" in progress
    assert lab.machine.path("/etc/only-new").exists()


@pytest.mark.parametrize("moment", ["between", "within"])
def test_a_network_that_is_cut_at_the_health_checks_is_got_over(lab: Lab, moment: str) -> None:
    lab.rollback_after = 90
    wanted = lab.publish("new")
    check = {"name": "it", "subject": "touch /run/checking; sleep 2", "seconds": 5}
    process = lab.start(wanted, health=[check])
    assert process.stderr is not None
    for line in process.stderr:
        if "checking health" in line:
            break
    if moment == "within":
        wait_until(lab.machine.path("/run/checking").exists)
    lab.machine.cut_the_network(seconds=12)
    _, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress
    if moment == "within":
        assert "the connection broke during the health checks, running them again" in progress
    assert lab.machine.boots == 2


def test_a_service_that_hangs_on_shutdown_is_waited_for(lab: Lab) -> None:
    lab.machine.hangs_on_shutdown = 4
    wanted = lab.publish("new")
    code, outputs, progress = lab.run(wanted)
    assert code == 0, progress
    assert "still in the old boot, shutting down" in progress
    assert outputs["downtime_seconds"] > 4


def test_a_service_that_hangs_for_too_long_fails_the_run_and_the_machine_ends_on_its_last_good_config(lab: Lab) -> None:
    lab.machine.hangs_on_shutdown = 15
    wanted = lab.publish("new")
    code, _, progress = lab.run(wanted, timeout=8, rollback_after=60)
    assert code == 1
    assert "the machine was still going down after 8 s" in progress, progress
    is_back(lab, progress, wanted)

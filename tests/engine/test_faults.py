"""Injected faults against a loopback machine (real SSH, stand-in system): what is said, and what state follows.

Each is in a row of docs/faults.md, by name. Those that need Ignition or a whole machine: tests/long/test_fleet.py.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.lab import PROJECT, Lab
from tests.engine.loopback_machine import LoopbackMachine, ObjectServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLLBACK_AFTER = 6
CHECK = {"name": "the sick file is absent", "subject": "! test -e /etc/sick", "seconds": 1}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A machine that runs the confirmed config "good" and can go back to it."""
    objects, folder = tmp_path / "objects", tmp_path / "machine"
    objects.mkdir()
    folder.mkdir()
    server = ObjectServer(objects)
    with server.running() as address, LoopbackMachine(folder, f"{address}/web.ign") as machine:
        lab = Lab(machine, server, rollback_after=ROLLBACK_AFTER)
        lab.good = lab.publish("good")
        code, _, progress = lab.run(lab.good)
        assert code == 0, progress
        machine.path("/var/log/kept").write_text("kept")
        yield lab


def is_back(lab: Lab, progress: str, wanted: str) -> None:
    """The machine runs the last good config, confirmed, and nothing is left over."""
    assert f"back on its last good config id {lab.good[:12]}; wanted was config id {wanted[:12]}" in progress, progress
    assert lab.machine.path("/etc/only-good").exists()
    assert lab.object.read_text() == lab.contents[lab.good], "the object is put back"
    assert not lab.machine.path("/oem/config.ign").exists(), "nothing shadows the pointer"
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    assert lab.machine.path("/var/log/kept").read_text() == "kept"


def is_untouched(lab: Lab, boots: int = 1) -> None:
    """Nothing was staged, nothing rebooted."""
    assert lab.machine.boots == boots
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    assert not lab.machine.path("/selective-os-reset").exists()


def converges(lab: Lab, name: str = "better") -> None:
    """The next try with a good config succeeds."""
    wanted = lab.publish(name)
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert lab.machine.path("/var/log/kept").read_text() == "kept"


def test_a_failing_health_check_sends_the_machine_back(lab: Lab) -> None:
    wanted = lab.publish("bad", "/etc/sick")
    code, outputs, progress = lab.run(wanted, health=[CHECK])
    assert (code, outputs) == (1, {})
    assert "health checks failed: the sick file is absent (command: exit code 1)" in progress
    is_back(lab, progress, wanted)
    code, _, progress = lab.run(wanted, health=[CHECK])
    assert "wrote the wanted one again" in progress, "the next run tries anew"
    is_back(lab, progress, wanted)
    converges(lab)


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ({"kind": "http", "subject": "http://127.0.0.1:1/"}, r"http: curl: \(7\)"),
        ({"kind": "http", "subject": "http://{address}:1/", "vantage": "operator"}, "http: .*refused"),
        ({"kind": "tcp", "subject": "1"}, "tcp: nothing answers at 127.0.0.1 port 1"),
        ({"kind": "tcp", "subject": "1", "vantage": "operator"}, "tcp: 127.0.0.1 port 1: .*refused"),
        ({"kind": "unit", "subject": "web.service"}, "unit: is inactive"),
        ({"kind": "command", "subject": "sleep 9"}, "command: did not end within 1 s"),
    ],
)
def test_each_kind_of_failing_health_check_says_why(lab: Lab, check: dict[str, str], why: str) -> None:
    code, _, progress = lab.run(lab.good, health=[{"name": "it", "seconds": 1, **check}])
    assert code == 1
    assert re.search(rf"health checks failed: it \({why}", progress), progress
    is_untouched(lab)


def test_health_checks_of_all_kinds_pass(lab: Lab) -> None:
    port = lab.machine.port
    lab.machine.path("/run/active-units").write_text("web.service\n")
    address = lab.machine.source.rsplit("/", 1)[0]
    checks = [
        {"kind": "http", "subject": f"{address}/web.ign"},
        {"kind": "http", "subject": f"{address}/none", "expected": "404", "vantage": "operator"},
        {"kind": "tcp", "subject": str(port)},
        {"kind": "tcp", "subject": str(port), "vantage": "operator"},
        {"kind": "unit", "subject": "web.service"},
    ]
    code, _, progress = lab.run(lab.good, health=[{"name": "it", "seconds": 5, **check} for check in checks])
    assert code == 0, progress


def test_a_degraded_unit_sends_the_machine_back(lab: Lab) -> None:
    lab.machine.failed_units_after_boot = "broken.service loaded failed failed Broken\n"
    wanted = lab.publish("bad")
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "units failed: broken.service" in progress
    is_back(lab, progress, wanted)


def test_a_broken_sshd_sends_the_machine_back_by_its_own_deadline(lab: Lab) -> None:
    wanted = lab.publish("bad", "/etc/ssh/sshd_config")
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "was not confirmed on config id" in progress
    is_back(lab, progress, wanted)
    converges(lab)


def test_a_config_that_cannot_be_fetched_is_replaced_by_the_last_good_one(lab: Lab) -> None:
    wanted = lab.publish("bad")
    lab.contents[wanted] = "{not json"
    lab.object.write_text("{not json")
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "Ignition failed in the initramfs" in progress
    is_back(lab, progress, wanted)


def test_a_failed_files_stage_is_replaced_by_the_last_good_config(lab: Lab) -> None:
    wanted = lab.publish("bad", "/etc")  # a file where a directory is
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "failed to write /etc" in progress, "the console's last lines"
    is_back(lab, progress, wanted)
    converges(lab)


def test_without_a_way_back_the_machine_stays_as_it_is(lab: Lab) -> None:
    lab.rollback_after = 0
    wanted = lab.publish("bad", "/etc/sick")
    code, _, progress = lab.run(wanted, health=[CHECK])
    assert code == 1
    assert "last good" not in progress.replace("its last good", "")
    assert lab.machine.path("/etc/only-bad").exists()
    time.sleep(ROLLBACK_AFTER + 1)
    assert lab.machine.path("/etc/only-bad").exists()
    lab.rollback_after = ROLLBACK_AFTER
    converges(lab)


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
    assert "that this machine went back to by itself" in progress
    assert not lab.machine.path("/oem/config.ign").exists()


def test_the_last_good_config_wanted_again_is_confirmed_without_a_reboot(lab: Lab) -> None:
    lab.machine.path("/oem/config.ign").write_text(lab.contents[lab.good])  # it went back by itself
    lab.object.write_text(lab.contents[lab.good])
    code, _, progress = lab.run(lab.good)
    assert code == 0, progress
    assert "removing /oem/config.ign" in progress
    is_untouched(lab)


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        ("checking what the pointer serves", signal.SIGKILL),
        ("staging lifecycle reset", signal.SIGKILL),
        ("rebooting", signal.SIGKILL),
        ("rebooting, no answer", signal.SIGKILL),
        ("running the health checks: it", signal.SIGKILL),
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


def test_a_deployer_that_is_killed_on_the_way_back_leaves_it_to_the_machine(lab: Lab) -> None:
    process = lab.start(lab.publish("bad", "/etc/sick"), health=[CHECK])
    assert process.stderr is not None
    for line in process.stderr:
        if "going back to the last good" in line:
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
    wanted = lab.publish("new")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.boots == 2 and lab.machine.path("/etc/only-new").exists())
    process.kill()
    process.communicate(timeout=30)
    lab.machine.hangs_on_shutdown = 3
    lab.machine.inside("bash /etc/flatcar/rollback.sh")
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert "the machine is on its way back to its last good config" in progress
    assert lab.machine.boots == 4


def test_two_deployers_at_once_end_with_one_config(lab: Lab) -> None:
    wanted = lab.publish("new")
    processes = [lab.start(wanted) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert any(process.returncode == 0 for process in processes), said
    code, _, progress = lab.run(wanted)
    assert code == 0, progress
    assert lab.machine.path("/etc/only-new").exists()


def test_a_store_that_is_down_stages_nothing(lab: Lab) -> None:
    wanted = lab.publish("new")
    lab.server.status = 503
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "the pointer's object can't be fetched from this machine" in progress
    is_untouched(lab)
    lab.server.status = 200
    converges(lab)


def test_a_store_that_fails_during_the_reboot_is_waited_for(lab: Lab) -> None:
    lab.machine.emergency_seconds = 0.3
    wanted = lab.publish("new")
    process = lab.start(wanted, console_log="")  # the console would tell of the failure at once
    wait_until(lambda: lab.machine.path("/boot/flatcar/first_boot").exists())
    wait_until(lambda: lab.machine.path("/run/timers").exists())
    lab.server.status = 503
    wait_until(lambda: "failed to fetch" in lab.machine.console.read_text())
    lab.server.status = 200
    _, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress


def test_a_folder_that_cannot_be_written_stages_nothing(lab: Lab) -> None:
    wanted = lab.publish("new")
    blocked = lab.machine.folder / "blocked"
    blocked.write_text("a file where a folder should be")
    place = {"path": str(blocked / "web.ign"), "written": "2025-01-31T12:00:00.000000Z"}
    code, _, progress = lab.run(wanted, place=place)
    assert code == 1
    assert "the object can't be written" in progress
    is_untouched(lab)


def test_a_machine_that_is_off_is_waited_for_and_then_told(lab: Lab) -> None:
    wanted = lab.publish("new")
    lab.machine.pull_the_plug()
    code, _, progress = lab.run(wanted, timeout=3)
    assert code == 1
    assert "did not answer within 3 s; last seen: no answer" in progress
    lab.machine.plug_in()
    converges(lab)


def test_a_machine_that_loses_power_in_its_new_boot_comes_back_on_it(lab: Lab) -> None:
    wanted = lab.publish("new")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.boots == 2)
    lab.machine.pull_the_plug()
    time.sleep(1)
    lab.machine.plug_in()
    _, progress = process.communicate(timeout=120)
    assert process.returncode in (0, 1), progress
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress


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
        if "running the health checks" in line:
            break
    if moment == "within":
        wait_until(lab.machine.path("/run/checking").exists)
    lab.machine.cut_the_network(seconds=12)
    _, progress = process.communicate(timeout=120)
    assert process.returncode == 0, progress
    if moment == "within":
        assert "the connection broke during the health checks, running them again" in progress
    assert lab.machine.boots == 2


def test_a_config_that_locks_the_deployer_out_is_taken_back_by_the_machine(lab: Lab) -> None:
    lab.rollback_after = 55  # the deployer gives up on the login before that
    wanted = lab.publish("bad", "/etc/without-my-key")
    code, _, progress = lab.run(wanted, timeout=100)
    assert code == 1
    assert "the machine refuses the login of" in progress
    is_back(lab, progress, wanted)
    converges(lab)


@pytest.mark.parametrize("place", ["/boot", "/oem"])
def test_a_place_that_cannot_be_written_is_refused(lab: Lab, place: str) -> None:
    lab.machine.path("/run/read-only").write_text(place)  # see loopback/enter
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 1
    assert f"{place} can't be written (read-only or full)" in progress
    is_untouched(lab)
    lab.machine.path("/run/read-only").unlink()
    converges(lab)


def test_a_full_disk_is_refused_before_staging(lab: Lab) -> None:
    lab.machine.path("/run/full-oem").touch()  # see loopback/enter
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 1
    assert "/oem can't be written (read-only or full)" in progress
    is_untouched(lab)


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


def test_another_servers_host_key_is_told_from_the_console(lab: Lab) -> None:
    lab.known_hosts.unlink()
    console = lab.machine.console.read_text()
    lab.machine.console.write_text(re.sub(r"SHA256:\S{43}", "SHA256:" + "A" * 43, console))
    code, _, progress = lab.run(lab.good)
    assert code == 1
    assert "is not the one that the machine's console names" in progress
    assert not lab.known_hosts.exists(), "it is not pinned"


def test_the_host_key_is_known_before_the_first_connection(lab: Lab) -> None:
    known = lab.known_hosts.read_text().split()
    public = lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    assert known == ["web-1", *public[:2]]


def test_a_login_that_is_refused_names_the_keys(lab: Lab) -> None:
    other = lab.machine.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    target = {**lab.request(lab.good)["target"], "identity_file": str(other)}
    code, _, progress = lab.run(lab.publish("new"), target=target, timeout=3)
    assert code == 1
    assert "answers, but no session yet" in progress or "refuses the login" in progress
    is_untouched(lab)


def test_a_drain_that_fails_leaves_the_machine_alone(lab: Lab) -> None:
    code, _, progress = lab.run(lab.publish("new"), drain="echo no quorum; exit 7", restore="echo in service again")
    assert code == 1
    assert "no quorum" in progress and "in service again" in progress, "it may have got half way"
    assert "the drain command failed (exit code 7): the machine was left as it is" in progress
    is_untouched(lab)


def test_drain_and_restore_run_around_a_change_and_after_going_back(lab: Lab, tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    service = {"drain": f'echo "drain $MACHINE $ADDRESS" >>{log}', "restore": f'echo "restore $MACHINE" >>{log}'}
    code, _, progress = lab.run(lab.publish("new"), **service)
    assert code == 0, progress
    assert log.read_text().splitlines() == ["drain web 127.0.0.1", "restore web"]
    code, _, progress = lab.run(lab.publish("bad", "/etc/sick"), health=[CHECK], **service)
    assert code == 1, progress
    assert log.read_text().splitlines()[2:] == ["drain web 127.0.0.1", "restore web"]


def test_the_pause_between_waves_is_waited_only_by_machines_that_change(lab: Lab) -> None:
    code, _, progress = lab.run(lab.good, pause=600)
    assert code == 0, progress
    code, _, progress = lab.run(lab.publish("new"), pause=2)
    assert code == 0, progress
    assert "waiting 2 s: the pause between waves" in progress


def test_the_wipe_is_shown_on_request_and_nothing_is_staged(lab: Lab, tmp_path: Path) -> None:
    lab.machine.path("/etc/by-hand").write_text("drift")
    request: dict[str, Any] = {"type": "command:local:Command", "urn": "urn::web-reprovision"}
    request["inputs"] = {"stdin": json.dumps(lab.request(lab.good))}
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"deployment": {"resources": [request]}}))
    command = [sys.executable, "-m", "components.audit.wipe", "--export", str(state)]

    def shown(*more: str) -> str:
        done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=PROJECT, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    deleted, kept = shown().split("will be kept")
    assert "/etc/by-hand" in deleted
    assert "/var/log/kept" in kept
    deleted, kept = shown("--keep", "/etc/by-hand").split("will be kept")
    assert "/etc/by-hand" in kept
    assert "/var/log/kept" in deleted
    is_untouched(lab)

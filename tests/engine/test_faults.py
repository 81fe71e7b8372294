"""Injected faults against a loopback machine (real SSH, stand-in system): what is said, and what state follows.

Each is in a row of docs/faults.md, by name. Those that need Ignition or a whole machine: tests/long/test_fleet.py.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from components.settings.lifecycle import Lifecycle
from loopback.lab import PROJECT, ROLLBACK_AFTER, SICK, Lab, confirmed_lab, converges, is_back, is_untouched
from loopback.machine import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with confirmed_lab(tmp_path) as lab:
        yield lab


def test_a_failing_health_check_sends_the_machine_back(lab: Lab) -> None:
    wanted = lab.publish("bad", "/etc/sick")
    code, outputs, progress = lab.run(wanted, health=[SICK])
    assert (code, outputs) == (1, {})
    assert "health check 'the sick file is absent' failed: exit code 1" in progress
    is_back(lab, progress, wanted)
    code, _, progress = lab.run(wanted, health=[SICK])
    assert "wrote the wanted one again" in progress, "the next run tries anew"
    is_back(lab, progress, wanted)
    converges(lab)


@pytest.mark.parametrize(
    ("check", "why"),
    [
        ({"kind": "http", "subject": "http://127.0.0.1:1/"}, r"curl: \(7\)"),
        ({"kind": "http", "subject": "http://{address}:1/", "vantage": "operator"}, ".*refused"),
        ({"kind": "tcp", "subject": "1"}, "nothing answers at 127.0.0.1 port 1"),
        ({"kind": "tcp", "subject": "1", "vantage": "operator"}, "127.0.0.1 port 1: .*refused"),
        ({"kind": "unit", "subject": "web.service"}, "is inactive"),
        ({"kind": "command", "subject": "sleep 9"}, "did not end within 1 s"),
    ],
)
def test_each_kind_of_failing_health_check_says_why(lab: Lab, check: dict[str, str], why: str) -> None:
    code, _, progress = lab.run(lab.good, health=[{"name": "it", "seconds": 1, **check}])
    assert code == 1
    assert re.search(rf"health check 'it' failed: {why}", progress), progress
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


def tampered(lab: Lab, config_id: str) -> str:
    """Another object with the stamp of this one."""
    return lab.contents[config_id].replace("/etc/only-", "/etc/other-")


def started_and_swapped(lab: Lab, wanted: str) -> subprocess.Popen[str]:
    """The deployer, once it has had the machine reboot; the object is another one by then."""
    process = lab.start(wanted)
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith("rebooting"):
            break
    lab.write(tampered(lab, wanted))
    return process


@pytest.mark.parametrize("source", ["", "s3://bucket/web.ign"])
def test_an_object_that_is_swapped_after_the_check_is_not_proven(lab: Lab, source: str) -> None:
    if source:
        lab.machine.serves, lab.machine.source = lab.machine.source, source
    wanted = lab.publish("new")
    process = started_and_swapped(lab, wanted)
    assert process.stderr is not None
    swapped, said = time.time(), ""
    for line in process.stderr:
        said += line
        if "not proven: " in line:
            print(
                f"time to refuse a tampered object: {time.time() - lab.machine.came_up[-1]:.1f} s after its boot, ",
                end="",
            )
            print(f"{time.time() - swapped:.1f} s after it was swapped ({source or 'http'})")
    process.communicate(timeout=60)
    assert process.returncode == 1
    ran, expected = (
        hashlib.sha512(text.encode()).hexdigest() for text in (tampered(lab, wanted), lab.contents[wanted])
    )
    assert f"the stamp is right, but Ignition ran another object: SHA-512 {ran}, wanted {expected}" in said
    is_back(lab, said, wanted)
    converges(lab)


def test_an_object_that_is_swapped_is_not_proven_by_a_later_run_either(lab: Lab) -> None:
    lab.rollback_after = 60
    wanted = lab.publish("new")
    process = started_and_swapped(lab, wanted)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: lab.machine.boots == 2 and lab.machine.path("/etc/other-new").exists())
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "the stamp is right, but Ignition ran another object" in progress
    is_back(lab, progress, wanted)


def test_a_config_on_the_oem_partition_is_proven_by_its_own_hash(lab: Lab) -> None:
    wanted = lab.publish("new")
    code, _, progress = lab.run(wanted, oem="config")
    assert code == 0, progress
    assert "the stamp alone" not in progress
    lab.machine.hangs_on_shutdown = 1
    wanted = lab.publish("newer")
    process = lab.start(wanted, oem="config")
    wait_until(lambda: lab.machine.path("/run/timers").exists())
    lab.machine.path("/oem/config.ign").write_text(tampered(lab, wanted))
    _, progress = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the stamp is right, but Ignition ran another object" in progress


def test_hashes_that_are_gone_after_a_second_restart_are_told(lab: Lab) -> None:
    lab.machine.restarts_at_once = 1
    lab.machine.journal_lasts = False
    wanted = lab.publish("new")
    code, _, progress = lab.run(wanted)
    assert code == 0, progress
    assert "warning: the stamp alone says what runs" in progress


def test_hashes_that_last_are_compared_after_a_second_restart(lab: Lab) -> None:
    lab.machine.restarts_at_once = 1
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 0, progress
    assert "the stamp alone" not in progress


def test_a_reformat_that_fails_after_its_wipe_ends_with_the_same_host_keys(lab: Lab) -> None:
    host_key = lab.machine.path("/etc/ssh/ssh_host_ed25519_key").read_text()
    lab.lifecycle = Lifecycle.REFORMAT
    good = lab.publish("better")
    code, _, progress = lab.run(good)
    assert code == 0, progress
    assert not lab.machine.path("/var/log/kept").exists()
    wanted = lab.publish("bad", "/etc")
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "failed to write /etc" in progress
    assert f"back on its last good config ({good[:12]}); wanted was {wanted[:12]}" in progress, progress
    assert lab.machine.path("/etc/ssh/ssh_host_ed25519_key").read_text() == host_key
    assert not lab.machine.path("/oem/.flatcar-host-keys").exists()


def test_without_a_way_back_the_machine_stays_as_it_is(lab: Lab) -> None:
    lab.rollback_after = 0
    wanted = lab.publish("bad", "/etc/sick")
    code, _, progress = lab.run(wanted, health=[SICK])
    assert code == 1
    assert "last good" not in progress.replace("its last good", "")
    assert lab.machine.path("/etc/only-bad").exists()
    time.sleep(ROLLBACK_AFTER + 1)
    assert lab.machine.path("/etc/only-bad").exists()
    lab.rollback_after = ROLLBACK_AFTER
    converges(lab)


def test_the_last_good_config_wanted_again_is_confirmed_without_a_reboot(lab: Lab) -> None:
    lab.machine.path("/oem/config.ign").write_text(lab.contents[lab.good])  # it rolled back by itself
    lab.object.write_text(lab.contents[lab.good])
    code, _, progress = lab.run(lab.good)
    assert code == 0, progress
    assert "removing /oem/config.ign" in progress
    is_untouched(lab)


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
    lab.machine.path("/run/read-only").write_text(place)  # see loopback/parts/enter
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 1
    assert f"{place} can't be written (read-only or full)" in progress
    is_untouched(lab)
    lab.machine.path("/run/read-only").unlink()
    converges(lab)


def test_an_oem_partition_that_is_not_mounted_is_refused(lab: Lab) -> None:
    lab.machine.path("/run/oem-not-mounted").touch()  # see loopback/parts/enter
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 1
    assert "/oem is not mounted" in progress and "systemctl status oem.mount" in progress
    is_untouched(lab)
    lab.machine.path("/run/oem-not-mounted").unlink()
    converges(lab)


def test_an_oem_partition_that_turns_read_only_is_named_on_the_way_back(lab: Lab) -> None:
    turns = {"name": "turns", "subject": "echo /oem >/run/read-only; false", "seconds": 1}
    code, _, progress = lab.run(lab.publish("bad"), health=[turns])
    assert code == 1
    assert "did not come back" in progress and "its /oem can't be written" in progress
    assert "every 15 s" in progress
    assert lab.machine.path("/var/log/kept").exists()
    lab.machine.path("/run/read-only").unlink()
    converges(lab)


def test_a_full_disk_is_refused_before_staging(lab: Lab) -> None:
    lab.machine.path("/run/full-oem").touch()  # see loopback/parts/enter
    code, _, progress = lab.run(lab.publish("new"))
    assert code == 1
    assert "/oem can't be written (read-only or full)" in progress
    is_untouched(lab)


def test_another_servers_host_key_is_told_from_the_console(lab: Lab) -> None:
    lab.known_hosts.unlink()
    lab.record = ""
    console = lab.machine.console.read_text()
    lab.machine.console.write_text(re.sub(r"SHA256:\S{43}", "SHA256:" + "A" * 43, console))
    code, _, progress = lab.run(lab.good)
    assert code == 1
    assert "is not the one that the machine's console names" in progress
    assert not lab.known_hosts.exists(), "it is not pinned"


def test_a_host_key_that_the_console_names_after_sshd_answers_is_waited_for(lab: Lab) -> None:
    lab.known_hosts.unlink()
    lab.record = ""
    console = lab.machine.console.read_text()
    lab.machine.console.write_text(console.replace("SSH host key:", "no host key:"))
    login_screen = threading.Timer(2, lab.machine.console.write_text, [console])
    login_screen.start()
    code, _, progress = lab.run(lab.good)
    login_screen.join()
    assert code == 0, progress
    assert "known from the console" in progress and "first contact" not in progress


def test_the_host_key_is_known_before_the_first_connection(lab: Lab) -> None:
    known = lab.known_hosts.read_text().split()
    public = lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    assert known == ["web-1", *public[:2]]


def test_a_login_that_is_refused_names_the_keys(lab: Lab) -> None:
    other = lab.machine.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    target = {**lab.request(lab.good)["target"], "identity_file": str(other)}
    code, _, progress = lab.run(lab.publish("new"), target=target, timeout=8)
    assert code == 1
    told = re.search(r" ([0-9.]+)s  answers, .*refuses the login of \w+: .*Permission denied \(publickey", progress)
    assert told is not None and float(told[1]) < 15, progress
    assert "the SSH key in the machine's running config is not one of those offered here" in progress
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
    code, _, progress = lab.run(lab.publish("bad", "/etc/sick"), health=[SICK], **service)
    assert code == 1, progress
    assert log.read_text().splitlines()[2:] == ["drain web 127.0.0.1", "restore web"]


def test_a_drain_command_has_the_keys_of_clouds_and_nothing_of_pulumis(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PULUMI_COMMAND_STDOUT", "DIGITALOCEAN_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    for title in ("drain", "restore"):
        seen = tmp_path / title
        code, _, progress = lab.run(lab.publish(title), **{title: f"tr '\\0' '\\n' </proc/$$/environ >{seen}"})
        assert code == 0, progress
        names = {line.split("=")[0] for line in seen.read_text().splitlines() if line.endswith("=hunter2")}
        assert names == {"DIGITALOCEAN_TOKEN"}
        assert "MACHINE=web" in seen.read_text().splitlines()


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
    assert "/var/log/" in kept
    deleted, kept = shown("--keep", "/etc/by-hand").split("will be kept")
    assert "/etc/by-hand" in kept
    assert "/var/log/" in deleted
    is_untouched(lab)


def test_a_last_good_config_that_was_never_proven_from_here_is_not_put_back(lab: Lab) -> None:
    """A machine in other hands may name any config, which would be written with the operator's credentials."""
    name = lab.machine.text("/oem/.flatcar-reprovision/last-good").split()[1]
    noted = lab.machine.path(f"/oem/.flatcar-reprovision/{name}/config.ign")
    planted = noted.read_text().replace("only-good", "planted")
    noted.write_text(planted)
    wanted = lab.publish("sick", "/etc/sick")
    code, _, progress = lab.run(wanted, health=[SICK])
    assert code == 1
    assert "is not rolled back to what the machine names: it was never proven from here" in progress
    assert lab.object.read_text() == lab.contents[wanted]
    assert lab.machine.path("/etc/planted").exists(), "it rolls back by itself all the same"


def test_without_a_record_the_object_is_left_as_it_is(lab: Lab) -> None:
    lab.record = ""
    wanted = lab.publish("sick", "/etc/sick")
    code, _, progress = lab.run(wanted, health=[SICK])
    assert code == 1
    assert (
        "is not rolled back to what the machine names: there is no record yet of what was proven from here" in progress
    )
    assert lab.object.read_text() == lab.contents[wanted]
    assert lab.machine.path("/etc/only-good").exists()

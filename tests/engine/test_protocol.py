"""The re-provisioning protocol against a loopback machine (see `loopback_machine`: real SSH, stand-in system)."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from components.audit.records import Record
from components.commands.reprovision.request import NEVER_ANSWERED, NotProvenError, Progress, Request
from components.operate.restart import restart
from components.settings.lifecycle import Lifecycle
from loopback.lab import KEEP, Lab, confirmed_lab, is_untouched
from loopback.machine import LoopbackMachine, ObjectServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engine


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    objects = tmp_path / "objects"
    objects.mkdir()
    server = ObjectServer(objects)
    folder = tmp_path / "machine"
    folder.mkdir()
    with server.running() as address, LoopbackMachine(folder, f"{address}/web.ign") as machine:
        yield Lab(machine, server)


def test_the_first_run_waits_for_the_machine_and_does_not_reboot_it(lab: Lab) -> None:
    wanted = lab.publish("a")
    code, outputs, progress = lab.run(wanted)
    assert code == 0, progress
    assert outputs["config_id"] == wanted
    assert outputs["downtime_seconds"] == 0
    assert outputs["host_key"].startswith("ssh-ed25519 ")
    assert "no reboot" in progress
    assert lab.machine.boots == 1


def test_a_change_resets_the_machine_and_keeps_what_is_to_be_kept(lab: Lab) -> None:
    first = lab.run(lab.publish("a"))[1]
    lab.machine.path("/var/log/kept").write_text("mine")
    lab.machine.path("/etc/by-hand").write_text("drift")
    wanted = lab.publish("b")
    code, outputs, progress = lab.run(wanted)
    assert code == 0, progress
    assert outputs["boot_id"] != first["boot_id"]
    assert outputs["host_key"] == first["host_key"]
    assert outputs["downtime_seconds"] > 0
    assert lab.machine.boots == 2
    assert lab.machine.path("/var/log/kept").read_text() == "mine"
    assert not lab.machine.path("/etc/by-hand").exists()
    assert not lab.machine.path("/etc/only-a").exists()
    assert lab.machine.path("/etc/only-b").exists()
    assert lab.machine.path("/oem/machine-id-kept").read_text() == "yes\n"
    assert "will be deleted: " in progress
    assert "/etc/by-hand" in progress
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs["downtime_seconds"], lab.machine.boots) == (0, 0, 2), progress


def test_flag_deletes_nothing_and_warns(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    code, _, progress = lab.run(lab.publish("b"), lifecycle="flag")
    assert code == 0, progress
    assert lab.machine.path("/etc/only-a").exists()
    assert "warning: lifecycle 'flag'" in progress


def test_reformat_leaves_the_host_keys_on_the_oem_partition(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    public = lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    lab.server.status = 503  # keeps the machine in its initramfs, before anything is deleted
    code, _, progress = lab.run(lab.publish("b"), lifecycle="reformat", source="s3://bucket/web.ign", timeout=10)
    assert code == 1
    assert "not checked from here" in progress
    kept = lab.machine.path("/oem/.flatcar-host-keys")
    assert (kept / "ssh_host_ed25519_key.pub").read_text() == public
    assert kept.stat().st_mode & 0o777 == 0o700
    assert (kept / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("shadow", "content", "reason"),
    [
        ("/oem/config.ign", "{}", "/oem/config.ign shadows the pointer"),
        ("/oem/grub.cfg", 'set linux_append="ignition.config.url=http://x"', "ignition.config.url= on the kernel"),
        ("/run/cmdline", "quiet ignition.config.url=http://x", "ignition.config.url= on the kernel"),
        ("/run/cmdline", "flatcar.config.url=http://x first_boot=1", "flatcar.config.url= on the kernel"),
    ],
)
def test_what_shadows_the_pointer_is_refused(lab: Lab, shadow: str, content: str, reason: str) -> None:
    lab.run(lab.publish("a"))
    lab.machine.path(shadow).write_text(content)
    code, outputs, progress = lab.run(lab.publish("b"))
    assert (code, outputs) == (1, {})
    assert reason in progress
    assert "way out: " in progress
    assert lab.machine.boots == 1
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()


@pytest.mark.parametrize(("state", "lifecycle", "code"), [(1, "reset", 1), (0, "reset", 0), (1, "flag", 0)])
def test_secure_boot_would_lose_the_machine_id(lab: Lab, state: int, lifecycle: str, code: int) -> None:
    lab.run(lab.publish("a"))
    variable = lab.machine.path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
    variable.parent.mkdir(parents=True)
    variable.write_bytes(bytes([6, 0, 0, 0, state]))  # four bytes of attributes, then the value
    ended, _, progress = lab.run(lab.publish("b"), lifecycle=lifecycle)
    assert ended == code, progress
    assert lab.machine.boots == (1 if code else 2)
    assert ("Secure Boot is on" in progress) == bool(code)
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()


def test_a_pointer_that_cannot_be_fetched_is_refused(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    wanted = lab.publish("b")
    lab.server.status = 404
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "can't be fetched from this machine" in progress
    assert lab.machine.boots == 1


def test_a_pointer_that_serves_another_config_is_refused(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    code, _, progress = lab.run(lab.publish("b"), content="another", place=None)
    assert code == 1
    assert "serves another config" in progress
    assert lab.machine.boots == 1


def test_a_machine_without_flatcar_reset_is_refused(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    lab.machine.path("/run/bin/flatcar-reset").unlink()
    code, _, progress = lab.run(lab.publish("b"))
    assert code == 1
    assert "there is no flatcar-reset" in progress


@pytest.mark.parametrize(("os_version", "spec", "code"), [("4081.2.0", "3.5.0", 1), ("4459.2.1", "3.5.0", 0)])
def test_a_config_that_its_ignition_cannot_read_is_refused(lab: Lab, os_version: str, spec: str, code: int) -> None:
    lab.run(lab.publish("a"))
    lab.machine.path("/etc/os-release").write_text(f'ID=flatcar\nVERSION_ID="{os_version}"\n')
    wanted = lab.publish("b")
    content = json.dumps({"ignition": {"version": spec}} | json.loads(lab.contents[wanted]))
    lab.write(content)
    finished, _, progress = lab.run(wanted, content=content)
    assert (finished, lab.machine.boots) == (code, 2 - code), progress
    refusal = f"web: the config is of Ignition spec {spec}, which Flatcar {os_version} can't read\n"
    assert (refusal in progress) is bool(code)


def test_an_entry_that_find_cannot_use_is_refused_with_its_words(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    code, _, progress = lab.run(lab.publish("b"), keep=[*KEEP, "/var/lib/db[[:foo:]]"])
    assert code == 1
    assert "can't use the entry '/var/lib/db[[:foo:]]' (Invalid character class name) of keep" in progress
    assert "staging lifecycle" not in progress
    assert not lab.machine.path("/selective-os-reset").exists()
    assert lab.machine.boots == 1


def test_an_entry_that_keeps_less_than_it_looks_like_is_told(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    for path in ("/var/lib/database", "/var/lib/web1", "/home/one", "/home/two"):
        lab.machine.path(path).mkdir(parents=True)
    lab.machine.path("/home/two/file").touch()
    keep = [
        *KEEP,
        "/var/lib/db?[0-9]+",
        "/var/lib/data[0-9]+",
        "/var/lib/we[a-z][0-9]",
        "/srv/x[0-9]",
        "(/home/one|/home/two)",
    ]
    code, _, progress = lab.run(lab.publish("b"), keep=keep)
    assert code == 0
    folders = "(/home/one|/home/two)"
    wider = f"'{folders}/.*' keeps what is in it"
    assert [line.partition("warning: ")[2] for line in progress.splitlines() if "warning: " in line] == [
        "keep '/var/lib/db?[0-9]+' matches nothing, though there is /var/lib/database",
        "keep '/var/lib/data[0-9]+' matches nothing, though there is /var/lib/database",
        f"keep '{folders}' keeps the folder /home/two, but not /home/two/file in it; {wider}",
    ]


UPDATED = (
    "LAST_CHECKED_TIME=1\nPROGRESS=1.0\nCURRENT_OP=UPDATE_STATUS_UPDATED_NEED_REBOOT\nNEW_VERSION=0.0.2\nNEW_SIZE=1"
)


def updating(lab: Lab, status: str) -> None:
    """The machine has an update_engine with this status."""
    client = lab.machine.path("/run/bin/update_engine_client")
    client.write_text(f"#!/bin/bash\n[ \"$*\" = -status ] && echo '{status}'\n")
    client.chmod(0o755)


def test_an_update_of_the_os_that_waits_is_told_before_and_after(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    updating(lab, UPDATED)
    lab.machine.os_version = "0.0.2"
    code, outputs, progress = lab.run(lab.publish("b"))
    assert (code, outputs["os_version"]) == (0, "0.0.2"), progress
    assert "an update of the OS waits: the reboot also brings 0.0.2" in progress
    assert "on 0.0.2 (the reboot updated it from 0.0.1), down for" in progress


def test_an_update_of_the_os_that_waits_may_be_refused(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    updating(lab, UPDATED)
    wanted = lab.publish("b")
    code, _, progress = lab.run(wanted, os_update="refuse")
    assert code == 1
    assert "an update of the OS to 0.0.2 waits for the reboot, and os_update is 'refuse'" in progress
    assert lab.machine.boots == 1
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    for status in ("CURRENT_OP=UPDATE_STATUS_IDLE\nNEW_VERSION=0.0.2", "CURRENT_OP=UPDATE_STATUS_DOWNLOADING"):
        updating(lab, status)
        code, _, progress = lab.run(wanted, os_update="refuse")
        assert code == 0, progress
        assert "update" not in progress


OURS, THEIRS = "acme/flatcar/production/web", "acme/flatcar/staging/web"


def test_a_machine_of_another_stack_is_refused_until_it_is_taken_over(lab: Lab) -> None:
    first = lab.publish("a")
    assert lab.run(first, owner=OURS)[0] == 0
    assert lab.machine.text("/oem/.flatcar-owner") == f"{OURS}\n"
    code, _, progress = lab.run(first, owner=THEIRS)
    assert code == 1, "also where it runs the wanted config already"
    assert f"this machine belongs to {OURS}, not to {THEIRS}" in progress
    other = lab.publish("b")
    code, _, progress = lab.run(other, owner=THEIRS)
    assert code == 1
    assert f"this machine belongs to {OURS}, not to {THEIRS}" in progress
    assert "way out: set take_over: true" in progress
    assert lab.machine.boots == 1
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    code, _, progress = lab.run(other, owner=THEIRS, take_over=True)
    assert code == 0, progress
    assert f"taking this machine over: it belonged to {OURS}" in progress
    assert lab.machine.text("/oem/.flatcar-owner") == f"{THEIRS}\n"
    code, _, progress = lab.run(lab.publish("c"), owner=OURS)
    assert code == 1
    assert f"this machine belongs to {THEIRS}, not to {OURS}" in progress


def test_a_machine_belongs_to_whoever_stages_first_and_keeps_that_through_a_reformat(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    assert not lab.machine.path("/oem/.flatcar-owner").exists()
    lab.lifecycle = Lifecycle.REFORMAT
    code, _, progress = lab.run(lab.publish("b"), owner=OURS)
    assert code == 0, progress
    assert lab.machine.text("/oem/.flatcar-owner") == f"{OURS}\n"


def test_a_failed_unit_fails_the_proof_until_it_is_allowed(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    lab.machine.failed_units_after_boot = "broken.service loaded failed failed Broken\n"
    wanted = lab.publish("b")
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "units failed: broken.service" in progress
    assert "last messages of the failed unit broken.service" in progress
    code, outputs, progress = lab.run(wanted, allow_degraded=True)
    assert code == 0, progress
    assert outputs["failed_units"] == ["broken.service"]
    assert lab.machine.boots == 2


def test_a_health_check_that_fails_is_named_and_one_that_comes_late_passes(lab: Lab) -> None:
    wanted = lab.publish("a")
    late = {"name": "late", "subject": "test -e /tmp/now || { touch /tmp/now; false; }", "seconds": 10}
    never = {"name": "never", "subject": "echo it is broken; false", "seconds": 1}
    assert lab.run(wanted, health=[late])[0] == 0
    code, _, progress = lab.run(wanted, health=[late, never])
    assert code == 1
    assert "health check 'never' failed" in progress
    assert "it is broken" in progress


LATER = {"name": "the page is served", "subject": "test -e /tmp/served", "seconds": 1}


def test_a_changed_health_check_is_tried_at_once_and_reboots_nothing(lab: Lab) -> None:
    wanted = lab.publish("a")
    assert lab.run(wanted, version="1", rollback_after=300)[0] == 0
    code, outputs, progress = lab.run(wanted, version="1", rollback_after=300, health=[LATER])
    assert (code, outputs) == (1, {})
    assert "health check 'the page is served' failed: exit code 1" in progress
    assert "nothing was staged: the machine is left as it is, and so is its last good config" in progress
    is_untouched(lab)
    lab.machine.path("/tmp/served").write_text("yes")
    before = json.loads(lab.record)
    code, outputs, progress = lab.run(wanted, version="1", rollback_after=300, health=[LATER])
    assert code == 0, progress
    assert "trying the health checks on the running machine" in progress
    assert outputs["record"]["wanted"].keys() - before["record"]["wanted"].keys() == {"health"}
    lab.machine.path("/tmp/served").unlink()
    code, again, progress = lab.run(wanted, version="1", rollback_after=300, health=[LATER])
    assert (code, again, progress) == (0, outputs, ""), "proven for this check: nobody looks"
    is_untouched(lab)


def test_a_changed_health_check_sends_no_good_config_back(tmp_path: Path) -> None:
    with confirmed_lab(tmp_path) as lab:
        better = lab.publish("better")
        assert lab.run(better, version="2")[0] == 0
        code, _, progress = lab.run(better, version="2", health=[LATER])
        assert code == 1
        assert "rolling back" not in progress
        assert lab.machine.path("/etc/only-better").exists()
        is_untouched(lab, boots=2)


def test_a_machine_that_was_off_is_waited_for_and_its_health_is_checked(lab: Lab) -> None:
    wanted = lab.publish("a")
    health = [{**LATER, "subject": "! test -e /etc/sick"}]
    assert lab.run(wanted, version="1", health=health, power_on="1 disk")[0] == 0
    first = json.loads(lab.record)["boot_id"]
    lab.machine.path("/etc/sick").write_text("yes")
    lab.machine.pull_the_plug()
    process = lab.start(wanted, version="1", health=health, power_on="2 disk")
    lab.machine.plug_in()
    _, progress = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "was off, waiting for it" in progress
    assert "health check 'the page is served' failed" in progress
    lab.machine.path("/etc/sick").unlink()
    code, outputs, progress = lab.run(wanted, version="1", health=health, power_on="2 disk")
    assert code == 0, progress
    assert outputs["boot_id"] != first
    assert lab.machine.boots == 2


def test_a_machine_that_runs_another_config_by_now_is_told_when_its_checks_change(lab: Lab) -> None:
    wanted = lab.publish("a")
    assert lab.run(wanted, version="1")[0] == 0
    lab.machine.path("/etc/flatcar/config-id").write_text("b" * 128)
    code, _, progress = lab.run(wanted, version="1", health=[{**LATER, "subject": "true"}])
    assert code == 1
    assert f"the machine came up on another config: config id {'b' * 12}" in progress
    is_untouched(lab)


def test_a_machine_that_boots_without_running_ignition_is_told(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    lab.machine.ignores_flag = True
    code, _, progress = lab.run(lab.publish("b"))
    assert code == 1
    assert "rebooted without running Ignition" in progress


def test_a_broken_object_leaves_the_disk_and_the_repaired_one_heals(lab: Lab) -> None:
    lab.run(lab.publish("a"))
    lab.machine.path("/etc/by-hand").write_text("still here")
    lab.publish("b")
    broken = lab.server.folder / "web.ign"
    broken.write_text("{not json")
    code, _, progress = lab.run("b" * 128, timeout=8, content="{not json")
    assert code == 1
    assert "not back within 8 s" in progress
    assert "ignition (stand-in): failed to fetch config" in progress  # the console's last lines
    assert lab.machine.path("/etc/by-hand").exists()
    wanted = lab.publish("c")
    code, outputs, progress = lab.run(wanted)
    assert code == 0, progress
    assert outputs["config_id"] == wanted
    assert not lab.machine.path("/etc/by-hand").exists()
    assert lab.machine.boots == 2


def test_a_changed_host_key_is_refused(lab: Lab) -> None:
    wanted = lab.publish("a")
    lab.run(wanted)
    pin = lab.known_hosts
    other = lab.machine.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    pin.write_text("web-1 " + other.with_suffix(".pub").read_text())
    lab.record = ""  # which would tell this before any connection
    code, _, progress = lab.run(wanted)
    assert code == 1
    assert "is not the pinned one" in progress


@pytest.mark.parametrize("moment", ["will be kept", "staging lifecycle", "rebooting"])
def test_a_killed_deployer_leaves_a_state_that_the_next_run_finishes(lab: Lab, moment: str) -> None:
    lab.run(lab.publish("a"))
    wanted = lab.publish("b")
    process = lab.start(wanted)
    assert process.stderr is not None
    for line in process.stderr:
        if moment in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate(timeout=30)
    code, outputs, progress = lab.run(wanted)
    assert code == 0, progress
    assert outputs["config_id"] == wanted
    assert lab.machine.path("/etc/only-b").exists()
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()


def test_a_staging_left_over_is_unstaged_when_the_running_config_is_wanted_again(lab: Lab) -> None:
    wanted = lab.publish("a")
    lab.run(wanted)
    lab.machine.path("/boot/flatcar/first_boot").touch()
    lab.machine.path("/selective-os-reset").write_text("(/x)\n")
    code, _, progress = lab.run(wanted)
    assert code == 0, progress
    assert "unstaging" in progress
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    assert not lab.machine.path("/selective-os-reset").exists()


def test_a_restart_comes_back_in_another_boot_and_is_proven(lab: Lab) -> None:
    wanted = lab.publish("a")
    outputs = lab.run(wanted)[1]
    request = Request.from_json(lab.request(wanted, health=[{**LATER, "subject": "! test -e /etc/sick"}]))
    record = Record(request=request, proven_boot_id=outputs["boot_id"], proven_os_version="")
    again = restart(record, Progress("web"))
    assert again.boot_id != outputs["boot_id"]
    assert again.config_id == wanted
    assert lab.machine.boots == 2
    lab.machine.path("/etc/sick").write_text("yes")
    with pytest.raises(NotProvenError, match="the page is served"):
        restart(record, Progress("web"))
    assert lab.machine.boots == 3


def test_a_machine_that_never_answers_is_told_from_one_that_goes_and_does_not_come_back(tmp_path: Path) -> None:
    with confirmed_lab(tmp_path) as lab:
        wanted = lab.publish("better")
        lab.machine.pull_the_plug()
        code, _, progress = lab.run(wanted, timeout=10)
        assert code == NEVER_ANSWERED, progress
        lab.machine.plug_in()
        lab.machine.seconds_down = 90
        code, _, progress = lab.run(wanted, timeout=10)
        assert code == 1, progress
        assert "was not back within 10 s" in progress, progress

"""The QEMU machine with a real guest: boots on its pointer, reboots into a fresh process, survives what kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from components.commands.qemu import state as qemu_state
from tests.vm.machines import TFTP_POINTER, VM, base_image, login_config, machine, needs_image

pytestmark = [pytest.mark.slow, needs_image]


def qemu_pid(directory: Path) -> int:
    return qemu_state.holder(directory / qemu_state.QEMU_PID) or 0


def wait_until_off(vm: VM) -> None:
    end = time.monotonic() + 300
    while vm.status()["running"]:
        assert time.monotonic() < end, f"still on\n{vm.tail()}"
        time.sleep(0.1)


def test_one_machine_through_reboot_kill_and_power_off(tmp_path: Path) -> None:
    with machine(tmp_path, user_data=TFTP_POINTER, started=False) as vm:  # as those that older versions made
        files = {"files": [{"path": "/etc/from-the-object", "mode": 420, "contents": {"source": "data:,first"}}]}
        vm.put(login_config(vm.public_key, **files))
        vm.start()
        first_boot = vm.wait_for_ssh()
        assert vm.ssh("cat /etc/from-the-object") == "first", "pointer in fw_cfg, object over TFTP"

        # another content alone changes nothing on a machine that isn't told to run Ignition again
        vm.put(login_config(vm.public_key))
        vm.ssh("sudo sh -c 'echo kept > /var/lib/note; sync'")
        host_key = vm.known_hosts.read_text()
        process, port = qemu_pid(vm.directory), vm.port

        second_boot = vm.reboot()
        assert second_boot != first_boot
        assert vm.ssh("cat /var/lib/note /etc/from-the-object") == "kept\nfirst"
        if vm.status()["accel"] == "tcg":
            assert qemu_pid(vm.directory) != process, "a warm reset is slow in TCG: a fresh process is due"
            assert "the guest rebooted" in vm.console()
        assert vm.status()["power_on"] == 1

        # flushed data survives a QEMU that is killed
        vm.ssh("sudo sh -c 'echo flushed > /var/lib/flushed; sync'")
        os.kill(qemu_pid(vm.directory), signal.SIGKILL)
        wait_until_off(vm)
        assert vm.status()["ended"] == "QEMU was killed by signal 9"
        vm.start()
        vm.wait_for_ssh(other_than=second_boot)
        assert vm.port == port
        assert vm.ssh("cat /var/lib/note /var/lib/flushed") == "kept\nflushed\n"
        assert vm.known_hosts.read_text() == host_key

        # a guest that switches itself off ends the machine; nobody starts it again behind its back
        vm.ssh("sudo systemd-run --quiet --on-active=1s systemctl poweroff")
        wait_until_off(vm)
        assert vm.status()["ended"] == "guest-shutdown"
        check = ["qemu-img", "check", "-q", str(vm.status()["disk"])]
        assert subprocess.run(check, check=False).returncode == 0


def test_power_button(tmp_path: Path) -> None:
    if base_image()[2] == "stand-in":
        pytest.skip("nothing listens to the power button in the stand-in image: it has no systemd-logind")
    with machine(tmp_path) as vm:
        vm.wait_for_ssh()
        vm.stop()
        assert vm.status()["ended"] == "guest-shutdown"

"""False rollbacks: good changes, each with a random cut, kill or restart in its way, on loopback machines and in QEMU.

`SEED` in the environment repeats a run; `QEMU_CHANGES` is how many changes are made in QEMU (20).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cl.transpiler.fragments import merged
from components.commands.qemu import state as qemu_state
from components.payload.machine_config import STAMP
from components.payload.rollback import rollback_fragment
from loopback.lab import KEEP
from tests.engine.good_changes import change, change_loopback_machines, new_seed
from tests.vm.machines import VM, login_config, machine, needs_image

if TYPE_CHECKING:
    from tests.engine.good_changes import Faults

ROOT = Path(__file__).resolve().parents[2]
ROLLBACK_AFTER = 1200


def test_two_hundred_good_changes_on_loopback_machines(tmp_path: Path) -> None:
    tally = change_loopback_machines(tmp_path, machines=5, each=40)
    assert (tally.changes, tally.false_rollbacks) == (200, [])


class VirtualChanging:
    """A machine in QEMU: real Ignition, systemd and GRUB."""

    def __init__(self, vm: VM) -> None:
        self._vm = vm
        self._contents: dict[str, str] = {}
        self.faults: Faults = {
            "the deployer is killed": lambda _, process: process.kill(),
            "the power is lost": lambda *_: self._lose_power(),
            "the machine is restarted": lambda *_: self._restart(),
        }

    def publish(self, name: str) -> str:
        config_id = hashlib.sha512(name.encode()).hexdigest()
        files = {f"/etc/only-{name}": "x", STAMP: f"{config_id}%0A"}
        nodes = [
            {"path": path, "overwrite": True, "contents": {"source": f"data:,{text}"}} for path, text in files.items()
        ]
        config = merged(login_config(self._vm.public_key, files=nodes), rollback_fragment(ROLLBACK_AFTER))
        self._contents[config_id] = json.dumps(config)
        self._vm.put(self._contents[config_id])
        return config_id

    def start(self, config_id: str) -> subprocess.Popen[str]:
        health = [{"name": "it", "subject": "sleep 1; test -e /etc/flatcar/config-id", "seconds": 20}]
        request = self._vm.request(
            config_id, self._contents[config_id], keep=KEEP, health=health, rollback_after=ROLLBACK_AFTER
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "components.commands.reprovision"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(request)
        process.stdin.close()
        process.stdin = None
        return process

    def times_it_rolled_back(self) -> int:
        self._vm.wait_for_ssh()  # it may be on its way up again after the proof
        return int(self._vm.ssh("grep -c going-back /oem/.flatcar-history || true").strip() or 0)

    def check(self, name: str) -> None:
        self._vm.wait_for_ssh()
        assert self._vm.ssh("ls -d /etc/only-*").split() == [f"/etc/only-{name}"], "the reset was made"
        assert self._vm.ssh("cat /var/log/kept") == "kept\n"

    def _lose_power(self) -> None:
        os.kill(qemu_state.holder(self._vm.directory / qemu_state.QEMU_PID) or 0, signal.SIGKILL)
        while self._vm.status()["running"]:
            time.sleep(0.2)
        self._vm.start()

    def _restart(self) -> None:
        """By root on the machine, as soon as it can be reached."""
        reboot = "sudo systemd-run --quiet --on-active=0.1s --timer-property=AccuracySec=100ms systemctl reboot"
        end = time.monotonic() + 300
        while self._vm.ssh_try(reboot, 30).returncode == 255 and time.monotonic() < end:
            time.sleep(0.5)


@needs_image
def test_good_changes_in_qemu(tmp_path: Path) -> None:
    seed, count = new_seed(), int(os.environ.get("QEMU_CHANGES", "20"))
    with machine(tmp_path) as vm:
        vm.wait_for_ssh()
        vm.ssh("echo kept | sudo tee /var/log/kept >/dev/null")
        tally = change(VirtualChanging(vm), random.Random(seed), count, "vm")
    print(tally.told("a machine in QEMU"))
    assert (tally.changes, tally.false_rollbacks) == (count, [])

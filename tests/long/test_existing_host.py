"""A host provisioned by hand: a power cut while its config is written, adoption over SSH, the move to a pointer."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from components.commands.qemu import state as qemu_state
from components.commands.ssh_session import script_text
from components.payload.machine_config import MachineConfig
from components.settings.keep import kept_paths
from tests.support.machine_configs import made_config
from tests.vm.machines import POINTER, VM, login_config, machine, needs_image

ROOT = Path(__file__).resolve().parents[2]
KEEP = kept_paths(["logs", "/var/lib/data"])


pytestmark = needs_image


def config_of(vm: VM, generation: int) -> MachineConfig:
    return made_config(
        ROOT / "cl/machine-web.yaml",
        files_dir=ROOT / "cl/files",
        platform="metal",
        shared={"ssh_public_key": vm.public_key, "machine_name": "web"},
        keep=KEEP,
        generation=generation,
        rollback_after=3600,
    )


def reprovision(vm: VM, config: MachineConfig, oem: str) -> str:
    """Run the program of the `Reprovision` resource; its progress."""
    request = vm.request(config.config_id, config.text, keep=KEEP, oem=oem, user_data=POINTER)
    done = subprocess.run(
        [sys.executable, "-m", "components.commands.reprovision"],
        input=request, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + vm.tail()
    return done.stderr


NEVER = {"never": "in force"}
BEFORE_THE_RENAME = "sync() { sleep 900; }", "test -s /oem/config.ign.new"
AFTER_THE_RENAME = (
    'sync() { [ "$1" != --file-system ] && command sync "$@" || sleep 900; }',
    "test -e /oem/config.ign.previous && ! test -e /oem/config.ign.new",
)


def cut_the_power_while_writing(vm: VM, moment: tuple[str, str]) -> None:
    """Write NEVER as `stage.sh` does; kill QEMU in the `moment`: what to stop the writer with, and how to see that."""
    stopped, reached = moment
    encoded = base64.b64encode(json.dumps(NEVER).encode()).decode()
    script = f"{script_text('staging.sh')}\n{stopped}\nOEM_CONFIG={encoded}\ninstall_own_config"
    writer = threading.Thread(target=vm.ssh_try, args=(f"sudo bash -s <<'END'\n{script}\nEND\n", 300))
    writer.start()
    deadline = time.monotonic() + 200
    while vm.ssh_try(f"sudo bash -c '{reached}'").returncode != 0:
        assert time.monotonic() < deadline
    os.kill(qemu_state.holder(vm.directory / qemu_state.QEMU_PID) or 0, signal.SIGKILL)
    writer.join()
    while vm.status()["running"]:
        time.sleep(0.2)


def test_by_hand_then_adopted_then_by_pointer(tmp_path: Path) -> None:
    with machine(tmp_path) as vm:
        boot = vm.wait_for_ssh()
        marker = {"path": "/etc/by-config", "overwrite": True, "contents": {"source": "data:,by%20hand"}}
        by_hand = login_config(vm.public_key, files=[marker])
        vm.ssh(
            f"echo '{json.dumps(by_hand)}' | sudo tee /oem/config.ign; sudo mkdir /var/lib/data;"
            "echo mine | sudo tee /var/lib/data/kept /etc/by-hand; sudo touch /boot/flatcar/first_boot; sudo sync"
        )
        host_key, machine_id = vm.known_hosts.read_text(), vm.ssh("cat /etc/machine-id")
        cut_the_power_while_writing(vm, BEFORE_THE_RENAME)
        vm.start()
        boot = vm.wait_for_ssh(other_than=boot)
        assert json.loads(vm.ssh("sudo cat /oem/config.ign")) == by_hand
        assert vm.ssh("cat /etc/by-config") == "by hand", "the flag was set: Ignition has run the old one"
        cut_the_power_while_writing(vm, AFTER_THE_RENAME)
        vm.start()
        vm.wait_for_ssh(other_than=boot)
        own = json.loads(vm.ssh("sudo cat /oem/config.ign"))
        assert own in (by_hand, NEVER), "one of them, whole"
        assert own == by_hand or json.loads(vm.ssh("sudo cat /oem/config.ign.previous")) == by_hand, "and the old one"

        vm.put("{}")  # were it fetched, Ignition would fail
        first = config_of(vm, 0)
        reprovision(vm, first, "config")
        assert vm.ssh("sudo cat /oem/config.ign") == first.text
        assert vm.ssh("sudo stat -c '%a %U' /oem/config.ign; ls /oem/config.ign*") == "600 root\n/oem/config.ign\n"
        assert vm.ssh("cat /var/lib/data/kept; ls /etc/by-hand 2>&1 || true").startswith("mine\nls: ")
        assert vm.ssh("cat /etc/flatcar/config-id").strip() == first.config_id

        second = config_of(vm, 1)
        vm.put(second.text)
        reprovision(vm, second, "pointer")
        assert vm.ssh("sudo cat /oem/config.ign") == POINTER
        assert vm.ssh("cat /etc/flatcar/config-id /var/lib/data/kept") == f"{second.config_id}\nmine\n"
        assert (vm.known_hosts.read_text(), vm.ssh("cat /etc/machine-id")) == (host_key, machine_id)
        assert "no reboot" in reprovision(vm, second, "config"), "moved back, with nothing else to do"
        assert vm.ssh("sudo cat /oem/config.ign") == second.text

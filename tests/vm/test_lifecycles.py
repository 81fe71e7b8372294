"""`pulumi up` of this project on a real virtual machine with real Ignition: one machine walked through its states.

With the stand-in image this shows the protocol and Ignition's part; see the image's description for what stands in.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.qemu_state import QEMU_PID, RECORD
from components.commands.ssh_session import SshTarget, answers

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.support.pulumi import Pulumi, Run

PROJECT = Path(__file__).parents[2]
CONFIG = """\
variant: flatcar
version: 1.0.0
passwd:
  users:
    - name: core
      ssh_authorized_keys: ["${ssh_public_key}"]
storage:
  files:
    - path: /etc/motd
      overwrite: true
      contents: {inline: "this is NAME\\n"}
    - path: /etc/only-NAME
      overwrite: true
      contents: {inline: "NAME\\n"}
    - path: /etc/flatcar/update.conf
      overwrite: true
      contents: {inline: "REBOOT_STRATEGY=off\\n"}
systemd:
  units:
    - name: unit-NAME.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
"""
UNFETCHABLE = 'ignition:\n  config:\n    merge:\n      - source: "tftp://10.0.2.2/there-is-no-such-file"\n'


class Walk:
    """The stack, its one machine, and what a test looks at."""

    def __init__(self, stack: Pulumi, folder: Path) -> None:
        self.stack = stack
        self.config = folder / "machine.yaml"
        self.machines = folder / "machines" / stack.stack
        self.settings: dict[str, Any] = {"keep": ["logs"], "timeout": 1200}

    def write(self, name: str, *, lifecycle: str, extra: str = "") -> None:
        self.config.write_text(CONFIG.replace("NAME", name) + extra)
        self.use(self.config, lifecycle=lifecycle)

    def use(self, config: Path, *, lifecycle: str) -> None:
        self.settings |= {"config": str(config), "lifecycle": lifecycle}
        assert self.stack.config_file is not None
        salt = re.findall(r"(?m)^encryptionsalt:.*\n", self.stack.config_file.read_text())
        machines = json.dumps({"web": self.settings})  # JSON is YAML
        self.stack.config_file.write_text(f"{''.join(salt)}config:\n  flatcar:machines: {machines}\n")

    def on_machine(self, script: str) -> str:
        command = [
            *shlex.split(self.stack.outputs()["web"]["ssh"]),
            "-oBatchMode=yes",
            "-oConnectTimeout=30",
            "bash -s",
        ]
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=300, cwd=PROJECT, check=False
        )
        assert done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def wait_for_login(self) -> None:
        """After a power-on that nothing waits for."""
        port = json.loads((self.machines / "web" / RECORD).read_text())["ssh_port"]
        target = SshTarget(host="127.0.0.1", port=port, user="core", known_hosts="", host_key_alias="")
        assert answers(target, timeout=1200)

    def exists(self, path: str) -> bool:
        return self.on_machine(f"sudo test -e {path} && echo yes || true") == "yes"

    def enabled(self, unit: str) -> str:
        return self.on_machine(f"systemctl is-enabled {unit} 2>&1 || true")

    def identity(self) -> tuple[str, str]:
        """Machine id and SSH host key."""
        return self.on_machine("cat /etc/machine-id"), self.on_machine("cat /etc/ssh/ssh_host_ed25519_key.pub")

    def drift(self) -> None:
        self.on_machine("echo mine | sudo tee /etc/by-hand /var/log/kept /var/not-kept >/dev/null")


def steps(run: Run) -> dict[str, str]:
    """What was done to custom resources, by name."""
    done = {}
    for event in run.events:
        metadata = event.get("resourcePreEvent", {}).get("metadata")
        if metadata and metadata["type"] == "command:local:Command" and metadata["op"] != "same":
            done[metadata["urn"].rsplit("::", 1)[-1]] = metadata["op"].removesuffix("-replacement")
    return done


IN_PLACE = {"web-object", "web-reprovision"}


@pytest.fixture
def walk(tmp_path: Path, pulumi: Project) -> Walk:
    return Walk(pulumi(PROJECT, env={"MACHINES_DIR": str(tmp_path / "machines")}), tmp_path)


def test_creation_flag_reset_and_a_broken_config(walk: Walk) -> None:
    stack = walk.stack

    # Creation boots once.
    walk.write("a", lifecycle="reset")
    created = stack.up()
    assert any("no reboot" in line for line in created.progress("web-reprovision")), created.output
    assert stack.outputs()["web"]["downtimeSeconds"] == 0
    boot = walk.on_machine("cat /proc/sys/kernel/random/boot_id")
    assert json.loads(walk.on_machine("sudo cat /etc/.ignition-result.json"))["provisioningBootID"] == boot
    assert walk.enabled("unit-a.service") == "enabled"
    identity = walk.identity()
    pointer = (walk.machines / "web" / "pointer.ign").read_bytes()

    # A second `up` changes nothing and doesn't touch the machine.
    assert steps(stack.up()) == {}
    assert walk.on_machine("cat /proc/sys/kernel/random/boot_id") == boot

    # flag: the old file stays, and so does what was done by hand; the new unit is not enabled.
    walk.drift()
    walk.write("b", lifecycle="flag")
    preview = stack.preview("--diff")
    assert steps(preview).keys() == IN_PLACE
    assert re.search(r"- +this is a", preview.output), preview.output
    assert re.search(r"\+ +this is b", preview.output)
    changed = stack.up()
    assert steps(changed).keys() == IN_PLACE
    assert walk.on_machine("cat /etc/only-b") == "b"
    assert walk.exists("/etc/only-a")
    assert walk.exists("/etc/by-hand")
    assert walk.enabled("unit-b.service") != "enabled"
    assert walk.identity() == identity

    # reset: nothing old is left, the new unit is enabled; host key, machine id and kept path survive.
    walk.write("c", lifecycle="reset")
    stack.up()
    assert stack.outputs()["web"]["downtimeSeconds"] > 0
    assert walk.on_machine("cat /etc/only-c") == "c"
    for gone in ("/etc/only-a", "/etc/only-b", "/etc/by-hand", "/var/not-kept", "/etc/systemd/system/unit-a.service"):
        assert not walk.exists(gone), gone
    assert walk.enabled("unit-c.service") == "enabled"
    assert walk.on_machine("systemctl is-active unit-c.service") == "active"
    assert walk.on_machine("cat /var/log/kept") == "mine"
    assert walk.identity() == identity

    # A config that fails in Ignition's fetch is reported, the disk stays as it was, the repaired object heals.
    walk.drift()
    walk.settings |= {"timeout": 90, "rollback": False}
    walk.write("d", lifecycle="flag", extra=UNFETCHABLE)
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "not back within 90 s" in failed.output
    assert "last lines of its console" in failed.output
    assert "Traceback" not in failed.output
    walk.settings |= {"timeout": 1200, "rollback": True}
    walk.write("e", lifecycle="flag")
    healed = stack.up()
    assert "web" not in steps(healed)
    assert walk.on_machine("cat /etc/only-e") == "e"
    assert walk.exists("/etc/by-hand")
    assert not walk.exists("/etc/only-d")
    assert walk.identity() == identity

    # Through all of this the user data stayed the same, byte by byte.
    assert (walk.machines / "web" / "pointer.ign").read_bytes() == pointer


def test_a_container_linux_config_reformat_and_a_crash(walk: Walk) -> None:
    stack = walk.stack
    walk.use(PROJECT / "cl" / "machine-worker.yaml", lifecycle="reset")
    stack.up()
    assert walk.on_machine("cat /etc/motd") == "This is web. Changes belong into cl/machine-worker.yaml."
    assert walk.on_machine("systemctl is-active worker.service; systemctl show -P Restart worker.service") == (
        "active\nalways"
    )
    identity = walk.identity()
    walk.drift()

    # reformat: nothing is left, and it is still the same machine.
    walk.write("f", lifecycle="reformat")
    assert steps(stack.up()).keys() == IN_PLACE
    assert walk.on_machine("cat /etc/only-f") == "f"
    for gone in ("/etc/worker/work", "/etc/by-hand", "/var/log/kept", "/oem/.flatcar-host-keys"):
        assert not walk.exists(gone), gone
    assert walk.enabled("unit-f.service") == "enabled"
    assert walk.identity() == identity

    # A crashed QEMU is started again on the same disk; nothing is re-provisioned.
    os.kill(json.loads((walk.machines / "web" / QEMU_PID).read_text())["pid"], signal.SIGKILL)
    assert steps(stack.up()) == {"web": "update"}
    walk.wait_for_login()
    assert walk.on_machine("cat /etc/only-f") == "f"
    assert walk.identity() == identity

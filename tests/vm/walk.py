"""`pulumi up` of this project on a real virtual machine with real Ignition: one machine walked through its states.

With the stand-in image this shows the protocol and Ignition's part; see the image's description for what stands in.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.left_over import listing, read_listing
from tests.vm.machines import CPUS

if TYPE_CHECKING:
    from loopback.pulumi import Pulumi, Run

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


class Walk:
    """The stack, its one machine, and what a test looks at."""

    def __init__(self, stack: Pulumi, folder: Path) -> None:
        self.stack = stack
        self.config = folder / "machine.yaml"
        self.machines = folder / "machines" / stack.stack
        self.settings: dict[str, Any] = {"timeout": 1200, "qemu": {"cpus": CPUS}}

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

    def exists(self, path: str) -> bool:
        return self.on_machine(f"sudo test -e {path} && echo yes || true") == "yes"

    def enabled(self, unit: str) -> str:
        return self.on_machine(f"systemctl is-enabled {unit} 2>&1 || true")

    def identity(self) -> tuple[str, str]:
        """Machine id and SSH host key."""
        return self.on_machine("cat /etc/machine-id"), self.on_machine("cat /etc/ssh/ssh_host_ed25519_key.pub")

    def root_files(self) -> dict[str, str]:
        """Every path of ROOT itself, without what is mounted in it, for `left_over`."""
        alone = "mkdir -p /run/root; mount --bind / /run/root; cd /run/root"
        return read_listing(self.on_machine(f"sudo unshare --mount bash -euc '{alone}; {listing('.')}'"))

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
"""What `pulumi up` does something to when a config has changed."""

"""Three real machines in waves: four ways to break a config, each of which ends at the first machine, then a good one.

What is shown: the rollout stops at its first machine, that machine is back on its last good config without hands, and
the others have not noticed. The stand-in image retries after seconds where Flatcar waits five minutes.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from loopback.pulumi import Pulumi, Run
    from tests.conftest import Project

PROJECT = Path(__file__).parents[2]
NAMES = ("a", "b", "c")
CONFIG = """\
variant: flatcar
version: 1.0.0
passwd:
  users:
    - name: core
      ssh_authorized_keys: ["${ssh_public_key}"]
storage:
  files:
    - path: /etc/release-name
      contents: {inline: "NAME\\n"}
"""
NO_FETCH = 'ignition:\n  config:\n    merge:\n      - source: "tftp://10.0.2.2/there-is-no-such-file"\n'
NO_FILES = """\
    - path: /etc/wrong
      contents:
        source: "data:,other"
        verification: {hash: "sha512-HASH"}
""".replace("HASH", "0" * 128)
NO_SSHD = """\
    - path: /etc/ssh/sshd_config
      overwrite: true
      contents: {inline: "NoSuchOption yes\\n"}
"""
SET_CLOCK = "test -e /tmp/set || { touch /tmp/set; sudo date --set '3 hours' >/dev/null; false; }"
HEALTH = {
    "commands": [
        {"name": "the release is good", "command": "! grep -q sick /etc/release-name", "seconds": 2},
        # neither a check's time nor the rollback's deadline is over then
        {"name": "the clock is set in every boot", "command": SET_CLOCK, "seconds": 60},
    ]
}


class Fleet:
    """A stack of three machines that share one config."""

    def __init__(self, stack: Pulumi, folder: Path) -> None:
        self.stack, self.config = stack, folder / "machine.yaml"
        self.machines = folder / "machines" / stack.stack
        settings: dict[str, Any] = {
            "config": str(self.config),
            "timeout": 600,
            "rollback_after": 240,  # also on a busy computer a good config is proven by then
            "health": HEALTH,
        }
        assert stack.config_file is not None
        machines = {"flatcar:machines": dict.fromkeys(NAMES, settings), "flatcar:rollout": {"canary": 1, "batch": 1}}
        stack.config_file.write_text(json.dumps({"config": machines}))

    def up(self, release: str, extra: str = "", *, code: int | None = 0) -> Run:
        """`pulumi up` with a config of this name."""
        self.config.write_text(CONFIG.replace("NAME", release) + extra)
        run = self.stack.up(code=None)
        if code is not None and run.code != code:
            pytest.fail(f"exit code {run.code}\n{run.output}")
        return run

    def on(self, name: str, script: str) -> str:
        """Run a script on a machine."""
        command = [*shlex.split(self.ways[name]), "-oBatchMode=yes", "-oConnectTimeout=30", "bash -s"]
        done = subprocess.run(
            command, input=script, capture_output=True, text=True, timeout=300, cwd=PROJECT, check=False
        )
        assert done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def remember_ways(self) -> None:
        """How to log in; kept from the first `up`, as a failed one has no outputs."""
        self.ways = {name: self.stack.outputs()[name]["ssh"] for name in NAMES}

    def boots(self) -> dict[str, str]:
        """The boot ids."""
        return {name: self.on(name, "cat /proc/sys/kernel/random/boot_id") for name in NAMES}

    def releases(self) -> list[str]:
        """What each machine runs."""
        return [self.on(name, "cat /etc/release-name") for name in NAMES]


def span(run: Run, name: str) -> tuple[int, int]:
    """Where the re-run of a Command begins and ends among the engine's events."""
    of = [
        number
        for number, event in enumerate(run.events)
        for kind in ("resourcePreEvent", "resOutputsEvent")
        if (step := event.get(kind, {}).get("metadata", {})).get("urn", "").endswith(f"::{name}")
        and step["op"] == "update"
    ]
    return of[0], of[-1]


def test_a_bad_config_ends_at_the_first_machine_which_goes_back_by_itself(tmp_path: Path, pulumi: Project) -> None:
    fleet = Fleet(pulumi(PROJECT, env={"MACHINES_DIR": str(tmp_path / "machines")}), tmp_path)
    created = fleet.up("one")
    assert any("known from the console" in line for line in created.progress("a-reprovision")), created.output
    fleet.remember_ways()
    config_id = fleet.stack.outputs()["a"]["configId"]
    # the stand-in's word for how long a failed machine waits before it tries again; Flatcar waits 5 minutes
    fleet.on("a", "echo 'set emergency_wait=\"5\"' | sudo tee -a /oem/grub.cfg >/dev/null")
    fleet.on("a", "echo kept | sudo tee /var/log/kept >/dev/null")
    before = fleet.boots()
    host_key = fleet.on("a", "cat /etc/ssh/ssh_host_ed25519_key.pub")

    for title, release, extra, why in (
        ("a health check fails", "sick", "", "health check 'the release is good' failed"),
        ("Ignition can't fetch", "unfetchable", NO_FETCH, "Ignition failed in the initramfs"),
        ("Ignition can't write a file", "unwritable", NO_FILES, "Ignition failed in the initramfs"),
        ("sshd does not start", "unreachable", NO_SSHD, "rolled back by itself"),
    ):
        began = time.monotonic()
        failed = fleet.up(release, extra, code=None)
        took = time.monotonic() - began
        said = "\n".join(failed.progress("a-reprovision"))
        print(f"{title}: back on the last good config after {took:.0f} s, of `pulumi up`'s start")
        assert failed.code != 0, failed.output
        assert why in said, failed.output
        assert f"back on its last good config ({config_id[:12]}); wanted was " in said, failed.output
        assert fleet.releases() == ["one", "one", "one"], failed.output
        now = fleet.boots()
        assert (now["b"], now["c"]) == (before["b"], before["c"]), "the others never noticed"
        assert now["a"] != before["a"]
        before = now
        assert fleet.on("a", "cat /var/log/kept") == "kept"
        assert fleet.on("a", "cat /etc/ssh/ssh_host_ed25519_key.pub") == host_key
        assert fleet.on("a", "sudo test -e /oem/config.ign || echo gone") == "gone", "nothing shadows the pointer"

    good = fleet.up("two")
    assert fleet.releases() == ["two", "two", "two"], good.output
    spans = [span(good, f"{name}-reprovision") for name in NAMES]
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans)), f"one after the other: {spans}"
    for name in NAMES:
        downtime = fleet.stack.outputs()[name]["downtimeSeconds"]
        print(f"{name}: re-provisioned, down for {downtime} s")
        assert any(re.search(r"proven: .* down for ", line) for line in good.progress(f"{name}-reprovision"))
    # a quiet `up` afterwards touches nothing
    before = fleet.boots()
    assert "reprovision" not in str({name for name, op in fleet.up("two").ops().items() if op != "same"})
    assert fleet.boots() == before

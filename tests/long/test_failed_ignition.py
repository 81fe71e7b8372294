"""Ignition that fails on a real machine: `pulumi up` tells why and soon; the machine heals, or is rolled back.

The initramfs of Flatcar's image, and of the stand-in, says it on the screen alone, whose text QEMU's supervisor reads.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING

from components.commands.qemu.state import CONSOLE
from tests.vm.machines import needs_image
from tests.vm.walk import PROJECT, Walk

if TYPE_CHECKING:
    from pathlib import Path

    from loopback.pulumi import Run
    from tests.conftest import Project

pytestmark = needs_image

TOLD = "Ignition failed in the initramfs"
REMOTE = """\
    - path: /etc/from-elsewhere
      contents: {source: "http://10.0.2.4/not-there-yet"}
"""
"""A file that its server has not got yet: 404, which Ignition does not try again. It fails in its stage `files`."""
NO_DISK = """\
  filesystems:
    - {device: /dev/disk/by-label/no-such-disk, format: ext4, path: /srv/data}
"""
"""Fails in Ignition's stage `disks`, before the wipe, once systemd has waited for the disk."""


def told(run: Run) -> list[str]:
    """What was told at the machine each time Ignition had failed."""
    return [line.partition(TOLD)[2] for line in run.progress("web-reprovision") if TOLD in line]


def seconds_until(run: Run, *patterns: str) -> list[int]:
    """When lines that match were first told at the machine, as the engine's clock has it, since the step before."""
    found = []
    for pattern in patterns:
        times = [
            int(event["timestamp"])
            for event in run.events
            if re.search(pattern, event.get("diagnosticEvent", {}).get("message", ""))
        ]
        assert times, f"{pattern!r} was not told: {run.progress('web-reprovision')}"
        found.append(times[0])
    return [later - earlier for earlier, later in itertools.pairwise(found)]


def test_a_new_machine_heals_and_a_running_one_is_rolled_back(tmp_path: Path, pulumi: Project) -> None:
    stack = pulumi(PROJECT, env={"MACHINES_DIR": str(tmp_path / "machines")})
    walk = Walk(stack, tmp_path)

    # A new machine has nothing to be rolled back to. It tries again by itself, and the same `pulumi up` waits for that.
    walk.write("a", lifecycle="reset")
    walk.config.write_text(walk.config.read_text().replace("systemd:\n", f"{REMOTE}systemd:\n"))
    with stack.running("up", "--yes", "--skip-preview") as up:
        while not told(stack.seen()):
            assert up.poll() is None, up.communicate()[0]
            time.sleep(0.2)
        (walk.machines / "objects" / "web" / "not-there-yet").write_text("here now\n")
        output, _ = up.communicate()
    assert up.returncode == 0, output
    created = stack.seen()
    print("\n".join(created.progress("web-reprovision")))
    why = 'failed to create file "/sysroot/etc/from-elsewhere": resource not found'
    assert why in told(created)[0], created.progress("web-reprovision")
    console = (walk.machines / "web" / CONSOLE).read_text(errors="replace")
    assert "its screen says" in console and "this%20is%20a" not in console, (
        "Ignition prints the config; nobody else does"
    )
    assert walk.on_machine("cat /etc/from-elsewhere /etc/only-a") == "here now\na"
    failing, healing = seconds_until(created, " is on: ", TOLD, "proven: ")
    print(f"told {failing} s after the machine was on, healed {healing} s later")
    assert failing < healing, "sooner than the machine's pause and a boot that succeeds take"

    # A machine that was proven is rolled back, as soon as it is known that Ignition failed.
    walk.write("b", lifecycle="reset")
    walk.config.write_text(walk.config.read_text().replace("storage:\n", f"storage:\n{NO_DISK}"))
    with stack.running("up", "--yes", "--skip-preview") as up:
        output, _ = up.communicate()
    failed = stack.seen()
    print("\n".join(failed.progress("web-reprovision")))
    assert up.returncode != 0
    assert "no-such-disk" in told(failed)[0], output
    assert "back on its last good config" in output
    assert walk.on_machine("cat /etc/only-a") == "a" and not walk.exists("/etc/only-b")

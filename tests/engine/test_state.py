"""What befalls Pulumi's own state, and the files beside it, while a machine is changed: the next run converges."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from loopback.machine import wait_until
from tests.engine.test_machine import changes, lab

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.test_machine import Lab

__all__ = ["lab"]

# The state's folder on a disk of its own, with so many KiB left: enough for the engine's lock.
SMALL_DISK = """
set -eu
state=$1 aside=$2 left=$3
shift 3
cp -a "$state/." "$aside/"
mount -t tmpfs -o size=4m tmpfs "$state"
cp -a "$aside/." "$state/"
head -c $((($(df --output=avail -k "$state" | tail -n 1) - left) * 1024)) /dev/zero >"$state/full"
"$@" && code=0 || code=$?
rm "$state/full"
rm -rf "$aside"
cp -a "$state" "$aside"
exit $code
"""


def test_a_disk_that_is_full_under_the_state_is_healed_from_a_copy(lab: Lab, tmp_path: Path) -> None:
    lab.stack.up()
    state, aside = lab.stack.scratch / "state", tmp_path / "aside"
    aside.mkdir()
    lab.edit("first line", "another line")
    up = lab.stack.argv("up", "--yes", "--skip-preview")
    failed = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", state, aside, "16", *up],
        cwd=lab.stack.directory,
        env=lab.stack.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode != 0
    assert "no space left on device" in failed.stdout + failed.stderr
    shutil.rmtree(state)
    aside.rename(state)

    broken = lab.stack.up(code=None)
    assert broken.code != 0 and "Traceback" not in broken.output
    (file,) = state.glob(f".pulumi/stacks/*/{lab.stack.stack}.json")
    copies = [file.with_name(file.name + ".bak"), *sorted(state.glob(".pulumi/history/*/*/*.checkpoint.json"))[::-1]]
    whole = next(copy for copy in copies if _is_whole(copy))
    shutil.copyfile(whole, file)
    lab.stack.run("cancel", "--yes", code=None)
    lab.stack.up()
    assert lab.machine.text("/etc/motd").startswith("another line")
    assert lab.machine.boots == 2
    assert changes(lab.stack.up()) == {}


def _is_whole(copy: Path) -> bool:
    try:
        json.loads(copy.read_bytes())
    except (ValueError, OSError):
        return False
    return True


def test_a_killed_engine_leaves_pending_operations_which_a_refresh_clears(lab: Lab) -> None:
    lab.machine.pull_the_plug()
    with lab.stack.running("up", "--yes", "--skip-preview") as engine:
        pending = "::web-reprovision"
        wait_until(lambda: any(_pending(lab, pending)), seconds=60)
        engine.kill()
        engine.wait()
    lab.machine.plug_in()
    lab.stack.run("cancel", "--yes")
    again = lab.stack.up()
    assert "1 pending operations from previous deployment" in again.output
    assert "interrupted while creating" in again.output
    assert any(_pending(lab, pending)), "Pulumi tells it at each run until it is cleared"
    lab.stack.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    assert not any(_pending(lab, pending))
    assert changes(lab.stack.up()) == {}
    assert lab.machine.text("/etc/motd").startswith("first line")


def _pending(lab: Lab, suffix: str) -> list[bool]:
    try:
        operations = lab.stack.export().get("pending_operations") or []
    except ValueError:  # it is being written
        return []
    return [operation["resource"]["urn"].endswith(suffix) for operation in operations]


def test_a_lost_machines_folder_is_made_anew(lab: Lab, tmp_path: Path) -> None:
    lab.stack.up()
    shutil.rmtree(tmp_path / "machines")
    assert changes(lab.stack.up()) == {}
    lab.edit("first line", "another line")
    lab.stack.up()
    assert lab.machine.text("/etc/motd").startswith("another line")
    (pins,) = (tmp_path / "machines").rglob("known_hosts/web")
    key = " ".join(lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
    assert key in pins.read_text()

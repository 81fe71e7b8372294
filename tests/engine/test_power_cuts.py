"""Power lost between any two steps of the scripts: the machine boots into a config, and the next run converges.

The scripts run once, with a note of the disk before each step (`loopback/parts/power-cuts.bash`). Of each note all that
a power cut may leave is made: every file system as it was then, or as it was when it was last flushed. Each such disk
is booted (stand-in initramfs, in Flatcar's order), and brought to the wanted config and then to another by the scripts.
Here that is done with one of `SHARE`, in `tests/long/test_power_cuts.py` with all; `SEED` repeats a run.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from components.commands.ssh_session import script_text
from components.settings.lifecycle import Lifecycle
from loopback.lab import KEEP, Lab
from loopback.machine import PARTS, LoopbackMachine, ObjectServer
from tests.engine.good_changes import new_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHARE = 3
"""Of the disks one in so many is tried."""
PLACES = {
    "root": ("selective-os-reset", ".flatcar-unwiped", "etc/flatcar/config-id", "etc/flatcar/config-salt"),
    "boot": ("boot",),
    "oem": ("oem",),
}
"""File systems, and what on them the scripts write."""
LEFTOVERS = (
    "/boot/flatcar/first_boot", "/selective-os-reset", "/.flatcar-unwiped", "/oem/config.ign",
    "/oem/.flatcar-host-keys", "/oem/.flatcar-host-keys.new", "/oem/.flatcar-links-left",
)  # fmt: skip
"""What no re-run may leave behind once it is proven."""

LINKS = ("/etc/link-1", "/etc/link-2", "/etc/link-3")
"""To a directory: a wipe alone leaves them, the shutdown before it takes them."""


class Disk(Lab):
    """A machine that is off: its disk, booted and changed by the scripts alone, without SSH."""

    def stage(self, config_id: str) -> str:
        """stage.sh for `config_id`; what it printed."""
        values = {
            "CONFIG_ID": config_id,
            "LIFECYCLE": self.lifecycle,
            "SOURCE": self.machine.source,
            "OBJECT_SHA512": hashlib.sha512(self.contents[config_id].encode()).hexdigest(),
            "OBJECT_BYTES": str(len(self.contents[config_id])),
            "WAY_BACK_WANTED": "yes",
            "OEM_CONFIG": "",
        }
        printed = self.do(values, "staging.sh", "keep.sh", "preview.sh", "stage.sh")
        self.machine.end_timers()  # the reboot: nothing happens by itself here
        return printed

    def confirm(self, config_id: str, content: str) -> str:
        """confirm.sh for the running config; `content` "" leaves the noted one."""
        values = {
            "CONFIG_ID": config_id,
            "LIFECYCLE": self.lifecycle,
            "CONTENT": base64.b64encode(content.encode()).decode(),
            "OEM": "",
            "OEM_CONFIG": "",
        }
        return self.do(values, "staging.sh", "confirm.sh")

    def salt(self, old_id: str, config_id: str) -> str:
        """resalt.sh; what it printed."""
        values = {
            "OLD_ID": old_id,
            "CONFIG_ID": config_id,
            "SALT": "ab" * 32,
            "LIFECYCLE": self.lifecycle,
            "CONTENT": base64.b64encode(self.contents[config_id].encode()).decode(),
        }
        return self.do(values, "staging.sh", "resalt.sh")

    def do(self, values: dict[str, str], *scripts: str) -> str:
        """Run scripts as one on the machine."""
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        text += f"KEEP=({shlex.join(KEEP)})\n" + script_text(*scripts)
        done = self._inside("bash -s", text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def roll_back(self) -> None:
        """What the timer starts."""
        done = self._inside("bash /etc/flatcar/rollback.sh", "")
        assert done.returncode == 0, done.stderr

    def _inside(self, command: str, text: str) -> subprocess.CompletedProcess[str]:
        if self.is_watched:
            command = f"BASH_ENV=/run/power-cuts.bash {command}"
        enter = [str(PARTS / "enter"), str(self.machine.root), command]
        return subprocess.run(enter, input=text, capture_output=True, text=True, check=False)

    is_watched = False

    def watch(self) -> None:
        """Note the disk before each step from now on."""
        shutil.copy(PARTS / "power-cuts.bash", self.machine.path("/run/power-cuts.bash"))
        for folder in ("looks", "durable"):
            shutil.rmtree(self.machine.path(f"/run/{folder}"), ignore_errors=True)
            self.machine.path(f"/run/{folder}").mkdir()
        self.machine.path("/run/looks/count").write_text("0\n")
        for place in PLACES:
            self.machine.path(f"/run/durable/{place}").write_text("0\n")
        self.is_watched = True

    def boot(self) -> None:
        """The next boot, which has to get to its end."""
        assert self.machine.boot_from_disk(), self.machine.console.read_text()[-1000:]

    def restart(self) -> None:
        """A shutdown to its end, and the next boot."""
        self.machine.path("/run/system-state").write_text("stopping\n")
        self.machine.end_transient_units()
        self.boot()

    def text(self, path: str) -> str:
        file = self.machine.path(path)
        return file.read_text().strip() if file.exists() else ""

    def cuts(self, folder: Path, share: int = 1) -> Iterator[Path]:
        """Copies of the whole root: what a power cut may have left, or the first two and one of `share`."""
        self.is_watched = False
        looks = folder / "looks"
        shutil.move(self.machine.path("/run/looks"), looks)
        count = len(list(looks.iterdir())) - 1
        assert count > 30, "the steps are noted"
        seen: set[str] = set()
        first = random.Random(new_seed()).randrange(share)
        for number in range(count):
            durable = [int((looks / str(number) / "run/durable" / place).read_text()) for place in PLACES]
            for lost in itertools.product((False, True), repeat=len(PLACES)):
                parts = [looks / str(old if gone else number) for old, gone in zip(durable, lost, strict=True)]
                if (digest := _digest(parts)) not in seen:
                    seen.add(digest)
                    if len(seen) <= 2 or len(seen) % share == first:
                        yield self._disk(folder / f"disk{len(seen)}", parts)

    def _disk(self, root: Path, parts: Sequence[Path]) -> Path:
        shutil.copytree(self.machine.root, root, symlinks=True)
        for part, names in zip(parts, PLACES.values(), strict=True):
            for name in names:
                if (root / name).is_dir():
                    shutil.rmtree(root / name)
                    shutil.copytree(part / name, root / name)
                else:
                    (root / name).unlink(missing_ok=True)
                    if (part / name).exists():
                        shutil.copy(part / name, root / name)
        return root


def _digest(parts: Sequence[Path]) -> str:
    """Of names and contents; the history has the time in it."""
    told = hashlib.sha256()
    for part, names in zip(parts, PLACES.values(), strict=True):
        for name in names:
            for path in sorted([part / name, *(part / name).rglob("*")]):
                if path.exists() and not path.name.startswith(".flatcar-history"):
                    told.update(f"{path.relative_to(part)}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    return told.hexdigest()


@pytest.fixture(params=[Lifecycle.RESET, Lifecycle.REFORMAT])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    """A machine on the confirmed config "good", with something to keep and something to lose."""
    objects, folder = tmp_path / "objects", tmp_path / "machine"
    objects.mkdir()
    folder.mkdir()
    server = ObjectServer(objects)
    with server.running() as address:
        disk = Disk(LoopbackMachine(folder, f"{address}/web.ign"), server, rollback_after=300)
        disk.lifecycle = request.param
        disk.good = disk.publish("good")
        disk.boot()
        disk.confirm(disk.good, disk.contents[disk.good])
        disk.machine.path("/etc/ssh").mkdir(exist_ok=True)
        for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
            disk.machine.path(f"/etc/ssh/{name}").write_text("a key")
        disk.machine.path("/var/log").mkdir(exist_ok=True)
        disk.machine.path("/var/log/kept").write_text("kept")
        disk.machine.path("/etc/drift").write_text("drift")
        for link in LINKS:
            disk.machine.path(link).symlink_to("flatcar")
        yield disk


def converges(disk: Disk, wanted: str) -> None:
    """Boot a disk; what the deployer's next runs do then brings it to `wanted`, and to another config after that."""
    disk.boot()
    assert disk.text("/etc/flatcar/config-id"), "it was deleted, and nothing came in its place"
    for config_id in (wanted, disk.publish("next")):
        disk.write(disk.contents[config_id])
        if "staged=yes" in disk.stage(config_id):
            disk.restart()
        assert disk.text("/etc/flatcar/config-id") == config_id
        disk.confirm(config_id, disk.contents[config_id])
        if disk.lifecycle is Lifecycle.RESET:
            assert disk.text("/var/log/kept") == "kept"
        assert disk.text("/etc/ssh/ssh_host_ed25519_key") == "a key"
        for left in LEFTOVERS:
            assert not disk.machine.path(left).exists(), left
        if config_id != disk.good:
            assert not disk.machine.path("/etc/drift").exists(), "the reset was made up for"
            assert not disk.machine.path("/etc/only-good").exists()
    assert [link for link in LINKS if disk.machine.path(link).is_symlink()] == [], "one shutdown came to its end"


def every_cut_converges(disk: Disk, folder: Path, wanted: str) -> None:
    original, states = disk.machine.root, 0
    for root in disk.cuts(folder, SHARE):
        states += 1
        disk.machine.root = root
        disk.write(disk.contents[wanted])
        converges(disk, wanted)
        shutil.rmtree(root)
        disk.machine.root = original
    print(f"{states} different disks after a power cut")
    assert states > 1


def test_power_lost_while_staging(disk: Disk, tmp_path: Path) -> None:
    wanted = disk.publish("new")
    disk.watch()
    assert "staged=yes" in disk.stage(wanted)
    every_cut_converges(disk, tmp_path, wanted)


def test_power_lost_while_unstaging(disk: Disk, tmp_path: Path) -> None:
    disk.stage(disk.publish("new"))
    disk.write(disk.contents[disk.good])
    disk.watch()
    assert "staged=no" in disk.stage(disk.good)
    every_cut_converges(disk, tmp_path, disk.good)


@pytest.mark.parametrize("deleted", range(len(LINKS) + 1))
def test_power_lost_while_links_are_deleted(disk: Disk, deleted: int) -> None:
    wanted = disk.publish("new")
    assert "staged=yes" in disk.stage(wanted)
    for link in LINKS[:deleted]:
        disk.machine.path(link).unlink()
    converges(disk, wanted)


def test_a_reset_that_is_unstaged_deletes_no_link(disk: Disk) -> None:
    disk.stage(disk.publish("new"))
    disk.write(disk.contents[disk.good])
    assert "staged=no" in disk.stage(disk.good)
    disk.restart()
    assert [link for link in LINKS if not disk.machine.path(link).is_symlink()] == []


def test_no_link_is_deleted_before_the_shutdown(disk: Disk) -> None:
    disk.stage(disk.publish("new"))
    disk.machine.end_transient_units()  # as `systemctl stop` by hand would
    assert [link for link in LINKS if not disk.machine.path(link).is_symlink()] == []


def test_power_lost_while_confirming(disk: Disk, tmp_path: Path) -> None:
    wanted = disk.publish("new")
    disk.stage(wanted)
    disk.boot()
    disk.watch()
    disk.confirm(wanted, disk.contents[wanted])
    every_cut_converges(disk, tmp_path, wanted)


def test_power_lost_while_going_back(disk: Disk, tmp_path: Path) -> None:
    wanted = disk.publish("new")
    disk.stage(wanted)
    disk.boot()
    disk.watch()
    disk.roll_back()
    every_cut_converges(disk, tmp_path, wanted)


def test_salting_survives_a_power_cut(disk: Disk, tmp_path: Path) -> None:
    old, salted = disk.good, disk.publish("salted")
    disk.watch()
    assert disk.salt(old, salted) == f"salted={salted}\n"
    original, seen = disk.machine.root, set()
    for root in disk.cuts(tmp_path):
        disk.machine.root = root
        disk.boot()
        stamp, good = disk.text("/etc/flatcar/config-id"), disk.text("/oem/.flatcar-reprovision/last-good")[:128]
        seen.add((stamp, good))
        disk.roll_back()
        assert not disk.machine.path("/run/flatcar-going-back").exists(), "it would run the same config again"
        assert not disk.machine.path("/boot/flatcar/first_boot").exists()
        assert disk.text("/etc/flatcar/config-id") == stamp
        disk.salt(old, salted)
        disk.confirm(salted, disk.contents[salted])
        assert disk.text("/etc/flatcar/config-id") == salted
        assert disk.text("/etc/flatcar/config-salt") == "ab" * 32
        good, folder = disk.text("/oem/.flatcar-reprovision/last-good").split()
        assert good == salted
        assert disk.text(f"/oem/.flatcar-reprovision/{folder}/config.ign") == disk.contents[salted]
        shutil.rmtree(root)
        disk.machine.root = original
    assert seen == {(old, old), (old, ""), (salted, ""), (salted, salted)}

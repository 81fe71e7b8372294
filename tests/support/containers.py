"""Machines in containers: the stand-in image's own initramfs scripts, Ignition and systemd, in name spaces.

A boot takes a second, so a test can have hundreds. What there is not: a kernel, disks and boot loader of its own, and
nothing outside that the machine could reach. Needs Linux and root.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import missing
from tests.vm.machines import base_image, needs_the_stand_in

if TYPE_CHECKING:
    from collections.abc import Mapping

SCRIPT = Path(__file__).with_name("container.sh")
NAME_SPACES = ("--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net")
TOOLS = ("unshare", "nsenter", "setpriv", "unsquashfs", "qemu-img", "sfdisk")
BOOT_SECONDS = 60
_OVERLAY = "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work all"
_GROUP_FOLDER = "mount -t cgroup2 cgroup2 {0} && cd {0} && {1}"


def needs_containers() -> None:
    """Skip a test, and say why, where machines can't run in containers; fail where CI=true."""
    needs_the_stand_in()
    for tool in TOOLS:
        if shutil.which(tool) is None:
            missing(f"{tool}, for machines in containers")
    if reason := _refused():
        pytest.skip(f"machines can't run in containers here: {reason}")


@functools.cache
def _refused() -> str:
    """What is in the way of name spaces, cgroups and overlays; "" for nothing."""
    if os.geteuid() != 0:
        return "that takes root"
    with tempfile.TemporaryDirectory() as scratch:
        tries = (
            _GROUP_FOLDER.format(scratch, "mkdir flatcar-test-try && rmdir flatcar-test-try"),
            f"cd {scratch} && mkdir lower upper work all && {_OVERLAY}",
        )
        for text in tries:
            done = subprocess.run(
                ["unshare", *NAME_SPACES, "sh", "-c", text], capture_output=True, text=True, check=False
            )
            if done.returncode:
                return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return ""


def image_usr(folder: Path) -> Path:
    """Unpack the stand-in's /usr into `folder`, which is to be a new one."""
    disk, usr = folder / "disk.raw", folder / "usr"
    folder.mkdir(exist_ok=True)
    subprocess.run(["qemu-img", "convert", "-O", "raw", base_image()[0], disk], check=True)
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    (part,) = (part for part in table["partitiontable"]["partitions"] if part["name"] == "USR-A")
    offset = str(part["start"] * table["partitiontable"]["sectorsize"])
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-offset", offset, "-dest", usr, disk], check=True)
    disk.unlink()
    return usr


class NotUpError(AssertionError):
    """A machine did not come up: Ignition failed, or its units never got to their end."""


class Container:
    """A machine in `folder`, off at first. `usr` is what `image_usr` gave."""

    def __init__(self, folder: Path, usr: Path) -> None:
        self.folder, self.usr = folder, usr
        self.root = folder / "root"
        self._group = f"flatcar-test-{os.getpid()}-{folder.name}"
        self._systemd = ""
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("root", "oem/sysext", "boot/flatcar"):
            (folder / name).mkdir(parents=True)
        (folder / "boot/flatcar/first_boot").touch()
        version = (usr / "lib/os-release").read_text().partition("VERSION_ID=")[2].split()[0]
        for name in ("oem/grub.cfg", "oem/sysext/active-oem-qemu", f"oem/sysext/oem-qemu-{version}.raw"):
            (folder / name).touch()
        (folder / "oem/oem-release").write_text(f"ID=qemu\nVERSION_ID={version}\n")

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return self._process is not None

    def boot(self, config: Mapping[str, object]) -> None:
        """Switch it on, or restart it; Ignition gets `config` where the flag for a first boot is there."""
        if self._process:
            self.bash("systemctl reboot")
            self._process.wait(BOOT_SECONDS)
        self._forget()
        (self.folder / "config.ign").write_text(json.dumps(config))
        log = self.folder / "console"
        with log.open("wb") as console:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *NAME_SPACES, SCRIPT, self.usr, self.folder, self._group],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        end = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self._systemd = children[0] if children else ""
            wait = f"timeout {BOOT_SECONDS} systemctl is-system-running --wait"
            if self._systemd and self.bash(wait).stdout in ("running\n", "degraded\n"):
                return
            time.sleep(0.05)
        raise NotUpError(f"the machine did not come up:\n{log.read_text(errors='replace')[-2000:]}")

    def bash(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a bash script as root on the machine."""
        enter = ["nsenter", "--target", self._systemd, "--all", "--root", "--wd", "--", "/usr/bin/env", "-i"]
        enter += ["PATH=/usr/bin:/usr/sbin", "HOME=/root", "/usr/bin/bash", "-s"]
        return subprocess.run(enter, input=text, capture_output=True, text=True, check=False)

    def close(self) -> None:
        """Pull the plug."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self._systemd or self._process.pid), signal.SIGKILL)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        self._process, self._systemd = None, ""
        remove = f"! test -d {self._group} || find {self._group} -depth -type d -exec rmdir {{}} +"
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run(["unshare", "--mount", "sh", "-c", _GROUP_FOLDER.format(scratch, remove)], check=True)

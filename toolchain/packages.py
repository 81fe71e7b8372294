"""Debian packages, by what needs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence

from toolchain.places import ROOT
from toolchain.steps import SetupError, say

LINT = ("shellcheck",)
# Completion is tried in it: where CI=true, as below.
SHELLS = ("zsh",)
SSH_CLIENT = ("openssh-client",)
# Installing it starts a server: done where CI=true, not on somebody's laptop; tests skip there without it.
SSH_SERVER = ("openssh-server",)
# The page of `make status` is tried in it: a hundred megabytes, so where CI=true, as above.
BROWSER = ("chromium", "chromium-driver")
ROOT_FILE_SYSTEMS = ("git", "mmdebstrap", "mount")
# What checks and unpacks an official image of Flatcar.
RELEASE = ("gpg", "qemu-utils")
# What builds the stand-in machine image (`toolchain/image`).
IMAGE = (
    "cpio", "debian-archive-keyring", "dosfstools", "e2fsprogs", "fakeroot", "fdisk", "gcc", "gpg", "grub-common",
    "grub-pc-bin", "kmod", "libblkid-dev", "libc6-dev", "mmdebstrap", "mtools", "qemu-utils", "squashfs-tools",
    "uidmap",
)  # fmt: skip


def install(packages: Sequence[str]) -> None:
    """Install what is missing of the packages (`toolchain/apt`).

    Raises SetupError when that fails; the reason is on the screen then. Where there is no apt-get
    nothing is done but a word said: whether the programs are there shows when they are used.
    """
    if not shutil.which("apt-get"):
        if sys.platform != "linux":
            return
        say(f"note: no apt-get here; of other systems these are needed: {' '.join(packages)}")
        return
    if subprocess.run([ROOT / "toolchain" / "apt", *packages], check=False).returncode:
        raise SetupError(f"Debian packages are missing: {' '.join(packages)}")

"""A machine's disk: a qcow2 overlay on a base image that is never written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from components.commands.environment import for_child
from components.commands.qemu.state import BASE, DISK, MachineError, Record
from components.commands.untrusted import printable, shortened

MIN_FREE_BYTES = 256 * 1024 * 1024
"""Below this a guest would stop in the middle of its first boot."""


def make_disk(directory: Path, image: Path, disk_gib: int | None) -> os.stat_result:
    """Make `disk.qcow2` in `directory` on top of `image`; return the image's stat.

    `base.img` is a hard link to the image where the file system can, so that an image replaced by a newer one (or
    removed by a clean-up) doesn't pull the ground from under the disks made from it; else a symbolic link.
    Raises `MachineError`; there is no `disk.qcow2` then.
    """
    try:
        stat = image.stat()
    except OSError as error:
        raise MachineError(
            f"the machine image {image} can't be read: {error.strerror}\n"
            "  run `make up`, which gets one, or name another with `pulumi config set flatcar:image PATH`"
        ) from error
    check_space(directory)
    info = _qemu_img("info", "--output=json", str(image), what=f"the machine image {image} is no disk image")
    base, disk = directory / BASE, directory / DISK
    base.unlink(missing_ok=True)
    try:
        os.link(image.resolve(), base)
    except OSError:
        base.symlink_to(image.resolve())
    temporary = disk.with_name(DISK + ".new")
    size = [f"{disk_gib}G"] if disk_gib is not None and disk_gib * 2**30 > int(info["virtual-size"]) else []
    try:
        _qemu_img(
            "create", "-q", "-f", "qcow2", "-F", info["format"], "-b", BASE, str(temporary), *size,
            what=f"the disk {disk} can't be made",
        )  # fmt: skip
        temporary.chmod(0o600)
        temporary.replace(disk)
    finally:
        temporary.unlink(missing_ok=True)
    return stat


def check_disk(directory: Path, record: Record) -> None:
    """Make sure that the disk can be used: itself whole, the image under it unchanged; raises `MachineError`."""
    check_space(directory)
    base, disk = directory / BASE, directory / DISK
    way_out = (
        f"  put it back, or have the machine made anew, without its data: pulumi up --replace (or remove {directory})"
    )
    try:
        stat = base.stat()
    except OSError as error:
        raise MachineError(f"the image {record.image} under the disk {disk} is gone\n{way_out}") from error
    if (stat.st_size, stat.st_mtime_ns) != (record.image_size, record.image_mtime_ns):
        raise MachineError(f"the image {record.image} under the disk {disk} was changed in place\n{way_out}")
    _qemu_img("info", "-f", "qcow2", "--output=json", str(disk), what=f"the disk {disk} is damaged", way_out=way_out)


def check_space(directory: Path) -> None:
    """Raise `MachineError` when the file system of `directory` is nearly full."""
    free = shutil.disk_usage(directory).free
    if free < MIN_FREE_BYTES:
        raise MachineError(
            f"no space for a machine's disk: {free // 2**20} MiB free in {directory}, "
            f"{MIN_FREE_BYTES // 2**20} MiB are needed\n  free some, or set MACHINES_DIR to a folder elsewhere"
        )


def _qemu_img(*arguments: str, what: str, way_out: str = "") -> dict[str, Any]:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=for_child(),
        )
    except FileNotFoundError as error:
        raise MachineError("qemu-img is not on PATH\n  install it (Debian, Ubuntu: qemu-utils)") from error
    if done.returncode != 0:
        raise MachineError(f"{what}: {shortened(printable(done.stderr.strip()))}" + (f"\n{way_out}" if way_out else ""))
    return dict(json.loads(done.stdout)) if done.stdout else {}

"""The stand-in: a disk that provisions like Flatcar, built from Debian packages and the real Ignition.

Three parts, each cached in `$TOOLCHAIN_DIR/image/parts/` under the hash of what it is made from: the ignition
binary (pinned Go module), the Debian tree (tar), and the disk, which also depends on the scripts beside this file.
The tree is as new as Debian was when it was made: its hash covers the list of packages, not their versions.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.image.description import Image, ImageError
from toolchain.image.steps import run, step

VERSION = "0.1.0"
MEMORY_MIB = 1024
SUITE = "bookworm"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
TREE_PACKAGES = (
    "bash", "busybox-static", "ca-certificates", "curl", "dbus", "dosfstools", "e2fsprogs", "gdisk", "iproute2", "jq",
    "kmod", "libnss-myhostname", "login", "mount", "openssh-server", "passwd", "procps", "rsync", "sudo", "systemd",
    "systemd-sysv", "udev", "util-linux",
)  # fmt: skip

# program that the build needs -> Debian/Ubuntu package that brings it
BUILD_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "go": "golang-go",
    "gcc": "gcc",
    "mksquashfs": "squashfs-tools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "grub-mkimage": "grub-common",
    "sfdisk": "fdisk",
    "modprobe": "kmod",
    "cpio": "cpio",
    "qemu-img": "qemu-utils",
}
BUILD_FILES = {
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "/usr/include/blkid/blkid.h": "libblkid-dev",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
WITHOUT_ROOT = {"fakeroot": "fakeroot", "newuidmap": "uidmap"}

IGNITION_MODULE = "github.com/coreos/ignition/v2"
IGNITION_VERSION = "v2.24.0"
HERE = Path(__file__).resolve().parent


def build_packages(*, root: bool) -> tuple[str, ...]:
    """Debian packages that the build needs on this computer, apart from Go, which may come another way."""
    packages = {**BUILD_PROGRAMS, **BUILD_FILES, **({} if root else WITHOUT_ROOT)}
    return tuple(sorted(set(packages.values()) - {"golang-go"}))


def make(folder: Path, *, mirror: str = "") -> Image:
    """The stand-in's image below `folder`, built as far as it isn't there yet.

    A disk of an older state is left where it is: machines may still be overlays on it. Raises ImageError.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise ImageError(
            f"the stand-in machine image can be built on x86-64 alone, not on {platform.machine()}; "
            "build it elsewhere or give an image with --image PATH"
        )
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    tree_hash = _digest(f"{SUITE} {mirror} {KERNEL_PACKAGE} {TREE_PACKAGES}".encode(), HERE / "rootfs.sh")
    ignition_hash = _digest(" ".join(_ignition_build(Path())).encode(), *_files(HERE / "ignition"))
    disk_hash = _digest(
        f"{VERSION} {tree_hash} {ignition_hash}".encode(),
        HERE / "assemble.sh",
        *_files(HERE / "machine"),
        *_files(HERE / "initramfs"),
        *_files(HERE / "boot"),
    )
    disk = folder / f"stand-in-{disk_hash}" / "disk.qcow2"
    if not disk.exists():
        _need_programs()
        ignition = parts / f"ignition-{ignition_hash}"
        if not ignition.exists():
            _build_ignition(ignition, folder / "ignition.log")
        tree = parts / f"debian-{tree_hash}.tar"
        if not tree.exists():
            _build_tree(tree, folder / "debian.log", mirror)
        _assemble(disk, tree, ignition, folder / "disk.log")
    return Image(
        path=disk,
        format="qcow2",
        kind="stand-in",
        memory=MEMORY_MIB,
        description=f"Flatcar stand-in {VERSION}: Debian packages, Ignition {IGNITION_VERSION}; not Flatcar",
        made_from=disk_hash,
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(text: bytes, *files: Path) -> str:
    """12 hex digits over a text and over files: names, run bits, contents."""
    digest = hashlib.sha256(text)
    for path in files:
        executable = path.stat().st_mode & 0o111 != 0
        digest.update(f"\0{path.relative_to(HERE)}\0{executable}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _need_programs() -> None:
    """Raise ImageError when something that the build needs is missing on this computer."""
    search = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
    programs = {**BUILD_PROGRAMS, **({} if os.geteuid() == 0 else WITHOUT_ROOT)}
    missing = {package for program, package in programs.items() if shutil.which(program, path=search) is None}
    missing |= {package for path, package in BUILD_FILES.items() if not Path(path).exists()}
    if missing:
        names = " ".join(sorted(missing))
        raise ImageError(
            f"building the stand-in machine image needs packages that are not installed: {names}\n"
            f"  install them: sudo apt-get install --no-install-recommends {names}"
        )


@contextmanager
def _work_folder(final: Path) -> Iterator[Path]:
    """A folder beside `final` to build in, removed in the end."""
    work = Path(tempfile.mkdtemp(prefix=".work-", dir=final.parent))
    work.chmod(0o755)  # mmdebstrap's user namespace must be able to enter
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _ignition_build(output: Path) -> list[str]:
    package = f"{IGNITION_MODULE}/internal"
    flags = f"-s -w -X {package}/distro.selinuxRelabel=false -X {package}/version.Raw={IGNITION_VERSION}"
    return ["go", "build", "-mod=readonly", "-trimpath", "-o", str(output), "-ldflags", flags, package]


def _build_ignition(binary: Path, log: Path) -> None:
    log.unlink(missing_ok=True)
    with step(f"building Ignition {IGNITION_VERSION} (2-4 minutes)"), _work_folder(binary) as work:
        run(_ignition_build(work / "ignition"), log=log, cwd=HERE / "ignition", env={"CGO_ENABLED": "1"})
        (work / "ignition").replace(binary)


def _build_tree(tar: Path, log: Path, mirror: str) -> None:
    log.unlink(missing_ok=True)
    with step(f"collecting Debian {SUITE} packages (1-2 minutes)"), _work_folder(tar) as work:
        arguments = [work / "debian.tar", SUITE, mirror, ",".join(TREE_PACKAGES), KERNEL_PACKAGE]
        run([HERE / "rootfs.sh", *arguments], log=log)
        (work / "debian.tar").replace(tar)


def _assemble(disk: Path, tree: Path, ignition: Path, log: Path) -> None:
    log.unlink(missing_ok=True)
    with step("making the disk (10-20 seconds)"), _work_folder(disk.parent) as work:
        command = [HERE / "assemble.sh", work, tree, ignition, VERSION]
        search = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"
        run(["fakeroot", "--", *command] if os.geteuid() != 0 else command, log=log, env={"PATH": search})
        disk.parent.mkdir(exist_ok=True)
        (work / "disk.qcow2").replace(disk)

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

from toolchain import golang
from toolchain.image.description import Image
from toolchain.steps import SetupError, run, step

VERSION = "0.1.0"
MEMORY_MIB = 1024
SUITE = "bookworm"
KERNEL_PACKAGE = "linux-image-cloud-amd64"
TREE_PACKAGES = (
    "bash", "busybox-static", "ca-certificates", "cryptsetup-bin", "curl", "dbus", "dosfstools", "e2fsprogs", "gdisk",
    "iproute2", "jq", "kmod", "libnss-myhostname", "login", "mdadm", "mount", "openssh-server", "passwd", "procps",
    "rsync", "sudo", "systemd", "systemd-sysv", "udev", "util-linux",
)  # fmt: skip

# program or file that the build needs -> Debian/Ubuntu package that brings it (`toolchain/packages.py` installs them)
BUILD_PROGRAMS = {
    "cpio": "cpio",
    "gcc": "gcc",
    "grub-mkimage": "grub-common",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "mmdebstrap": "mmdebstrap",
    "modprobe": "kmod",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
}
BUILD_FILES = {
    "/usr/include/blkid/blkid.h": "libblkid-dev",
    "/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
WITHOUT_ROOT = {"fakeroot": "fakeroot", "newuidmap": "uidmap"}

IGNITION_PACKAGE = "github.com/coreos/ignition/v2/internal"
IGNITION_VERSION = "v2.24.0"
IGNITION_FLAGS = (
    f"-X {IGNITION_PACKAGE}/distro.selinuxRelabel=false -X {IGNITION_PACKAGE}/version.Raw={IGNITION_VERSION}"
)
HERE = Path(__file__).resolve().parent


def make(folder: Path, *, mirror: str = "") -> Image:
    """The stand-in's image below `folder`, built as far as it isn't there yet.

    A disk of an older state is left where it is: machines may still be overlays on it. Raises SetupError.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise SetupError(
            f"the stand-in machine image can be built on x86-64 alone, not on {platform.machine()}",
            "give a Flatcar image with --image PATH",
        )
    parts = folder / "parts"
    parts.mkdir(exist_ok=True)
    tree_hash = _digest(f"{SUITE} {mirror} {KERNEL_PACKAGE} {TREE_PACKAGES}".encode(), HERE / "rootfs.sh")
    go = " ".join(["go", *golang.arguments(IGNITION_PACKAGE, Path(), IGNITION_FLAGS)])
    ignition_hash = _digest(go.encode(), *_files(HERE / "ignition"))
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
            _build_ignition(ignition)
        tree = parts / f"debian-{tree_hash}.tar"
        if not tree.exists():
            _build_tree(tree, mirror)
        _assemble(disk, tree, ignition)
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
    """Raise SetupError when something that the build needs is missing on this computer."""
    search = _search_path()
    programs = {**BUILD_PROGRAMS, **({} if os.geteuid() == 0 else WITHOUT_ROOT)}
    missing = {package for program, package in programs.items() if shutil.which(program, path=search) is None}
    missing |= {package for path, package in BUILD_FILES.items() if not Path(path).exists()}
    if missing:
        names = " ".join(sorted(missing))
        raise SetupError(
            f"building the stand-in machine image needs packages that are not installed: {names}",
            f"sudo apt-get install --no-install-recommends {names}",
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


def _search_path() -> str:
    """PATH with the folders of system programs, which an ordinary user's may lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _build_ignition(binary: Path) -> None:
    with step(f"building Ignition {IGNITION_VERSION} for the stand-in machine image"):
        golang.build(
            HERE / "ignition",
            IGNITION_PACKAGE,
            binary,
            ldflags=IGNITION_FLAGS,
            log="image-ignition",
            env={"CGO_ENABLED": "1"},
        )


def _build_tree(tar: Path, mirror: str) -> None:
    with step(f"collecting Debian {SUITE} packages for the stand-in machine image"), _work_folder(tar) as work:
        run(
            ["nice", HERE / "rootfs.sh", work / "debian.tar", SUITE, mirror, ",".join(TREE_PACKAGES), KERNEL_PACKAGE],
            log="image-debian",
            failure="the Debian packages can't be collected",
            env={**os.environ, "PATH": _search_path()},
        )
        (work / "debian.tar").replace(tar)


def _assemble(disk: Path, tree: Path, ignition: Path) -> None:
    with step("making the disk of the stand-in machine image"), _work_folder(disk.parent) as work:
        as_root = [] if os.geteuid() == 0 else ["fakeroot", "--"]
        run(
            ["nice", *as_root, HERE / "assemble.sh", work, tree, ignition, VERSION],
            log="image-disk",
            failure="the disk can't be made",
            env={**os.environ, "PATH": _search_path()},
        )
        disk.parent.mkdir(exist_ok=True)
        (work / "disk.qcow2").replace(disk)

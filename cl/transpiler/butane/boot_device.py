"""Sugar of the variant fcos: `boot_device` (encryption and mirrors of the system disk) and `grub` (passwords)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cl.transpiler.butane import contents, schema
from cl.transpiler.butane.decode import Version
from cl.transpiler.butane.origins import Origins
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3_config import Step, merge
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import struct_of

_RESERVED = "8DA63339-0007-60C0-C436-083AC8230908"
_BIOS = "21686148-6449-6E6F-744E-656564454649"
_PREP = "9E1A2D38-C612-4316-AA26-8B49521E5A8B"
_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_FIRST_PARTITION = {"x86_64": ("bios", 1, _BIOS), "ppc64le": ("prep", 4, _PREP), "aarch64": ("reserved", 1, _RESERVED)}
"""Label, MiB and type of a mirrored disk's first partition. Fedora CoreOS's own layout: never change it."""

_NUMBERS = {"BIOS-BOOT": 1, "PowerPC-PReP-boot": 1, "EFI-SYSTEM": 2, "boot": 3, "root": 4}
"""Labels of the system's partitions, and the numbers that they have."""

_ROOT_MIB = 8192


def add_fcos_sugar(
    config: schema.Butane, version: Version, translated: v3.Config, origins: Origins, findings: Findings
) -> tuple[v3.Config, Origins]:
    """The translated config laid over what `boot_device` and `grub` ask for."""
    spec = version.spec
    if "boot_device" not in version.hidden:
        translated, origins = _add_boot_device(config.boot_device, translated, spec, origins)
    _check_system_partitions(translated, "boot_device" not in version.hidden, origins, findings)
    if "grub" not in version.hidden and config.grub.users:
        translated, origins = _add_grub_users(config.grub.users, translated, spec, origins)
    return translated, origins


def _over(
    parent: v3.Config, generated: Origins, child: v3.Config, spec: int, origins: Origins
) -> tuple[v3.Config, Origins]:
    steps: list[Step] = []
    return merge(parent, child, spec, steps), generated.merged(origins, steps)


def _add_boot_device(
    device: schema.BootDevice, config: v3.Config, spec: int, origins: Origins
) -> tuple[v3.Config, Origins]:
    encrypted, mirrored = bool(device.luks.tpm2 or device.luks.tang), bool(device.mirror.devices)
    if not encrypted and not mirrored:
        return config, origins
    generated = Origins()
    mirror: Path = ("boot_device", "mirror")
    disks, filesystems, raid = [], [], []
    layout = device.layout or "x86_64"
    for index, name in enumerate(device.mirror.devices):
        source = (*mirror, "devices", index)
        disk = v3.Disk(device=name, wipe_table=True, partitions=tuple(_mirror_partitions(layout, index + 1)))
        generated.note_all(struct_of(v3.Disk, spec), disk, ("storage", "disks", index), source)
        disks.append(disk)
        if layout != "ppc64le":
            esp = f"esp-{index + 1}"
            filesystem = _formatted(f"/dev/disk/by-partlabel/{esp}", "vfat", esp)
            filesystems.append((filesystem, source))
    if mirrored:
        generated.note(("storage", "disks"), (*mirror, "devices"))
        boot = _raid("boot", len(disks), ("--metadata=1.0",))  # its superblock at the end: firmware reads it as a disk
        raid = [boot, _raid("root", len(disks))]
        generated.note(("storage", "raid"), mirror)
        for index, array in enumerate(raid):
            generated.note_all(struct_of(v3.Raid, spec), array, ("storage", "raid", index), mirror)
        filesystems.append((_formatted("/dev/md/md-boot", "ext4", "boot"), mirror))
    root = "/dev/mapper/root" if encrypted else "/dev/md/md-root"
    filesystems.append((_formatted(root, "xfs", "root"), ("boot_device",)))
    for index, (filesystem, source) in enumerate(filesystems):
        where = ("storage", "filesystems", index)
        generated.note_all(struct_of(v3.Filesystem, spec), filesystem, where, source)
    generated.note(("storage", "filesystems"), ("boot_device",))
    generated.note(("storage",), ("boot_device",))
    luks = [_root_luks(device.luks, mirrored, generated)] if encrypted else []
    parent = v3.Storage(
        disks=tuple(disks), filesystems=tuple(item for item, _ in filesystems), luks=tuple(luks), raid=tuple(raid)
    )
    return _over(v3.Config(storage=parent), generated, config, spec, origins)


def _mirror_partitions(layout: str, number: int) -> Iterator[v3.Partition]:
    label, size, type_guid = _FIRST_PARTITION[layout]
    yield v3.Partition(label=f"{label}-{number}", size_mib=size, type_guid=type_guid)
    if layout == "ppc64le":
        yield v3.Partition(label=f"reserved-{number}", size_mib=1, type_guid=_RESERVED)
    else:
        yield v3.Partition(label=f"esp-{number}", size_mib=127, type_guid=_ESP)
    yield v3.Partition(label=f"boot-{number}", size_mib=384)
    yield v3.Partition(label=f"root-{number}")


def _formatted(device: str, format_: str, label: str) -> v3.Filesystem:
    return v3.Filesystem(device=device, format=format_, label=label, wipe_filesystem=True)


def _raid(name: str, count: int, options: tuple[str, ...] = ()) -> v3.Raid:
    devices = tuple(f"/dev/disk/by-partlabel/{name}-{number}" for number in range(1, count + 1))
    return v3.Raid(devices=devices, level="raid1", name=f"md-{name}", options=options)


def _root_luks(luks: schema.BootDeviceLuks, mirrored: bool, generated: Origins) -> v3.Luks:
    source: Path = ("boot_device", "luks")
    where: Path = ("storage", "luks", 0)
    for name in ("device", "label", "name", "wipe_volume"):
        generated.note((*where, name), source)
    generated.note(("storage", "luks"), source)
    generated.note(where, source)
    generated.note((*where, "discard"), (*source, "discard"))
    generated.note((*where, "clevis"), source)
    for name in ("tang", "threshold", "tpm2"):
        generated.note((*where, "clevis", name), (*source, name))
    for index in range(len(luks.tang)):
        for tail in ((), ("url",), ("thumbprint",), ("advertisement",)):
            generated.note((*where, "clevis", "tang", index, *tail), (*source, "tang", index, *tail))
    return v3.Luks(
        clevis=v3.Clevis(tang=luks.tang, threshold=luks.threshold, tpm2=luks.tpm2),
        device="/dev/md/md-root" if mirrored else "/dev/disk/by-partlabel/root",
        discard=luks.discard,
        label="luks-root",
        name="root",
        wipe_volume=True,
    )


def _check_system_partitions(config: v3.Config, with_root: bool, origins: Origins, findings: Findings) -> None:
    """Warnings about partitions that have a label of the system's own."""
    for index, disk in enumerate(config.storage.disks):
        for number, partition in enumerate(disk.partitions):
            path: Path = ("storage", "disks", index, "partitions", number)
            if with_root and partition.label == "root":
                _check_root(disk.partitions, number, path, origins, findings)
            expected = _NUMBERS.get(partition.label or "")
            if expected is not None and not disk.wipe_table and partition.number != expected:
                message = f"a partition {partition.label!r} of the system has the number {expected}: a new one is made"
                findings.warning(origins((*path, "label")), message)


def _check_root(
    partitions: Sequence[v3.Partition], number: int, path: Path, origins: Origins, findings: Findings
) -> None:
    size = partitions[number].size_mib
    if size:
        if size < _ROOT_MIB:
            findings.warning((*path, "size_mib"), f"root has {size} MiB; it needs {_ROOT_MIB}")
    elif any(not other.start_mib for index, other in enumerate(partitions) if index != number):
        message = "root can't grow: a partition without a start comes after it"
        findings.warning(origins((*path, "label")), message)


def _add_grub_users(
    users: Sequence[schema.GrubUser], config: v3.Config, spec: int, origins: Origins
) -> tuple[v3.Config, Origins]:
    names = " ".join(user.name for user in users)
    lines = [f"password_pbkdf2 {user.name} {user.password_hash}" for user in users]
    text = "\n".join(["# Generated by Butane", "", f'set superusers="{names}"', *lines, ""])
    source, compression = contents.encode(text.encode("utf-8", "surrogateescape"), None)
    storage = v3.Storage(
        filesystems=(v3.Filesystem(device="/dev/disk/by-label/boot", format="ext4", path="/boot"),),
        files=(v3.File(path="/boot/grub2/user.cfg", append=(v3.Resource(source=source, compression=compression),)),),
    )
    generated = Origins()
    generated.note_all(struct_of(v3.Storage, spec), storage, ("storage",), ("grub", "users"))
    return _over(v3.Config(storage=storage), generated, config, spec, origins)

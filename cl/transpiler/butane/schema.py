"""What a Butane config may say: the structs of `variant: flatcar` 1.0.0, 1.1.0 and 1.2.0-experimental, and of
`variant: fcos` 1.0.0 to 1.5.0. They are public: a config may be written in Python with them.

    Butane(
        variant="flatcar",
        version="1.1.0",
        storage=Storage(files=[File(path="/etc/motd", mode=0o644, contents=Resource(inline="hello"))]),
        systemd=Systemd(units=[Unit(name="web.service", enabled=True, contents=UNIT)]),
    )

Most structs are Ignition's own (`cl.transpiler.ignition.v3`); the classes in here add what Butane turns into
something else ("sugar"). Keys that a version lacks are unused there, with a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3 import REFERENCE, since
from cl.transpiler.structs import struct


@struct
class Resource(v3.Resource):
    """Contents: at most one of `source` (a URL), `inline` (text) and `local` (a file below the files dir)."""

    inline: str | None = None
    local: str | None = field(default=None, metadata=since(1))


@struct
class ConfigSection(v3.ConfigSection):
    """Configs that are fetched: `merge` goes beneath this one, `replace` takes its place."""

    merge: Sequence[Resource] = field(default=(), metadata=REFERENCE)
    replace: Resource = field(default=Resource(), metadata=REFERENCE)


@struct
class TLS(v3.TLS):
    """Certificates (PEM) that are trusted while fetching."""

    certificate_authorities: Sequence[Resource] = field(default=(), metadata=REFERENCE)


@struct
class Security(v3.Security):
    """Trust in the servers that resources come from."""

    tls: TLS = TLS()


@struct
class Ignition(v3.Ignition):
    """How Ignition itself behaves."""

    config: ConfigSection = ConfigSection()
    security: Security = Security()


@struct
class PasswdUser(v3.PasswdUser):
    """A user. `ssh_authorized_keys_local` names files below the files dir with one key per line."""

    ssh_authorized_keys_local: Sequence[str] = field(default=(), metadata=since(4))


@struct
class Passwd(v3.Passwd):
    """Users and groups."""

    users: Sequence[PasswdUser] = ()


@struct
class File(v3.File):
    """`append` goes after `contents`, or after what is there. `mode` is a number, 0o644 in Python."""

    append: Sequence[Resource] = ()
    contents: Resource = Resource()


@struct
class Filesystem(v3.Filesystem):
    """A file system; `with_mount_unit` also generates the systemd unit that mounts it (or turns swap on)."""

    with_mount_unit: bool | None = field(default=None, metadata=since(1))


@struct
class Luks(v3.Luks):
    """An encrypted volume, opened as /dev/mapper/`name`."""

    key_file: Resource = Resource()


@struct
class Tree:
    """All files and links of the directory `local` (below the files dir), written below `path`."""

    group: v3.NodeGroup = field(default=v3.NodeGroup(), metadata=since(7))
    local: str = ""
    path: str | None = None
    user: v3.NodeUser = field(default=v3.NodeUser(), metadata=since(7))
    file_mode: int | None = field(default=None, metadata=since(7))
    dir_mode: int | None = field(default=None, metadata=since(7))


@struct
class Storage(v3.Storage):
    """Disks, what is on them, and what is written."""

    files: Sequence[File] = ()
    filesystems: Sequence[Filesystem] = ()
    luks: Sequence[Luks] = field(default=(), metadata=since(2))
    trees: Sequence[Tree] = field(default=(), metadata=since(1))


@struct
class Dropin(v3.Dropin):
    """A file `name` (*.conf) in the unit's drop-in directory; its text, or a file below the files dir."""

    contents_local: str | None = field(default=None, metadata=since(4))


@struct
class Unit(v3.Unit):
    """A systemd unit; its text, or a file below the files dir."""

    contents_local: str | None = field(default=None, metadata=since(4))
    dropins: Sequence[Dropin] = ()


@struct
class Quadlet:
    """A container, volume, network, … that podman turns into a unit; `rootful` means the system's own podman."""

    contents: str | None = None
    contents_local: str | None = None
    name: str = ""
    rootful: bool = False
    dropins: Sequence[Dropin] = ()


@struct
class Systemd(v3.Systemd):
    """systemd's units."""

    units: Sequence[Unit] = ()
    quadlets: Sequence[Quadlet] = field(default=(), metadata=since(7))


@struct
class BootDeviceLuks:
    """Encryption of the root file system (fcos)."""

    discard: bool | None = field(default=None, metadata=since(4))
    tang: Sequence[v3.Tang] = ()
    threshold: int | None = None
    tpm2: bool | None = None


@struct
class BootDeviceMirror:
    """Two disks or more that hold the system together (fcos)."""

    devices: Sequence[str] = ()


@struct
class BootDevice:
    """The disk that the system boots from (fcos). `layout`: aarch64, ppc64le or x86_64."""

    layout: str | None = None
    luks: BootDeviceLuks = BootDeviceLuks()
    mirror: BootDeviceMirror = BootDeviceMirror()


@struct
class GrubUser:
    """Who may change boot entries (fcos); the hash is of grub-mkpasswd-pbkdf2."""

    name: str = ""
    password_hash: str | None = None


@struct
class Grub:
    """The boot loader (fcos)."""

    users: Sequence[GrubUser] = ()


@struct
class Butane:
    """A whole Butane config. `boot_device` (1.3.0 and later) and `grub` (1.5.0) are for the variant fcos only."""

    version: str = "1.1.0"
    variant: str = "flatcar"
    ignition: Ignition = Ignition()
    kernel_arguments: v3.KernelArguments = field(default=v3.KernelArguments(), metadata=since(3))
    passwd: Passwd = Passwd()
    storage: Storage = Storage()
    systemd: Systemd = Systemd()
    boot_device: BootDevice = BootDevice()
    grub: Grub = Grub()

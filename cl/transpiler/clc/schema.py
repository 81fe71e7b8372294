"""The sections of a Container Linux Config as typed structs; attributes are the YAML keys, in `ct`'s order.

The order of the fields is the order in which `ct` v0.9.4 checks them. What a config says as Ignition says it
(units, filesystems, arrays, users) are Ignition's own structs, which are carried over as they are: `ct` checks nothing
in them, so their order is that of the JSON. `etcd` and `flannel` know their options by version: see `clusters`.
"""

from __future__ import annotations

from cl.transpiler.clc.clusters import Etcd, Flannel
from cl.transpiler.ignition import v2
from cl.transpiler.schema import UInt
from cl.transpiler.structs import struct


@struct
class Hash:
    """A hash function (`sha512`) and its sum in hex."""

    function: str = ""
    sum: str = ""


@struct
class Verification:
    """What fetched bytes must be."""

    hash: Hash = Hash()


@struct
class Reference:
    """Where another config or a certificate bundle is."""

    source: str = ""
    verification: Verification = Verification()


@struct
class IgnitionConfig:
    """Configs to append to this one, or to use instead."""

    append: tuple[Reference, ...] = ()
    replace: Reference | None = None


@struct
class Tls:
    """Certificate bundles for HTTPS."""

    certificate_authorities: tuple[Reference, ...] = ()


@struct
class Security:
    """The `security` section."""

    tls: Tls = Tls()


@struct
class Ignition:
    """The `ignition` section."""

    config: IgnitionConfig = IgnitionConfig()
    timeouts: v2.Timeouts = v2.Timeouts()
    security: Security = Security()


@struct
class Partition:
    """`size` and `start` are texts with a unit, like `512MiB`; "" means as much, or as early, as possible."""

    label: str | None = None
    number: int = 0
    size: str = ""
    start: str = ""
    guid: str = ""
    type_guid: str = ""


@struct
class Disk:
    """A disk and its partition table."""

    device: str = ""
    wipe_table: bool = False
    partitions: tuple[Partition, ...] = ()


@struct
class Remote:
    """Where contents are fetched from."""

    url: str = ""
    compression: str = ""
    verification: Verification = Verification()


@struct
class FileContents:
    """One of inline text, a local file, a URL."""

    remote: Remote = Remote()
    inline: str = ""
    local: str = ""


@struct
class Node:
    """What files, directories and links have in common; `filesystem` "" is root."""

    filesystem: str = ""
    path: str = ""
    user: v2.Owner | None = None
    group: v2.Owner | None = None


@struct
class File(Node):
    """A file; permissions in octal, 0644 when not given."""

    mode: int | None = None
    contents: FileContents = FileContents()
    overwrite: bool | None = None
    append: bool = False


@struct
class Directory(Node):
    """A directory; permissions in octal, 0755 when not given."""

    mode: int | None = None
    overwrite: bool | None = None


@struct
class Link(Node):
    """A symbolic link, or a hard one."""

    hard: bool = False
    target: str = ""
    overwrite: bool | None = None


@struct
class Storage:
    """The `storage` section."""

    disks: tuple[Disk, ...] = ()
    raid: tuple[v2.Raid, ...] = ()
    filesystems: tuple[v2.Filesystem, ...] = ()
    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = ()
    links: tuple[Link, ...] = ()


@struct
class UserCreate(v2.UserCreate):
    """As in Ignition, but its number may not be negative."""

    uid: UInt | None = None


@struct
class User(v2.User):
    """A user and how to log in as it."""

    create: UserCreate | None = None


@struct
class Group(v2.Group):
    """As in Ignition, but its number may not be negative."""

    gid: UInt | None = None


@struct
class Passwd:
    """The `passwd` section."""

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


@struct
class Update:
    """The `update` section: where updates come from."""

    group: str = ""
    server: str = ""
    pcr_policy_server: str = ""
    download_user: str = ""
    download_password: str = ""
    machine_alias: str = ""


@struct
class Docker:
    """The `docker` section."""

    flags: tuple[str, ...] = ()


@struct
class Locksmith:
    """The `locksmith` section: when and how the machine reboots for updates."""

    reboot_strategy: str | None = None
    window_start: str | None = None
    window_length: str | None = None
    group: str | None = None
    etcd_endpoints: str | None = None
    etcd_cafile: str | None = None
    etcd_certfile: str | None = None
    etcd_keyfile: str | None = None


@struct
class Config:
    """The whole config. `version` is undocumented in `ct` and may only be 0."""

    version: int = 0
    ignition: Ignition = Ignition()
    storage: Storage = Storage()
    systemd: v2.Systemd = v2.Systemd()
    networkd: v2.Networkd = v2.Networkd()
    passwd: Passwd = Passwd()
    etcd: Etcd | None = None
    flannel: Flannel | None = None
    update: Update | None = None
    docker: Docker | None = None
    locksmith: Locksmith | None = None

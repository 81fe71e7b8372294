"""The sections of a Container Linux Config as typed nouns; attributes are the YAML keys, in `ct`'s order.

The order of the fields is the order in which `ct` v0.9.4 checks them. `etcd` and `flannel` know their options
by version: see `clusters`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cl.transpiler.clc.clusters import Etcd, Flannel
from cl.transpiler.schema import UInt


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """A hash function (`sha512`) and its sum in hex."""

    function: str = ""
    sum: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What fetched bytes must be."""

    hash: Hash = Hash()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where another config or a certificate bundle is."""

    source: str = ""
    verification: Verification = Verification()


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnitionConfig:
    """Configs to append to this one, or to use instead."""

    append: tuple[Reference, ...] = ()
    replace: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds."""

    http_response_headers: int | None = None
    http_total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificate bundles for HTTPS."""

    certificate_authorities: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The `security` section."""

    tls: Tls = Tls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignition:
    """The `ignition` section."""

    config: IgnitionConfig = IgnitionConfig()
    timeouts: Timeouts = Timeouts()
    security: Security = Security()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """`size` and `start` are texts with a unit, like `512MiB`; "" means as much, or as early, as possible."""

    label: str | None = None
    number: int = 0
    size: str = ""
    start: str = ""
    guid: str = ""
    type_guid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk and its partition table."""

    device: str = ""
    wipe_table: bool = False
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Raid:
    """A software RAID array."""

    name: str = ""
    level: str = ""
    devices: tuple[str, ...] = ()
    spares: int = 0
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Deprecated way to say how a filesystem is made."""

    force: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What a filesystem is made on, and how."""

    device: str = ""
    format: str = ""
    create: Create | None = None
    wipe_filesystem: bool = False
    label: str | None = None
    uuid: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """A filesystem, either made (`mount`) or already there (`path`)."""

    name: str = ""
    mount: Mount | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A user or a group, by number or by name."""

    id: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where contents are fetched from."""

    url: str = ""
    compression: str = ""
    verification: Verification = Verification()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContents:
    """One of inline text, a local file, a URL."""

    remote: Remote = Remote()
    inline: str = ""
    local: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file; permissions in octal, 0644 when not given."""

    filesystem: str = ""
    path: str = ""
    user: Owner | None = None
    group: Owner | None = None
    mode: int | None = None
    contents: FileContents = FileContents()
    overwrite: bool | None = None
    append: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory; permissions in octal, 0755 when not given."""

    filesystem: str = ""
    path: str = ""
    user: Owner | None = None
    group: Owner | None = None
    mode: int | None = None
    overwrite: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link, or a hard one."""

    filesystem: str = ""
    path: str = ""
    user: Owner | None = None
    group: Owner | None = None
    hard: bool = False
    target: str = ""
    overwrite: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The `storage` section."""

    disks: tuple[Disk, ...] = ()
    raid: tuple[Raid, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = ()
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropin:
    """Settings put over a unit."""

    name: str = ""
    contents: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit."""

    name: str = ""
    enable: bool = False
    enabled: bool | None = None
    mask: bool = False
    contents: str = ""
    dropins: tuple[Dropin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """The `systemd` section."""

    units: tuple[Unit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkdUnit:
    """A unit of systemd-networkd."""

    name: str = ""
    contents: str = ""
    dropins: tuple[Dropin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Networkd:
    """The `networkd` section."""

    units: tuple[NetworkdUnit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreate:
    """Deprecated way to say how a user is made."""

    uid: UInt | None = None
    gecos: str = ""
    home_dir: str = ""
    no_create_home: bool = False
    primary_group: str = ""
    groups: tuple[str, ...] = ()
    no_user_group: bool = False
    system: bool = False
    no_log_init: bool = False
    shell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user and how to log in as it."""

    name: str = ""
    password_hash: str | None = None
    ssh_authorized_keys: tuple[str, ...] = ()
    create: UserCreate | None = None
    uid: int | None = None
    gecos: str = ""
    home_dir: str = ""
    no_create_home: bool = False
    primary_group: str = ""
    groups: tuple[str, ...] = ()
    no_user_group: bool = False
    system: bool = False
    no_log_init: bool = False
    shell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of users."""

    name: str = ""
    gid: UInt | None = None
    password_hash: str = ""
    system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwd:
    """The `passwd` section."""

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The `update` section: where updates come from."""

    group: str = ""
    server: str = ""
    pcr_policy_server: str = ""
    download_user: str = ""
    download_password: str = ""
    machine_alias: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """The `docker` section."""

    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole config. `version` is undocumented in `ct` and may only be 0."""

    version: int = 0
    ignition: Ignition = Ignition()
    storage: Storage = Storage()
    systemd: Systemd = Systemd()
    networkd: Networkd = Networkd()
    passwd: Passwd = Passwd()
    etcd: Etcd | None = None
    flannel: Flannel | None = None
    update: Update | None = None
    docker: Docker | None = None
    locksmith: Locksmith | None = None

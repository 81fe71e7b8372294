"""The sections of a Container Linux Config as typed nouns; attributes are the YAML keys, in `ct`'s order.

The order of the fields is the order in which `ct` v0.9.4 checks them. `etcd` and `flannel` know their options
by version: see `clusters`.
"""

from __future__ import annotations

from cl.transpiler.clc.clusters import Etcd, Flannel
from cl.transpiler.noun import noun
from cl.transpiler.schema import UInt


@noun
class Hash:
    """A hash function (`sha512`) and its sum in hex."""

    function: str = ""
    sum: str = ""


@noun
class Verification:
    """What fetched bytes must be."""

    hash: Hash = Hash()


@noun
class Reference:
    """Where another config or a certificate bundle is."""

    source: str = ""
    verification: Verification = Verification()


@noun
class IgnitionConfig:
    """Configs to append to this one, or to use instead."""

    append: tuple[Reference, ...] = ()
    replace: Reference | None = None


@noun
class Timeouts:
    """Seconds."""

    http_response_headers: int | None = None
    http_total: int | None = None


@noun
class Tls:
    """Certificate bundles for HTTPS."""

    certificate_authorities: tuple[Reference, ...] = ()


@noun
class Security:
    """The `security` section."""

    tls: Tls = Tls()


@noun
class Ignition:
    """The `ignition` section."""

    config: IgnitionConfig = IgnitionConfig()
    timeouts: Timeouts = Timeouts()
    security: Security = Security()


@noun
class Partition:
    """`size` and `start` are texts with a unit, like `512MiB`; "" means as much, or as early, as possible."""

    label: str | None = None
    number: int = 0
    size: str = ""
    start: str = ""
    guid: str = ""
    type_guid: str = ""


@noun
class Disk:
    """A disk and its partition table."""

    device: str = ""
    wipe_table: bool = False
    partitions: tuple[Partition, ...] = ()


@noun
class Raid:
    """A software RAID array."""

    name: str = ""
    level: str = ""
    devices: tuple[str, ...] = ()
    spares: int = 0
    options: tuple[str, ...] = ()


@noun
class Create:
    """Deprecated way to say how a filesystem is made."""

    force: bool = False
    options: tuple[str, ...] = ()


@noun
class Mount:
    """What a filesystem is made on, and how."""

    device: str = ""
    format: str = ""
    create: Create | None = None
    wipe_filesystem: bool = False
    label: str | None = None
    uuid: str | None = None
    options: tuple[str, ...] = ()


@noun
class Filesystem:
    """A filesystem, either made (`mount`) or already there (`path`)."""

    name: str = ""
    mount: Mount | None = None
    path: str | None = None


@noun
class Owner:
    """A user or a group, by number or by name."""

    id: int | None = None
    name: str = ""


@noun
class Remote:
    """Where contents are fetched from."""

    url: str = ""
    compression: str = ""
    verification: Verification = Verification()


@noun
class FileContents:
    """One of inline text, a local file, a URL."""

    remote: Remote = Remote()
    inline: str = ""
    local: str = ""


@noun
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


@noun
class Directory:
    """A directory; permissions in octal, 0755 when not given."""

    filesystem: str = ""
    path: str = ""
    user: Owner | None = None
    group: Owner | None = None
    mode: int | None = None
    overwrite: bool | None = None


@noun
class Link:
    """A symbolic link, or a hard one."""

    filesystem: str = ""
    path: str = ""
    user: Owner | None = None
    group: Owner | None = None
    hard: bool = False
    target: str = ""
    overwrite: bool | None = None


@noun
class Storage:
    """The `storage` section."""

    disks: tuple[Disk, ...] = ()
    raid: tuple[Raid, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = ()
    links: tuple[Link, ...] = ()


@noun
class Dropin:
    """Settings put over a unit."""

    name: str = ""
    contents: str = ""


@noun
class Unit:
    """A systemd unit."""

    name: str = ""
    enable: bool = False
    enabled: bool | None = None
    mask: bool = False
    contents: str = ""
    dropins: tuple[Dropin, ...] = ()


@noun
class Systemd:
    """The `systemd` section."""

    units: tuple[Unit, ...] = ()


@noun
class NetworkdUnit:
    """A unit of systemd-networkd."""

    name: str = ""
    contents: str = ""
    dropins: tuple[Dropin, ...] = ()


@noun
class Networkd:
    """The `networkd` section."""

    units: tuple[NetworkdUnit, ...] = ()


@noun
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


@noun
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


@noun
class Group:
    """A group of users."""

    name: str = ""
    gid: UInt | None = None
    password_hash: str = ""
    system: bool = False


@noun
class Passwd:
    """The `passwd` section."""

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


@noun
class Update:
    """The `update` section: where updates come from."""

    group: str = ""
    server: str = ""
    pcr_policy_server: str = ""
    download_user: str = ""
    download_password: str = ""
    machine_alias: str = ""


@noun
class Docker:
    """The `docker` section."""

    flags: tuple[str, ...] = ()


@noun
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


@noun
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

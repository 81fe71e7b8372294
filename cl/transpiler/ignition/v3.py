"""The structs of Ignition spec 3.0 to 3.6 and 3.7-experimental.

Each class is an object of an Ignition config. Attributes stand in the order of the JSON output and are
written in snake_case, which is also Butane's spelling; `names.json_key` gives the camelCase. None means that the
key is not there; `""`, 0 and False given explicitly are kept, in JSON too. Paths are absolute and clean.

Metadata of a field: `since` is the first 3.x that has the key (`since(4)`: 3.4.0), `required` prints the key
even when it is empty, `required_until` does so up to that 3.x (there a config's value replaces its parent's even
when it is empty), `pointer_until` says that up to that 3.x an empty object isn't an absent one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from cl.transpiler.structs import struct

EXPERIMENTAL = 7
"""The 3.x that has no stable version yet: 3.7.0-experimental."""


def version_text(spec: int) -> str:
    """The text in `ignition.version`, for a minor version number: 4 is "3.4.0"."""
    return f"3.{spec}.0-experimental" if spec == EXPERIMENTAL else f"3.{spec}.0"


def since(spec: int, **more: Any) -> dict[str, Any]:
    """Metadata of a field that Ignition 3.`spec` brought."""
    return {"since": spec, **more}


REQUIRED = {"required": True}
EMPTY: Any = ()


@struct
class HTTPHeader:
    """A header sent when a resource is fetched. Without `value`, a header of a parent config is removed."""

    name: str = field(default="", metadata=REQUIRED)
    value: str | None = None


@struct
class Verification:
    """`hash` is `sha512-HEX` or (since 3.1) `sha256-HEX`, of the contents before decompression."""

    hash: str | None = None


@struct
class Resource:
    """Something to fetch. `source` is a URL (http, https, s3, gs, tftp, data, arn), `compression` "" or "gzip"."""

    compression: str | None = None
    http_headers: Sequence[HTTPHeader] = field(default=(), metadata=since(1))
    source: str | None = None
    verification: Verification = Verification()


REFERENCE = {"narrow": (1, frozenset(("compression", "inline", "local")))}
"""Metadata of a field that holds a config or a certificate: in 3.0 these have a source and a hash only."""


@struct
class ConfigSection:
    """Configs that are fetched: `merge` goes beneath this one, `replace` takes its place."""

    merge: Sequence[Resource] = field(default=(), metadata=REFERENCE)
    replace: Resource = field(default=Resource(), metadata=REFERENCE)


@struct
class Proxy:
    """Proxies for what Ignition itself fetches; `no_proxy` lists hosts that are reached without."""

    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: Sequence[str] = ()


@struct
class TLS:
    """Certificates (PEM) that are trusted while fetching, beside those of the system."""

    certificate_authorities: Sequence[Resource] = field(default=(), metadata=REFERENCE)


@struct
class Security:
    """Trust in the servers that resources come from."""

    tls: TLS = TLS()


@struct
class Timeouts:
    """Seconds. `http_total` 0 means no limit."""

    http_response_headers: int | None = None
    http_total: int | None = None


@struct
class Ignition:
    """How Ignition itself behaves."""

    config: ConfigSection = ConfigSection()
    proxy: Proxy = field(default=Proxy(), metadata=since(1))
    security: Security = Security()
    timeouts: Timeouts = Timeouts()


@struct
class KernelArguments:
    """Kernel arguments that have to be there, or may not be there."""

    should_exist: Sequence[str] = ()
    should_not_exist: Sequence[str] = ()


@struct
class PasswdGroup:
    """A group of the system."""

    gid: int | None = None
    name: str = field(default="", metadata=REQUIRED)
    password_hash: str | None = None
    should_exist: bool | None = field(default=None, metadata=since(2))
    system: bool | None = None


@struct
class PasswdUser:
    """A user of the system. `groups` are further groups beside the primary one."""

    gecos: str | None = None
    groups: Sequence[str] = ()
    home_dir: str | None = None
    name: str = field(default="", metadata=REQUIRED)
    no_create_home: bool | None = None
    no_log_init: bool | None = None
    no_user_group: bool | None = None
    password_hash: str | None = None
    primary_group: str | None = None
    ssh_authorized_keys: Sequence[str] = ()
    shell: str | None = None
    should_exist: bool | None = field(default=None, metadata=since(2))
    system: bool | None = None
    uid: int | None = None


@struct
class Passwd:
    """Users and groups."""

    groups: Sequence[PasswdGroup] = ()
    users: Sequence[PasswdUser] = ()


@struct
class NodeUser:
    """The owner of a file, directory or link: a number or a name."""

    id: int | None = None
    name: str | None = None


@struct
class NodeGroup:
    """The group of a file, directory or link: a number or a name."""

    id: int | None = None
    name: str | None = None


@struct
class Node:
    """What files, directories and links have in common. `overwrite` removes what is at `path` before."""

    group: NodeGroup = NodeGroup()
    overwrite: bool | None = None
    path: str = field(default="", metadata=REQUIRED)
    user: NodeUser = NodeUser()


@struct
class Directory(Node):
    """`mode` is a number: write 0o755 in Python, 0755 in YAML. Ignition's default is 0755."""

    mode: int | None = None


@struct
class File(Node):
    """`append` goes after `contents`, or after what is there. `mode` as in Directory, by default 0644."""

    append: Sequence[Resource] = ()
    contents: Resource = Resource()
    mode: int | None = None


@struct
class Link(Node):
    """A symbolic link to `target`, or a hard one."""

    hard: bool | None = None
    target: str | None = field(default=None, metadata={"required_until": 2})


@struct
class Partition:
    """`number` 0 takes the next free one. Sizes in MiB; 0 means as much as there is."""

    guid: str | None = None
    label: str | None = None
    number: int = 0
    resize: bool | None = field(default=None, metadata=since(2))
    should_exist: bool | None = None
    size_mib: int | None = None
    start_mib: int | None = None
    type_guid: str | None = None
    wipe_partition_entry: bool | None = None


@struct
class Disk:
    """A disk to partition; `wipe_table` erases its partition table first, at every run."""

    device: str = field(default="", metadata=REQUIRED)
    partitions: Sequence[Partition] = ()
    wipe_table: bool | None = None


@struct
class Filesystem:
    """A file system to make (ext4, btrfs, xfs, swap, vfat, none) and, with `path`, to write files into."""

    device: str = field(default="", metadata=REQUIRED)
    format: str | None = None
    label: str | None = None
    mount_options: Sequence[str] = field(default=(), metadata=since(1))
    options: Sequence[str] = ()
    path: str | None = None
    uuid: str | None = None
    wipe_filesystem: bool | None = None


@struct
class Tang:
    """A Tang server that helps to unlock a volume."""

    advertisement: str | None = field(default=None, metadata=since(4))
    thumbprint: str | None = None
    url: str = ""


@struct
class ClevisCustom:
    """A Clevis pin with its JSON config."""

    config: str | None = field(default=None, metadata={"required_until": 2})
    needs_network: bool | None = None
    pin: str | None = field(default=None, metadata={"required_until": 2})


@struct
class Clevis:
    """How a volume unlocks itself: `threshold` of the given ways have to work."""

    custom: ClevisCustom | None = field(default=None, metadata={"pointer_until": 2})
    tang: Sequence[Tang] = ()
    threshold: int | None = None
    tpm2: bool | None = None


@struct
class Cex:
    """Encryption by an IBM Z crypto card."""

    enabled: bool | None = None


@struct
class Luks:
    """An encrypted volume, opened as /dev/mapper/`name`."""

    cex: Cex = field(default=Cex(), metadata=since(5))
    clevis: Clevis | None = field(default=None, metadata={"pointer_until": 2})
    device: str | None = None
    discard: bool | None = field(default=None, metadata=since(4))
    key_file: Resource = Resource()
    label: str | None = None
    name: str = field(default="", metadata=REQUIRED)
    open_options: Sequence[str] = field(default=(), metadata=since(4))
    options: Sequence[str] = ()
    uuid: str | None = None
    wipe_volume: bool | None = None


@struct
class Raid:
    """A software RAID, /dev/md/`name`."""

    devices: Sequence[str] = ()
    level: str | None = field(default=None, metadata={"required_until": 2})
    name: str = field(default="", metadata=REQUIRED)
    options: Sequence[str] = ()
    spares: int | None = None


@struct
class Storage:
    """Disks, what is on them, and what is written."""

    directories: Sequence[Directory] = ()
    disks: Sequence[Disk] = ()
    files: Sequence[File] = ()
    filesystems: Sequence[Filesystem] = ()
    links: Sequence[Link] = ()
    luks: Sequence[Luks] = field(default=(), metadata=since(2))
    raid: Sequence[Raid] = ()


@struct
class Dropin:
    """A file `name` (*.conf) in the unit's drop-in directory."""

    contents: str | None = None
    name: str = field(default="", metadata=REQUIRED)


@struct
class Unit:
    """A systemd unit. `enabled` needs an [Install] section in `contents` to have an effect."""

    contents: str | None = None
    dropins: Sequence[Dropin] = ()
    enabled: bool | None = None
    mask: bool | None = None
    name: str = field(default="", metadata=REQUIRED)


@struct
class Systemd:
    """systemd's units."""

    units: Sequence[Unit] = ()


@struct
class Config:
    """A whole Ignition config, without its version."""

    ignition: Ignition = field(default=Ignition(), metadata=REQUIRED)
    kernel_arguments: KernelArguments = field(default=KernelArguments(), metadata=since(3))
    passwd: Passwd = Passwd()
    storage: Storage = Storage()
    systemd: Systemd = Systemd()

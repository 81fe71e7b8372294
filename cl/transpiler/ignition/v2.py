"""The structs of Ignition's spec 2 (2.0.0 to 2.4.0), in the order in which Ignition prints them.

Attributes are the JSON keys in snake case. What a field's default is says when it is left out of the JSON: a
pointer in Ignition's own schema (`| None` here) when it is None, any other field when it is empty, unless it
is marked `always`. Source: flatcar/ignition v0.36.2, config/v2_3/types/schema.go and its neighbours.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from cl.transpiler.gojson import Json
from cl.transpiler.ignition.names import json_key
from cl.transpiler.structs import struct


def _field(default: Any, *, always: bool = False, since: int = 0) -> Any:
    """A field that is printed even when it is empty, or that came with 2.`since`."""
    return dataclasses.field(default=default, metadata={"since": since} | ({"always": True} if always else {}))


@struct
class Verification:
    """What fetched bytes must be: `sha512-HEX`."""

    hash: str | None = None


@struct
class HttpHeader:
    """A header sent when something is fetched (2.4.0)."""

    name: str = _field("", always=True)
    value: str = _field("", always=True)


@struct
class Reference:
    """Where another config or a certificate bundle is."""

    http_headers: tuple[HttpHeader, ...] = _field((), since=4)
    source: str = _field("", always=True)
    verification: Verification = Verification()


@struct
class IgnitionConfig:
    """Configs to append to this one, or to use instead."""

    append: tuple[Reference, ...] = ()
    replace: Reference | None = None


@struct
class Proxy:
    """Proxies for fetching (2.4.0)."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: tuple[str, ...] = ()


@struct
class Tls:
    """Certificate bundles for HTTPS."""

    certificate_authorities: tuple[Reference, ...] = ()


@struct
class Security:
    """What to trust."""

    tls: Tls = Tls()


@struct
class Timeouts:
    """Seconds."""

    http_response_headers: int | None = None
    http_total: int | None = None


@struct
class Ignition:
    """The `ignition` section."""

    config: IgnitionConfig = IgnitionConfig()
    proxy: Proxy | None = dataclasses.field(default=None, metadata={"since": 4})
    security: Security = dataclasses.field(default=Security(), metadata={"since": 2})
    timeouts: Timeouts = dataclasses.field(default=Timeouts(), metadata={"since": 1})
    version: str = ""


@struct
class Dropin:
    """Settings put over a unit."""

    contents: str = ""
    name: str = _field("", always=True)


@struct
class NetworkdUnit:
    """A unit of systemd-networkd."""

    contents: str = ""
    dropins: tuple[Dropin, ...] = _field((), since=2)
    name: str = _field("", always=True)


@struct
class Networkd:
    """The `networkd` section."""

    units: tuple[NetworkdUnit, ...] = ()


@struct
class Group:
    """A group of users."""

    gid: int | None = None
    name: str = _field("", always=True)
    password_hash: str = ""
    system: bool = False


@struct
class UserCreate:
    """Deprecated way to say how a user is made."""

    gecos: str = ""
    groups: tuple[str, ...] = ()
    home_dir: str = ""
    no_create_home: bool = False
    no_log_init: bool = False
    no_user_group: bool = False
    primary_group: str = ""
    shell: str = ""
    system: bool = False
    uid: int | None = None


@struct
class User:
    """A user and how to log in as it."""

    create: UserCreate | None = None
    gecos: str = _field("", since=1)
    groups: tuple[str, ...] = _field((), since=1)
    home_dir: str = _field("", since=1)
    name: str = _field("", always=True)
    no_create_home: bool = _field(False, since=1)
    no_log_init: bool = _field(False, since=1)
    no_user_group: bool = _field(False, since=1)
    password_hash: str | None = None
    primary_group: str = _field("", since=1)
    ssh_authorized_keys: tuple[str, ...] = ()
    shell: str = _field("", since=1)
    system: bool = _field(False, since=1)
    uid: int | None = _field(None, since=1)


@struct
class Passwd:
    """The `passwd` section."""

    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()


@struct
class Owner:
    """A user or a group, by number or by name."""

    id: int | None = None
    name: str = _field("", since=1)


@struct
class Node:
    """What files, directories and links have in common."""

    filesystem: str = _field("", always=True)
    group: Owner | None = None
    overwrite: bool | None = _field(None, since=2)
    path: str = _field("", always=True)
    user: Owner | None = None


@struct
class Directory(Node):
    """A directory."""

    mode: int | None = None


@struct
class FileContents:
    """What a file holds; `source` is a URL, "" an empty file."""

    compression: str = ""
    http_headers: tuple[HttpHeader, ...] = _field((), since=4)
    source: str = ""
    verification: Verification = Verification()


@struct
class File(Node):
    """A file."""

    append: bool = _field(False, since=2)
    contents: FileContents = FileContents()
    mode: int | None = None


@struct
class Link(Node):
    """A symbolic link, or a hard one."""

    hard: bool = False
    target: str = _field("", always=True)


@struct
class Partition:
    """`size` and `start` count sectors and are deprecated; the MiB pair replaces them from 2.3.0 on."""

    guid: str = _field("", since=1)
    label: str | None = None
    number: int = 0
    should_exist: bool | None = _field(None, since=3)
    size: int | None = None
    size_mib: int | None = _field(None, since=3)
    start: int | None = None
    start_mib: int | None = _field(None, since=3)
    type_guid: str = ""
    wipe_partition_entry: bool = _field(False, since=3)


@struct
class Disk:
    """A disk and its partition table."""

    device: str = _field("", always=True)
    partitions: tuple[Partition, ...] = ()
    wipe_table: bool = False


@struct
class Create:
    """Deprecated way to say how a filesystem is made."""

    force: bool = False
    options: tuple[str, ...] = ()


@struct
class Mount:
    """What a filesystem is made on, and how."""

    create: Create | None = None
    device: str = _field("", always=True)
    format: str = _field("", always=True)
    label: str | None = _field(None, since=1)
    options: tuple[str, ...] = _field((), since=1)
    uuid: str | None = _field(None, since=1)
    wipe_filesystem: bool = _field(False, since=1)


@struct
class Filesystem:
    """A filesystem, either made (`mount`) or already there (`path`)."""

    mount: Mount | None = None
    name: str = ""
    path: str | None = None


@struct
class Raid:
    """A software RAID array; its devices are printed as null when there are none."""

    devices: tuple[str, ...] = _field((), always=True)
    level: str = _field("", always=True)
    name: str = _field("", always=True)
    options: tuple[str, ...] = _field((), since=2)
    spares: int = 0


@struct
class Storage:
    """The `storage` section."""

    directories: tuple[Directory, ...] = _field((), since=1)
    disks: tuple[Disk, ...] = ()
    files: tuple[File, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    links: tuple[Link, ...] = _field((), since=1)
    raid: tuple[Raid, ...] = ()


@struct
class Unit:
    """A systemd unit."""

    contents: str = ""
    dropins: tuple[Dropin, ...] = ()
    enable: bool = False
    enabled: bool | None = _field(None, since=1)
    mask: bool = False
    name: str = _field("", always=True)


@struct
class Systemd:
    """The `systemd` section."""

    units: tuple[Unit, ...] = ()


@struct
class Config:
    """A whole config."""

    ignition: Ignition = Ignition()
    networkd: Networkd = Networkd()
    passwd: Passwd = Passwd()
    storage: Storage = Storage()
    systemd: Systemd = Systemd()


@cache
def _printed(cls: type[Any]) -> tuple[tuple[str, str, bool], ...]:
    """(attribute, JSON key, whether it is printed even when empty) of each field."""
    return tuple(
        (field.name, json_key(field.name), field.default is None or "always" in field.metadata)
        for field in dataclasses.fields(cls)
    )


def to_json(struct: object) -> dict[str, Json]:
    """A struct as Go's encoding/json prints Ignition's struct; an empty list that is always there becomes null."""
    out: dict[str, Json] = {}
    cls: type[Any] = type(struct)
    for name, key, keep in _printed(cls):  # type: ignore[arg-type]  # mypy doubts that a class is hashable
        value = getattr(struct, name)
        if value is None:
            continue
        kind = type(value)
        if kind is str or kind is bool or kind is int:
            if value or keep:
                out[key] = value
        elif kind is not tuple:
            out[key] = to_json(value)
        elif value:
            out[key] = [item if type(item) is str else to_json(item) for item in value]
        elif keep:
            out[key] = None
    return out

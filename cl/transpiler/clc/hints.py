"""What to do about a key that `ct` doesn't know: where it belongs, or which key it nearly is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cl.transpiler.clc import schema
from cl.transpiler.ignition import v2
from cl.transpiler.report import did_you_mean

_SECTIONS_OF = {
    "users": "passwd.users",
    "groups": "passwd.groups",
    "units": "systemd.units",
    "files": "storage.files",
    "directories": "storage.directories",
    "links": "storage.links",
    "filesystems": "storage.filesystems",
    "disks": "storage.disks",
    "raid": "storage.raid",
    "arrays": "storage.raid",
    "ssh_authorized_keys": "passwd.users[].ssh_authorized_keys",
    "hostname": "a file /etc/hostname in storage.files",
    "write_files": "storage.files",
    "coreos": "systemd, update, etcd, … (this looks like a cloud-config)",
    "variant": "Butane, another dialect: leave the dialect out, or set it to butane",
}
_ELSEWHERE: dict[type[Any], dict[str, str]] = {
    schema.Config: {key: f"this belongs in {place}" for key, place in _SECTIONS_OF.items()},
    schema.FileContents: {
        "source": "the key for a URL is remote.url, for a text inline",
        "url": "this belongs in contents.remote.url",
        "compression": "this belongs in contents.remote.compression",
        "verification": "this belongs in contents.remote.verification",
    },
    schema.Remote: {"source": "the key for a URL is url", "http_headers": "Ignition 2.3 sends no headers of its own"},
    schema.File: {
        "inline": "this belongs in contents.inline",
        "local": "this belongs in contents.local",
        "remote": "this belongs in contents.remote",
        "source": "this belongs in contents.remote.url",
        "content": "the key is contents, with inline, local or remote below it",
        "permissions": "the key is mode",
        "owner": "the keys are user and group, with id or name below them",
        "uid": "this belongs in user.id",
        "gid": "this belongs in group.id",
    },
    schema.Directory: {"recursive": "Ignition makes missing parents itself"},
    v2.Filesystem: {
        key: f"this belongs in mount.{key}"
        for key in ("device", "format", "label", "uuid", "options", "wipe_filesystem", "create")
    },
    schema.Partition: {
        "size_mib": "the key is size, with a unit: 512MiB",
        "start_mib": "the key is start, with a unit: 1MiB",
        "wipe_partition_entry": "Butane has this key, ct has not",
        "should_exist": "Butane has this key, ct has not",
    },
    v2.Unit: {
        "content": "the key is contents",
        "drop_ins": "the key is dropins",
        "drop-ins": "the key is dropins",
        "command": "ct starts nothing by itself: the key is enabled: true",
    },
    schema.User: {"sudo": "put the user into a group: groups: [sudo]", "passwd": "the key is password_hash"},
}
_MERGE = "what is merged in counts; ct warns about the key itself"


def hint_for(where: type[Any], key: str, known: Iterable[str]) -> str | None:
    """What to do about the key `key` in the struct `where`, or None."""
    if key == "<<":
        return _MERGE
    return _ELSEWHERE.get(where, {}).get(key) or did_you_mean(key, known)

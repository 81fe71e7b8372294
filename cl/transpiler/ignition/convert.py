"""Spec 2 to spec 3.1.0, the way Flatcar does it while it boots, and what it refuses to convert.

Flatcar's Ignition knows spec 3 alone and turns 2.x configs into 3.1.0 with ign-converter; a config that it
refuses never becomes a machine, so the same is refused here, where it can be said what to do.
Source: coreos/ign-converter (2023-04-17), translate/v24tov31 and util.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from cl.transpiler.ignition import v2, v3, v3_checks, v3_config
from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Findings, Path

SPEC = 1
"""The minor version of what comes out: 3.1.0."""


def convert(config: v2.Config, findings: Findings) -> v3.Config | None:
    """`config` as spec 3.1.0, or None when it can't be said there.

    `findings` is empty at first; its paths are of spec 2, in JSON keys. What is lost or treated differently is a
    warning. `config` has passed `v2_rules`.
    """
    _refuse(config, findings)
    _warn(config, findings)
    if findings.is_fatal:
        return None
    converted = _config(config)
    return converted if _passes(converted, findings) else None


def _passes(converted: v3.Config, findings: Findings) -> bool:
    """True when Ignition accepts the spec 3 config; its warnings are left out: spec 2 has the same ones."""
    checked = Findings()
    v3_checks.validate(converted, SPEC, checked)
    v3_config.find_duplicates(converted, SPEC, checked)
    for entry, path in checked.entries():
        if entry.severity == "error":
            message = f"{entry.message} (in spec {v3.version_text(SPEC)}, which this is converted to)"
            findings.error(path_in_v2(path), message, hint=entry.hint)
    return not checked.is_fatal


# --- what is refused -----------------------------------------------------------------------------------------


def _refuse(config: v2.Config, findings: Findings) -> None:
    if config.networkd.units:
        hint = "write it as a file below /etc/systemd/network"
        findings.error(("networkd", "units"), "spec 3 has no networkd section, and Flatcar refuses it", hint=hint)
    storage = config.storage
    for index, filesystem in enumerate(storage.filesystems):
        if filesystem.name != "root":
            message = f"spec 3 has to know where filesystem {filesystem.name!r} is mounted, and spec 2 can't say it"
            hint = "write the config in Butane, with path below filesystems"
            findings.error(("storage", "filesystems", index), message, hint=hint)
    for at, disk in enumerate(storage.disks):
        for index, partition in enumerate(disk.partitions):
            if partition.size is not None or partition.start is not None:
                path: Path = ("storage", "disks", at, "partitions", index)
                findings.error(path, "spec 3 has no sectors", hint="the keys are sizeMiB and startMiB")
    ignition = config.ignition
    several: tuple[tuple[Path, Sequence[v2.Reference]], ...] = (
        (("ignition", "config", "append"), ignition.config.append),
        (("ignition", "security", "tls", "certificateAuthorities"), ignition.security.tls.certificate_authorities),
    )
    for where, references in several:
        for index in range(1, len(references)):
            # A bug of ign-converter: it keeps a pointer to its loop's variable.
            message = "Flatcar's conversion to spec 3 takes the last of several sources for all, then refuses them"
            findings.error((*where, index), message, hint="one source only, or write the config in Butane")
    _refuse_nodes(storage, findings)
    _refuse_twice([unit.name for unit in config.systemd.units], "unit", ("systemd", "units"), findings)
    for index, unit in enumerate(config.systemd.units):
        path = ("systemd", "units", index, "dropins")
        _refuse_twice([dropin.name for dropin in unit.dropins], "drop-in", path, findings)


def _nodes(storage: v2.Storage) -> tuple[tuple[str, Sequence[v2.Node]], ...]:
    return (("files", storage.files), ("directories", storage.directories), ("links", storage.links))


def _refuse_nodes(storage: v2.Storage, findings: Findings) -> None:
    links = [_full_path(link) for link in storage.links]
    seen: dict[str, str] = {}
    for name, nodes in _nodes(storage):
        for index, node in enumerate(nodes):
            full, path = _full_path(node), ("storage", name, index)
            if full in seen:
                message = f"{full} is among {seen[full]} already, and in spec 3 a path is written once"
                findings.error(path, message, hint="join the two entries, or give one of them another path")
            seen.setdefault(full, name)
            through = next((link for link in links if full != link and full.startswith(link)), None)
            if through is not None:
                message = f"{full} begins with the link {through} of this config, which spec 3 doesn't allow"
                findings.error(path, message, hint="write the path that the link leads to")


def _full_path(node: v2.Node) -> str:
    """The path that ign-converter sees: filesystems are mounted nowhere but at /."""
    return posixpath.normpath("/" + node.path.lstrip("/"))


def _refuse_twice(names: Sequence[str], what: str, path: Path, findings: Findings) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            message = f"{what} {name!r} is there twice, and in spec 3 only once"
            findings.error((*path, index), message, hint="join the two entries")


# --- what is lost --------------------------------------------------------------------------------------------


def _warn(config: v2.Config, findings: Findings) -> None:
    storage = config.storage
    for name, nodes in _nodes(storage):
        for index, node in enumerate(nodes):
            if node.filesystem != "root":
                message = f"filesystem {node.filesystem!r} is not known: {node.path} ends up on the root filesystem"
                findings.warning(("storage", name, index, "filesystem"), message, hint="Flatcar may refuse it")
    for index, filesystem in enumerate(storage.filesystems):
        if filesystem.name == "root" and filesystem.mount is not None:
            message = "the filesystem named root is left as it is: spec 3 takes it for the one that is there"
            findings.warning(("storage", "filesystems", index), message, hint="write the config in Butane")
    for index, user in enumerate(config.passwd.users):
        if user.create is not None:
            path: Path = ("passwd", "users", index, "create")
            findings.warning(path, "create is dropped in spec 3", hint="put its fields beside name")


# --- the conversion ------------------------------------------------------------------------------------------


def _config(config: v2.Config) -> v3.Config:
    ignition, storage = config.ignition, config.storage
    replace, proxy = ignition.config.replace, ignition.proxy
    authorities = ignition.security.tls.certificate_authorities
    return v3.Config(
        ignition=v3.Ignition(
            config=v3.ConfigSection(
                merge=tuple(map(_reference, ignition.config.append)),
                replace=_reference(replace) if replace is not None else v3.Resource(),
            ),
            proxy=v3.Proxy()
            if proxy is None
            else v3.Proxy(
                http_proxy=proxy.http_proxy or None, https_proxy=proxy.https_proxy or None, no_proxy=proxy.no_proxy
            ),
            security=v3.Security(tls=v3.TLS(certificate_authorities=tuple(map(_reference, authorities)))),
            timeouts=v3.Timeouts(
                http_response_headers=ignition.timeouts.http_response_headers, http_total=ignition.timeouts.http_total
            ),
        ),
        passwd=v3.Passwd(groups=tuple(map(_group, config.passwd.groups)), users=tuple(map(_user, config.passwd.users))),
        storage=v3.Storage(
            directories=tuple(map(_directory, storage.directories)),
            disks=tuple(map(_disk, storage.disks)),
            files=tuple(map(_file, storage.files)),
            links=tuple(map(_link, storage.links)),
            raid=tuple(map(_raid, storage.raid)),
        ),
        systemd=v3.Systemd(units=tuple(map(_unit, config.systemd.units))),
    )


def _headers(headers: tuple[v2.HttpHeader, ...]) -> tuple[v3.HTTPHeader, ...]:
    return tuple(v3.HTTPHeader(name=header.name, value=header.value or None) for header in headers)


def _reference(reference: v2.Reference) -> v3.Resource:
    return v3.Resource(
        http_headers=_headers(reference.http_headers),
        source=reference.source,
        verification=v3.Verification(hash=reference.verification.hash),
    )


def _group(group: v2.Group) -> v3.PasswdGroup:
    return v3.PasswdGroup(
        gid=group.gid, name=group.name, password_hash=group.password_hash or None, system=group.system or None
    )


def _user(user: v2.User) -> v3.PasswdUser:
    return v3.PasswdUser(
        gecos=user.gecos or None,
        groups=user.groups,
        home_dir=user.home_dir or None,
        name=user.name,
        no_create_home=user.no_create_home or None,
        no_log_init=user.no_log_init or None,
        no_user_group=user.no_user_group or None,
        password_hash=user.password_hash,
        primary_group=user.primary_group or None,
        ssh_authorized_keys=user.ssh_authorized_keys,
        shell=user.shell or None,
        system=user.system or None,
        uid=user.uid,
    )


def _joined(node: v2.Node) -> str:
    """Go's path.Join of the filesystem's mount point, / for root and nothing for others, and the path."""
    path = node.path if node.filesystem != "root" else f"/{node.path}"
    return posixpath.normpath(path).replace("//", "/") if path else ""


def _node(node: v2.Node) -> dict[str, Any]:
    """What files, directories and links share: owners and path."""
    user, group = node.user or v2.Owner(), node.group or v2.Owner()
    return {
        "group": v3.NodeGroup(id=group.id, name=group.name or None),
        "path": _joined(node),
        "user": v3.NodeUser(id=user.id, name=user.name or None),
    }


def _directory(directory: v2.Directory) -> v3.Directory:
    return v3.Directory(**_node(directory), overwrite=directory.overwrite, mode=directory.mode)


def _link(link: v2.Link) -> v3.Link:
    return v3.Link(**_node(link), overwrite=link.overwrite, hard=link.hard or None, target=link.target)


def _file(file: v2.File) -> v3.File:
    """Spec 2 overwrites what is there unless it is told not to; spec 3 is told to, except to append."""
    contents = v3.Resource(
        compression=file.contents.compression or None,
        http_headers=_headers(file.contents.http_headers),
        source=file.contents.source,
        verification=v3.Verification(hash=file.contents.verification.hash),
    )
    overwrite = True if file.overwrite is None else file.overwrite
    return v3.File(
        **_node(file),
        overwrite=False if file.append else overwrite,
        append=(contents,) if file.append else (),
        contents=v3.Resource() if file.append else contents,
        mode=file.mode,
    )


def _disk(disk: v2.Disk) -> v3.Disk:
    partitions = tuple(map(_partition, disk.partitions))
    return v3.Disk(device=disk.device, partitions=partitions, wipe_table=disk.wipe_table or None)


def _partition(partition: v2.Partition) -> v3.Partition:
    return v3.Partition(
        guid=partition.guid or None,
        label=partition.label,
        number=partition.number,
        should_exist=partition.should_exist,
        size_mib=partition.size_mib,
        start_mib=partition.start_mib,
        type_guid=partition.type_guid or None,
        wipe_partition_entry=partition.wipe_partition_entry or None,
    )


def _raid(raid: v2.Raid) -> v3.Raid:
    return v3.Raid(
        devices=raid.devices, level=raid.level, name=raid.name, options=raid.options, spares=raid.spares or None
    )


def _unit(unit: v2.Unit) -> v3.Unit:
    """`enabled` wins over the older `enable`; neither means that presets decide."""
    return v3.Unit(
        contents=unit.contents or None,
        dropins=tuple(v3.Dropin(contents=dropin.contents or None, name=dropin.name) for dropin in unit.dropins),
        enabled=unit.enabled if unit.enabled is not None else unit.enable or None,
        mask=unit.mask or None,
        name=unit.name,
    )


# --- where it was in spec 2 ----------------------------------------------------------------------------------


def path_in_v2(path: Path) -> Path:
    """A path in the spec 3 config, in its structs' spelling, as the path of what it was converted from."""
    out: list[str | int] = []
    for element in path:
        name = element if isinstance(element, (str, int)) else element.name
        if out[:2] == ["ignition", "config"] and name == "merge":
            name = "append"
        elif out[:2] == ["storage", "files"] and len(out) == 3 and name == "append":
            name = "contents"
        elif out[:2] == ["storage", "files"] and out[3:] == ["contents"] and name == 0:
            continue
        out.append(json_key(name) if isinstance(name, str) else name)
    return tuple(out)

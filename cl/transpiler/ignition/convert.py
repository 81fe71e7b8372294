"""Spec 2 to spec 3.1.0, the way Flatcar does it while it boots, and what it refuses to convert.

Flatcar's Ignition knows spec 3 alone and turns 2.x configs into 3.1.0 by itself; a config that it refuses never
becomes a machine, so the same is refused here, where it can be said what to do.
Source: flatcar/scripts (August 2026), sys-apps/ignition/files: the patches "config: add ignition translation",
"translation: support OEM and oem", "/usr/share/oem -> /oem" and "Partially revert: drop OEM URI support".
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cl.transpiler.gourl import UrlError, escape_path_segment, parse_url
from cl.transpiler.ignition import v2, v3, v3_checks, v3_config, values
from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Findings, Path

SPEC = 1
"""The minor version of what comes out: 3.1.0."""
_PERMISSIONS = 0o777


def convert(config: v2.Config, findings: Findings, *, oem: bool = True) -> v3.Config | None:
    """`config` as spec 3.1.0, or None when it can't be said there.

    `findings` is empty at first; its paths are of spec 2, in JSON keys. What is lost or treated differently is a
    warning. `config` has passed `v2_rules`. `oem`: sources on the OEM partition may stay, which Flatcar's Ignition
    alone reads.
    """
    _refuse(config, findings)
    _warn(config, findings)
    if findings.is_fatal:
        return None
    converted = _config(config)
    return converted if _passes(config, converted, findings, oem) else None


def _passes(config: v2.Config, converted: v3.Config, findings: Findings, oem: bool) -> bool:
    """True when Ignition accepts the spec 3 config; its warnings are left out: spec 2 has the same ones."""
    checked = Findings()
    (validate if oem else v3_checks.validate)(converted, SPEC, checked)
    v3_config.find_duplicates(converted, SPEC, checked)
    for entry, path in checked.entries():
        if entry.severity == "error":
            message = f"{entry.message} (in spec {v3.version_text(SPEC)}, which this is converted to)"
            findings.error(_path_in_v2(path, config), message, hint=entry.hint)
    return not findings.is_fatal


def validate(config: v3.Config, spec: int, findings: Findings) -> None:
    """`v3_checks.validate`, but for sources on the OEM partition: Flatcar's Ignition reads them in spec 3 too."""
    checked = Findings()
    v3_checks.validate(config, spec, checked)
    for entry, path in checked.entries():
        if not _is_oem(config, path):
            findings.add(entry.severity, path, entry.message, hint=entry.hint)


def _is_oem(config: v3.Config, path: Path) -> bool:
    """Whether a finding is about a source on the OEM partition."""
    value: Any = config
    for element in path:
        value = value[element] if isinstance(element, int) else getattr(value, str(element))
    source = value.source if isinstance(value, v3.Resource) else value
    try:
        return isinstance(source, str) and path[-1:] != ("path",) and parse_url(source).scheme == "oem"
    except UrlError:
        return False


# --- what is refused -----------------------------------------------------------------------------------------


def _refuse(config: v2.Config, findings: Findings) -> None:
    storage = config.storage
    for index, filesystem in enumerate(storage.filesystems):
        path: Path = ("storage", "filesystems", index)
        if filesystem.mount is None:
            message = "a filesystem that is given by its path alone crashes Flatcar's Ignition"
            findings.error(path, message, hint="leave it out and write the whole path, or give it a mount")
        elif filesystem.mount.create is not None and not filesystem.mount.create.force:
            message = "create without force can't be said in spec 3"
            hint = "force: true erases what is there; without create a filesystem that fits is used as it is"
            findings.error((*path, "mount", "create"), message, hint=hint)
    for at, disk in enumerate(storage.disks):
        for index, partition in enumerate(disk.partitions):
            if partition.size is not None or partition.start is not None:
                path = ("storage", "disks", at, "partitions", index)
                findings.error(path, "spec 3 has no sectors", hint="the keys are sizeMiB and startMiB")
    _refuse_nodes(storage, findings)
    for index, unit in enumerate(config.systemd.units):
        names = [dropin.name for dropin in unit.dropins]
        for at, name in enumerate(names):
            if name in names[:at]:
                message = f"drop-in {name!r} is there twice, and in spec 3 only once"
                findings.error(("systemd", "units", index, "dropins", at), message, hint="join the two entries")


def _nodes(storage: v2.Storage) -> tuple[tuple[str, Sequence[v2.Node]], ...]:
    return (("files", storage.files), ("directories", storage.directories), ("links", storage.links))


def _refuse_nodes(storage: v2.Storage, findings: Findings) -> None:
    points = _mount_points(storage.filesystems)
    links = {_full_path(link, points) for link in storage.links}
    seen: dict[str, str] = {}
    for name, nodes in _nodes(storage):
        for index, node in enumerate(nodes):
            full, path = _full_path(node, points), ("storage", name, index)
            if full in seen:
                message = f"{full} is among {seen[full]} already, and in spec 3 a path is written once"
                findings.error(path, message, hint="join the two entries, or give one of them another path")
            seen.setdefault(full, name)
            through = next((parent for parent in _parents(full) if parent in links), None)
            if through is not None:
                message = f"{full} leads through the link {through} of this config, which spec 3 doesn't allow"
                findings.error(path, message, hint="write the path that the link leads to")


def _parents(path: str) -> Iterator[str]:
    """The directories that a clean absolute path leads through, the last one first."""
    while path != "/":
        path = posixpath.dirname(path)
        yield path


# --- where file systems are ----------------------------------------------------------------------------------


def _mount_points(filesystems: Iterable[v2.Filesystem]) -> Mapping[str, str]:
    """Where Ignition mounts each filesystem, by its name: spec 2 doesn't say it, so Flatcar makes places up.

    It counts on within one process; the numbers here are those of a process that has converted nothing else.
    """
    points = {"root": "/"}
    nameless = made = 0
    for filesystem in filesystems:
        name = filesystem.name
        if not name:
            nameless += 1
            name = f"ignition{nameless}"  # which the filesystem itself doesn't get: it has no path in spec 3
        if name not in points:
            made += 1
            points[name] = "/oem" if name == "oem" else f"/tmp/{name}-ign{made}"  # noqa: S108 - on the machine
    return points


def _full_path(node: v2.Node, points: Mapping[str, str]) -> str:
    """Where a node ends up below the new root; on a filesystem that the config doesn't name, on the root itself."""
    return values.clean(f"/{points.get(node.filesystem, '')}/{node.path}")


# --- what is lost --------------------------------------------------------------------------------------------


def _warn(config: v2.Config, findings: Findings) -> None:
    storage = config.storage
    for name, nodes in _nodes(storage):
        for index, node in enumerate(nodes):
            if node.filesystem != "root":
                message = f"filesystem {node.filesystem!r} is not known: {node.path} ends up on the root filesystem"
                findings.warning(("storage", name, index, "filesystem"), message, hint="Flatcar may refuse it")
    with_mode: tuple[tuple[str, Sequence[v2.File | v2.Directory]], ...] = (
        ("files", storage.files),
        ("directories", storage.directories),
    )
    for name, entries in with_mode:
        for index, entry in enumerate(entries):
            if entry.mode is not None and entry.mode & ~_PERMISSIONS:
                message = f"of the mode {entry.mode:#o} Flatcar takes {_mode(entry.mode):#o}, without its special bits"
                findings.warning(("storage", name, index, "mode"), message, hint="an octal number begins with 0: 0644")
    for index, filesystem in enumerate(storage.filesystems):
        if filesystem.name == "root":
            message = "the filesystem named root is left as it is: spec 3 takes it for the one that is there"
            findings.warning(("storage", "filesystems", index), message, hint="write the config in Butane")


# --- the conversion ------------------------------------------------------------------------------------------


def _config(config: v2.Config) -> v3.Config:
    ignition, storage = config.ignition, config.storage
    replace, proxy, points = ignition.config.replace, ignition.proxy, _mount_points(storage.filesystems)
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
            directories=tuple(_directory(directory, points) for directory in storage.directories),
            disks=tuple(map(_disk, storage.disks)),
            files=(
                *(_file(file, points) for file in storage.files),
                *(file for _, file in _networkd_files(config.networkd.units)),
            ),
            filesystems=tuple(_filesystem(storage.filesystems[at], points) for at in _filesystems_kept(storage)),
            links=tuple(_link(link, points) for link in storage.links),
            raid=tuple(map(_raid, storage.raid)),
        ),
        systemd=v3.Systemd(units=_units(config.systemd.units)),
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
    """What `create` says is said of the user itself; beside it nothing else may be (`v2_rules`)."""
    said: v2.User | v2.UserCreate = user if user.create is None else user.create
    return v3.PasswdUser(
        gecos=said.gecos or None,
        groups=said.groups,
        home_dir=said.home_dir or None,
        name=user.name,
        no_create_home=said.no_create_home or None,
        no_log_init=said.no_log_init or None,
        no_user_group=said.no_user_group or None,
        password_hash=user.password_hash,
        primary_group=said.primary_group or None,
        ssh_authorized_keys=user.ssh_authorized_keys,
        shell=said.shell or None,
        system=said.system or None,
        uid=said.uid,
    )


def _node(node: v2.Node, points: Mapping[str, str]) -> dict[str, Any]:
    """What files, directories and links share: owners and path."""
    user, group = node.user or v2.Owner(), node.group or v2.Owner()
    return {
        "group": v3.NodeGroup(id=group.id, name=group.name or None),
        "path": _full_path(node, points),
        "user": v3.NodeUser(id=user.id, name=user.name or None),
    }


def _mode(mode: int | None) -> int | None:
    """Special bits have no effect before 3.6: Ignition itself leaves them out when it reads 3.1."""
    return None if mode is None else mode & _PERMISSIONS


def _directory(directory: v2.Directory, points: Mapping[str, str]) -> v3.Directory:
    return v3.Directory(**_node(directory, points), overwrite=directory.overwrite, mode=_mode(directory.mode))


def _link(link: v2.Link, points: Mapping[str, str]) -> v3.Link:
    return v3.Link(**_node(link, points), overwrite=link.overwrite, hard=link.hard or None, target=link.target)


def _file(file: v2.File, points: Mapping[str, str]) -> v3.File:
    """Spec 2 overwrites what is there unless it is told not to; spec 3 is told to, except to append."""
    contents = v3.Resource(
        compression=file.contents.compression or None,
        http_headers=_headers(file.contents.http_headers),
        source=file.contents.source,
        verification=v3.Verification(hash=file.contents.verification.hash),
    )
    overwrite = True if file.overwrite is None else file.overwrite
    return v3.File(
        **_node(file, points),
        overwrite=False if file.append else overwrite,
        append=(contents,) if file.append else (),
        contents=v3.Resource() if file.append else contents,
        mode=_mode(file.mode),
    )


def _networkd_files(units: Sequence[v2.NetworkdUnit]) -> Iterator[tuple[Path, v3.File]]:
    """(path in the spec 2 config, file) of what systemd-networkd reads: units with contents, and all drop-ins."""
    for index, unit in enumerate(units):
        path: Path = ("networkd", "units", index)
        if unit.contents:
            yield path, _network_file(unit.name, unit.contents)
        for at, dropin in enumerate(unit.dropins):
            yield (*path, "dropins", at), _network_file(f"{unit.name}.d/{dropin.name}", dropin.contents)


def _network_file(name: str, text: str) -> v3.File:
    return v3.File(
        path=values.clean(f"/etc/systemd/network/{name}"),
        overwrite=True,
        contents=v3.Resource(source=f"data:,{escape_path_segment(text)}"),
        mode=0o644,
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


def _filesystems_kept(storage: v2.Storage) -> list[int]:
    """The indexes of the filesystems that spec 3 is told of: the one named root is taken for the one that is there."""
    return [index for index, filesystem in enumerate(storage.filesystems) if filesystem.name != "root"]


def _filesystem(filesystem: v2.Filesystem, points: Mapping[str, str]) -> v3.Filesystem:
    mount = filesystem.mount or v2.Mount()
    create = mount.create or v2.Create()
    wipe = mount.wipe_filesystem or create.force
    is_oem = filesystem.name.lower() == "oem"  # which is btrfs today, and wasn't when configs of spec 2 were written
    return v3.Filesystem(
        device=mount.device,
        format="btrfs" if is_oem and not wipe else mount.format or None,
        label=mount.label,
        options=(*mount.options, *create.options),
        path=points.get(filesystem.name),
        uuid=mount.uuid,
        wipe_filesystem=wipe or None,
    )


def _units(units: Sequence[v2.Unit]) -> tuple[v3.Unit, ...]:
    """Units of one name are one: what a later one says counts, and drop-ins add up."""
    merged: dict[str, v3.Unit] = {}
    for unit in map(_unit, units):
        if (before := merged.get(unit.name)) is not None:
            parent, child = (v3.Config(systemd=v3.Systemd(units=(one,))) for one in (before, unit))
            (unit,) = v3_config.merge(parent, child, SPEC).systemd.units
        merged[unit.name] = unit
    return tuple(merged.values())


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


def _path_in_v2(path: Path, config: v2.Config) -> Path:
    """A path in the spec 3 config, in its structs' spelling, as the path of what it was converted from."""
    section, index = path[:2], path[2] if len(path) > 2 and isinstance(path[2], int) else None
    if section == ("storage", "filesystems") and index is not None:
        below = path[3:] if path[3:] == ("path",) else ("mount", *path[3:])
        path = (*section, _filesystems_kept(config.storage)[index], *below)
    elif section == ("storage", "files") and index is not None and index >= len(config.storage.files):
        return list(_networkd_files(config.networkd.units))[index - len(config.storage.files)][0]
    elif section == ("systemd", "units") and index is not None:
        path = (*section, _unit_places(config.systemd.units).index(index), *path[3:])
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


def path_in_v3(path: Path, config: v2.Config) -> Path:
    """The path of an entry of `config` in the spec 3 config, as far as its section and index go."""
    section, index = path[:2], path[2] if len(path) > 2 and isinstance(path[2], int) else None
    if section == ("systemd", "units") and index is not None:
        return (*section, _unit_places(config.systemd.units)[index], *path[3:])
    if section == ("storage", "filesystems") and index in (kept := _filesystems_kept(config.storage)):
        return (*section, kept.index(index), *(name for name in path[3:] if name not in ("mount", "create")))
    if section == ("networkd", "units") and index is not None:
        origins = [origin[2] for origin, _ in _networkd_files(config.networkd.units)]
        return ("storage", "files", len(config.storage.files) + origins.index(index)) if index in origins else ()
    return path


def _unit_places(units: Sequence[v2.Unit]) -> list[int]:
    """The index that each unit has in spec 3."""
    names = list(dict.fromkeys(unit.name for unit in units))
    return [names.index(unit.name) for unit in units]

"""What Ignition checks in a spec 2 config, once it is decoded: the rules of 2.3.0 (and of what came before).

A rule knows the path of what it looks at, in JSON keys. Paths whose last part isn't in the config mean the
nearest part that is. Source: flatcar/ignition v0.36.2, config/v2_3/types/*.go.
"""

from __future__ import annotations

from itertools import pairwise

from cl.transpiler.ignition import v2, values
from cl.transpiler.ignition.checks import CheckError, check_source, unit_sections
from cl.transpiler.report import Findings, Path

SCHEMES = frozenset(("http", "https", "oem", "tftp", "s3", "data"))
HASHES = {"sha512": 128}

_NETWORKD_TYPES = ("link", "netdev", "network")
_CREATE_EXCLUDES = {
    "gecos": "gecos",
    "groups": "groups",
    "home_dir": "homeDir",
    "no_create_home": "noCreateHome",
    "no_log_init": "noLogInit",
    "no_user_group": "noUserGroup",
    "primary_group": "primaryGroup",
    "shell": "shell",
    "system": "system",
}


def validate(config: v2.Config, findings: Findings, minor: int = 4) -> None:
    """Add what Ignition says about `config`, in Ignition's order; 2.`minor` says what is deprecated already."""
    _check_filesystems(config.storage, findings)
    _ignition(config.ignition, findings)
    for index, unit in enumerate(config.networkd.units):
        _networkd_unit(unit, ("networkd", "units", index), findings)
    for index, user in enumerate(config.passwd.users):
        _user(user, ("passwd", "users", index), minor, findings)
    _storage(config.storage, minor, findings)
    for index, systemd_unit in enumerate(config.systemd.units):
        _unit(systemd_unit, ("systemd", "units", index), findings)


def _check_filesystems(storage: v2.Storage, findings: Findings) -> None:
    known = {"root"} | {filesystem.name for filesystem in storage.filesystems}
    for kind, nodes in (("file", storage.files), ("link", storage.links), ("directory", storage.directories)):
        for node in nodes:
            if node.filesystem and node.filesystem not in known:
                message = f"{kind} {node.path!r} is on filesystem {node.filesystem!r}, which this config doesn't define"
                findings.warning((), message, hint="that is fine if a config that is merged in defines it")
    seen = {"root"}
    for filesystem in storage.filesystems:
        if filesystem.name in seen:
            findings.warning((), f"filesystem {filesystem.name!r} is defined twice, and the last one counts")
        seen.add(filesystem.name)


def _ignition(ignition: v2.Ignition, findings: Findings) -> None:
    for index, reference in enumerate(ignition.config.append):
        _reference(reference, ("ignition", "config", "append", index), findings)
    if ignition.config.replace is not None:
        _reference(ignition.config.replace, ("ignition", "config", "replace"), findings)
    for index, authority in enumerate(ignition.security.tls.certificate_authorities):
        _reference(authority, ("ignition", "security", "tls", "certificateAuthorities", index), findings)


def _reference(reference: v2.Reference, path: Path, findings: Findings) -> None:
    _headers(reference.http_headers, reference.source, (*path, "httpHeaders"), findings)
    _source(reference.source, (*path, "source"), findings)
    _verification(reference.verification, (*path, "verification"), findings)


def _headers(headers: tuple[v2.HttpHeader, ...], source: str, path: Path, findings: Findings) -> None:
    names = [header.name for header in headers]
    if headers and source.partition(":")[0].lower() not in ("http", "https"):
        findings.error(path, "headers go with http and https alone")
    if "" in names:
        findings.error(path, "a header needs a name")
    if len(set(names)) < len(names):
        findings.error(path, "a header is given twice")


def _source(source: str, path: Path, findings: Findings) -> None:
    try:
        check_source(source, SCHEMES)
    except CheckError as error:
        shown = source if len(source) <= 60 else source[:57] + "..."
        findings.error(path, f"{shown!r} can't be fetched: {error}")


def _verification(verification: v2.Verification, path: Path, findings: Findings) -> None:
    if verification.hash is not None:
        _problem(values.hash_problem(verification.hash, HASHES), path, findings)


def _problem(problem: str | None, path: Path, findings: Findings) -> None:
    if problem is not None:
        findings.error(path, problem)


# --- users and units -----------------------------------------------------------------------------------------


def _user(user: v2.User, path: Path, minor: int, findings: Findings) -> None:
    if user.create is None or minor < 1:
        return
    hint = "put its fields beside name"
    findings.warning(path, "create is deprecated in favour of fields of the user itself", hint=hint)
    beside = [key for name, key in _CREATE_EXCLUDES.items() if getattr(user, name)]
    for key in beside + (["uid"] if user.uid is not None else []):
        findings.error(path, f"create and {key} beside it exclude each other")


def _text(text: str, path: Path, findings: Findings) -> tuple[str, ...]:
    try:
        return unit_sections(text)
    except CheckError as error:
        findings.error(path, f"this is not a unit: {error}")
        return ()


def _dropins(dropins: tuple[v2.Dropin, ...], path: Path, findings: Findings) -> None:
    for index, dropin in enumerate(dropins):
        _text(dropin.contents, (*path, "dropins", index), findings)
        _problem(values.suffix_problem(dropin.name, ("conf",), "drop-in"), (*path, "dropins", index), findings)


def _unit(unit: v2.Unit, path: Path, findings: Findings) -> None:
    sections = _text(unit.contents, (*path, "contents"), findings)
    if (unit.enable or unit.enabled) and sections and "Install" not in sections:
        message = f"unit {unit.name!r} is enabled but has no [Install] section, so that enabling does nothing"
        findings.warning((*path, "contents"), message, hint="add [Install] with WantedBy=multi-user.target")
    _dropins(unit.dropins, path, findings)
    _problem(values.suffix_problem(unit.name, values.UNIT_SUFFIXES, "unit"), (*path, "name"), findings)


def _networkd_unit(unit: v2.NetworkdUnit, path: Path, findings: Findings) -> None:
    own = Findings()
    _text(unit.contents, path, own)
    _problem(values.suffix_problem(unit.name, _NETWORKD_TYPES, "networkd unit"), path, own)
    findings.extend(own)
    if not own.is_fatal:
        _dropins(unit.dropins, path, findings)


# --- storage -------------------------------------------------------------------------------------------------


def _storage(storage: v2.Storage, minor: int, findings: Findings) -> None:
    for index, directory in enumerate(storage.directories):
        path: Path = ("storage", "directories", index)
        _node(directory, path, findings)
        _mode(directory.mode, (*path, "mode"), findings)
    for index, disk in enumerate(storage.disks):
        _disk(disk, ("storage", "disks", index), minor, findings)
    for index, file in enumerate(storage.files):
        _file(file, ("storage", "files", index), findings)
    for index, filesystem in enumerate(storage.filesystems):
        _filesystem(filesystem, ("storage", "filesystems", index), minor, findings)
    for index, link in enumerate(storage.links):
        _node(link, ("storage", "links", index), findings)
    for index, raid in enumerate(storage.raid):
        _raid(raid, ("storage", "raid", index), findings)


def _absolute(value: str, path: Path, findings: Findings) -> None:
    if not value.startswith("/"):
        findings.error(path, f"the path {value!r} is not absolute")


def _node(node: v2.Node, path: Path, findings: Findings) -> None:
    if not node.filesystem:
        findings.error((*path, "filesystem"), "no filesystem is given")
    for key, owner in (("group", node.group), ("user", node.user)):
        if owner is not None:
            _problem(values.owner_problem(owner.id, owner.name), (*path, key), findings)
    _absolute(node.path, (*path, "path"), findings)


def _mode(mode: int | None, path: Path, findings: Findings) -> None:
    if mode is None:
        findings.warning(path, "no mode is given: 0000 is used")
    elif not 0 <= mode <= 0o7777:
        hint = "an octal number begins with 0: 0644"
        findings.error(path, f"mode {mode} (octal {mode:o}) is not between 0 and 07777", hint=hint)


def _file(file: v2.File, path: Path, findings: Findings) -> None:
    if file.overwrite and file.append:
        findings.error(path, "append and overwrite exclude each other")
        return
    _node(file, path, findings)
    contents = file.contents
    _problem(values.compression_problem(contents.compression), (*path, "contents", "compression"), findings)
    _headers(contents.http_headers, contents.source, (*path, "contents", "httpHeaders"), findings)
    _source(contents.source, (*path, "contents", "source"), findings)
    _verification(contents.verification, (*path, "contents", "verification"), findings)
    _mode(file.mode, (*path, "mode"), findings)


def _disk(disk: v2.Disk, path: Path, minor: int, findings: Findings) -> None:
    if not disk.device:
        findings.error((*path, "device"), "a disk needs a device")
    else:
        _absolute(disk.device, (*path, "device"), findings)
    _partitions(disk.partitions, (*path, "partitions"), findings)
    for index, partition in enumerate(disk.partitions):
        _partition(partition, (*path, "partitions", index), minor, findings)


def _partitions(partitions: tuple[v2.Partition, ...], path: Path, findings: Findings) -> None:
    numbers = [partition.number for partition in partitions if partition.number]
    if len(set(numbers)) < len(numbers):
        findings.error(path, "two partitions have the same number")
    if _overlap(partitions):
        findings.error(path, "two partitions overlap")
    if any((partition.start or 0) % 2048 for partition in partitions):
        findings.error(path, "a partition starts at a multiple of 2048 sectors")
    if 0 in (partition.number for partition in partitions) and any(p.should_exist is False for p in partitions):
        findings.error(path, "with shouldExist: false all partitions need a number")
    if any(map(_in_sectors, partitions)) and any(map(_in_mib, partitions)):
        findings.error(path, "partitions of one disk are sized in sectors or in MiB, not in both")


def _in_sectors(partition: v2.Partition) -> bool:
    return partition.size is not None or partition.start is not None


def _in_mib(partition: v2.Partition) -> bool:
    return partition.size_mib is not None or partition.start_mib is not None


def _overlap(partitions: tuple[v2.Partition, ...]) -> bool:
    """Whether two of those whose sectors are known share one; a size of 0, what is left, counts as one sector."""
    spans = [
        (partition.start, partition.start + max(partition.size, 1) - 1)
        for partition in partitions
        if partition.start and partition.size is not None
    ]
    spans.sort()
    return any(start <= end for (_, end), (start, _) in pairwise(spans))


def _partition(partition: v2.Partition, path: Path, minor: int, findings: Findings) -> None:
    if _in_sectors(partition) and _in_mib(partition):
        findings.error(path, "a partition is sized in sectors or in MiB, not in both")
    if partition.should_exist is False and (
        partition.label is not None or partition.type_guid or partition.guid or _in_sectors(partition)
    ):
        findings.error(path, "shouldExist: false leaves room for a number alone")
    for key in ("size", "start"):
        if getattr(partition, key) is not None and minor >= 3:
            findings.warning((*path, key), f"sectors are deprecated: the key is {key}MiB")
    for key, guid in (("guid", partition.guid), ("typeGuid", partition.type_guid)):
        _problem(values.guid_problem(guid), (*path, key), findings)
    label = partition.label or ""
    if values.size(label) > 36:
        findings.error((*path, "label"), "a partition's label has at most 36 bytes")
    if ":" in label:
        findings.warning((*path, "label"), "a partition's label ends at its first colon")


def _filesystem(filesystem: v2.Filesystem, path: Path, minor: int, findings: Findings) -> None:
    mount, failed = filesystem.mount, False
    if mount is None and filesystem.path is None:
        findings.error(path, "a filesystem needs mount or path")
        failed = True
    if mount is not None and filesystem.path is not None:
        findings.error(path, "mount and path exclude each other")
        failed = True
    if mount is not None and mount.create is not None:
        if mount.wipe_filesystem:
            findings.error(path, "create and wipe_filesystem exclude each other")
            failed = True
        if mount.options:
            findings.error(path, "create and options beside it exclude each other")
            failed = True
        if minor >= 1:
            findings.warning(path, "create is deprecated in favour of wipe_filesystem and options of the mount itself")
    if failed:
        return
    if mount is not None:
        _mount(mount, (*path, "mount"), findings)
    if filesystem.path is not None and not filesystem.path.startswith("/"):
        message = f"the path {filesystem.path!r} of filesystem {filesystem.name!r} is not absolute"
        findings.error((*path, "path"), message)


def _mount(mount: v2.Mount, path: Path, findings: Findings) -> None:
    if mount.format not in values.LABEL_LIMITS:
        message = f"the format is one of {', '.join(values.LABEL_LIMITS)}, not {mount.format!r}"
        findings.error(path, message)
        return
    _absolute(mount.device, (*path, "device"), findings)
    _problem(values.label_problem(mount.format, mount.label or ""), (*path, "label"), findings)


def _raid(raid: v2.Raid, path: Path, findings: Findings) -> None:
    for device in raid.devices:
        _absolute(device, (*path, "devices"), findings)
    _problem(values.raid_level_problem(raid.level, raid.spares), (*path, "level"), findings)

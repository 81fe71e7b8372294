# ruff: noqa: ARG001 - every check takes the same arguments
"""The rules of spec 3, struct by struct, as Ignition's config/v3_*/types check them.

`validate` walks a config depth first: a struct's own rule comes before its children's. Paths have the spelling
of the structs (snake_case), which a dialect may map back to where something came from.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

from cl.transpiler.gourl import UrlError, parse_url
from cl.transpiler.ignition import v3, values
from cl.transpiler.ignition.v3_config import nested_structs
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import Struct, struct_of

Check = Callable[[Any, Path, Findings, int], None]

_HASHES_3_0 = {"sha512": 128}
_HASHES = {**_HASHES_3_0, "sha256": 64}
_UNIT_DIRECTORY = "/etc/systemd/system/"
_INSTANCE = re.compile(r"(.+?)@(.+?)\.service")


def validate(config: v3.Config, spec: int, findings: Findings) -> None:
    """Everything that Ignition 3.`spec` would say about the config, duplicates aside."""
    _validate(struct_of(v3.Config, spec), config, (), findings, spec)


def _validate(struct: Struct, value: object, path: Path, findings: Findings, spec: int) -> None:
    check, nested = _plan(struct)
    if check is not None:
        check(value, path, findings, spec)
    for name, many, inner in nested:
        item = getattr(value, name)
        if many:
            for index, entry in enumerate(item):
                _validate(inner, entry, (*path, name, index), findings, spec)
        elif item is not None:
            _validate(inner, item, (*path, name), findings, spec)


@cache
def _plan(struct: Struct) -> tuple[Check | None, tuple[tuple[str, bool, Struct], ...]]:
    check = next((_CHECKS[cls] for cls in struct.cls.__mro__ if cls in _CHECKS), None)
    return check, nested_structs(struct)


@cache
def _schemes(spec: int) -> frozenset[str]:
    added = {2: ("gs",), 4: ("arn",)}
    since = [scheme for first, schemes in added.items() if spec >= first for scheme in schemes]
    return frozenset(("http", "https", "tftp", "s3", "data", *since))


def _error(findings: Findings, path: Path, problem: str | None, hint: str | None = None) -> None:
    if problem is not None:
        findings.error(path, problem, hint=hint)


def _config(config: v3.Config, path: Path, findings: Findings, spec: int) -> None:
    taken = set()
    for unit in config.systemd.units:
        if unit.contents:
            taken.add(_UNIT_DIRECTORY + unit.name)
        taken.update(f"{_UNIT_DIRECTORY}{unit.name}.d/{dropin.name}" for dropin in unit.dropins if dropin.contents)
    if not taken:
        return
    storage = config.storage
    for name, nodes in (("files", storage.files), ("directories", storage.directories), ("links", storage.links)):
        for index, node in enumerate(nodes):
            if node.path in taken:
                where = (*path, "storage", name, index, "path")
                findings.error(where, "a systemd unit or drop-in of this config is written to this path")


def _section(section: v3.ConfigSection, path: Path, findings: Findings, spec: int) -> None:
    if spec > 0:
        for index, resource in enumerate(section.merge):
            _required_source(resource, (*path, "merge", index), findings, spec)


def _source_3_0(resource: v3.Resource, path: Path, findings: Findings, spec: int) -> None:
    problem = values.source_problem(resource.source, _schemes(spec)) if resource.source else "a source is required"
    _error(findings, (*path, "source"), problem)


def _tls(tls: v3.TLS, path: Path, findings: Findings, spec: int) -> None:
    for index, resource in enumerate(tls.certificate_authorities):
        where = (*path, "certificate_authorities", index)
        if spec > 0:
            _required_source(resource, where, findings, spec)
        else:
            _source_3_0(resource, where, findings, spec)


def _required_source(resource: v3.Resource, path: Path, findings: Findings, spec: int) -> None:
    problem = values.source_problem(resource.source, _schemes(spec)) if resource.source else "a source is required"
    _error(findings, path, problem)


def _resource(resource: v3.Resource, path: Path, findings: Findings, spec: int) -> None:
    # In 3.0 configs and certificates are structs of their own, with fewer rules.
    of_config = spec == 0 and path[0] == "ignition"
    if of_config and path[1] == "security":
        return
    _error(findings, (*path, "compression"), values.compression_problem(resource.compression))
    if resource.verification.hash is not None and resource.source is None and not of_config:
        findings.error((*path, "verification", "hash"), "a hash needs a source to verify")
    if resource.source:
        _error(findings, (*path, "source"), values.source_problem(resource.source, _schemes(spec)))
    if resource.http_headers:
        _error(findings, (*path, "http_headers"), _headers_problem(resource.source))


def _headers_problem(source: str | None) -> str | None:
    if not source:
        return "HTTP headers need a source to fetch"
    try:
        fetched = parse_url(source).scheme in ("http", "https")
    except UrlError as error:
        return f"this is no URL: {error}"
    return None if fetched else "HTTP headers go with http and https sources only"


def _header(header: v3.HTTPHeader, path: Path, findings: Findings, spec: int) -> None:
    if not header.name:
        findings.error((*path, "name"), "a header needs a name")
    if header.value == "":
        findings.error((*path, "value"), "the value of a header is empty", hint="leave it out to remove the header")


def _verification(verification: v3.Verification, path: Path, findings: Findings, spec: int) -> None:
    if verification.hash is not None:
        _error(findings, (*path, "hash"), values.hash_problem(verification.hash, _HASHES if spec > 0 else _HASHES_3_0))


def _proxy(proxy: v3.Proxy, path: Path, findings: Findings, spec: int) -> None:
    for name, url in (("http_proxy", proxy.http_proxy), ("https_proxy", proxy.https_proxy)):
        if url is None:
            continue
        try:
            scheme = parse_url(url).scheme
        except UrlError as error:
            findings.error((*path, name), f"this is no URL: {error}")
            continue
        if scheme not in ("http", "https"):
            findings.error((*path, name), "the URL of a proxy begins with http or https")
        elif scheme == "http" and name == "https_proxy":
            findings.warning((*path, name), "HTTPS resources are fetched through a proxy that is not encrypted")


def _owner(owner: v3.NodeUser | v3.NodeGroup, path: Path, findings: Findings, spec: int) -> None:
    _error(findings, path, values.owner_problem(owner.id, owner.name))


def _node(node: v3.Node, path: Path, findings: Findings, spec: int) -> None:
    _error(findings, (*path, "path"), values.path_problem(node.path))


def _node_with_mode(node: v3.File | v3.Directory, path: Path, findings: Findings, spec: int) -> None:
    _node(node, path, findings, spec)
    _error(findings, (*path, "mode"), values.mode_problem(node.mode))
    if node.mode is not None and node.mode & 0o7000 and spec < 6:
        findings.warning((*path, "mode"), "setuid, setgid and sticky bits have no effect before Ignition 3.6")


def _file(file: v3.File, path: Path, findings: Findings, spec: int) -> None:
    _node_with_mode(file, path, findings, spec)
    if file.overwrite and file.contents.source is None:
        findings.error((*path, "overwrite"), "a file is overwritten only when it has contents")


def _disk(disk: v3.Disk, path: Path, findings: Findings, spec: int) -> None:
    if not disk.device:
        findings.error((*path, "device"), "a disk needs a device")
        return
    _error(findings, (*path, "device"), values.path_problem(disk.device))
    if (index := _colliding_number(disk)) is not None:
        findings.error((*path, "partitions", index), "an earlier partition has the same number")
    if (index := _overlapping(disk)) is not None:
        findings.error((*path, "partitions", index), "the partition overlaps another one")
    removed = any(partition.should_exist is False for partition in disk.partitions)
    if removed and any(partition.number == 0 for partition in disk.partitions):
        message = "where should_exist is false for one partition, all need a number"
        findings.error((*path, "partitions"), message)
    labels = set()
    for index, partition in enumerate(disk.partitions):
        if partition.label is not None and partition.label in labels:
            findings.error((*path, "partitions", index), "an earlier partition has the same label")
            break
        labels.add(partition.label)


def _colliding_number(disk: v3.Disk) -> int | None:
    seen = set()
    for index, partition in enumerate(disk.partitions):
        if partition.number in seen:
            return index
        if partition.number:
            seen.add(partition.number)
    return None


def _overlapping(disk: v3.Disk) -> int | None:
    """The first partition that lies where an earlier or later one does; a start of 0 is "anywhere".

    A size of 0 counts as 1, and one below 0, which nothing refuses, reaches backwards.
    """
    placed = [
        (index, partition, partition.start_mib, partition.start_mib + (partition.size_mib or 1) - 1)
        for index, partition in enumerate(disk.partitions)
        if partition.start_mib and partition.size_mib is not None
    ]
    for _, one, start, end in placed:
        for index, other, low, high in placed:
            if one is not other and (low <= start <= high or low <= end <= high or (start < low and end > high)):
                return index
    return None


def _partition(partition: v3.Partition, path: Path, findings: Findings, spec: int) -> None:
    described = partition.label is not None or partition.type_guid or partition.guid
    if partition.should_exist is False and (
        described or partition.start_mib is not None or partition.size_mib is not None
    ):
        findings.error(path, "a partition that should not exist has a number only")
    if partition.number == 0 and partition.label is None:
        findings.error(path, "a partition needs a number from 1, or a label")
    if partition.label is not None:
        _error(findings, (*path, "label"), values.partition_label_problem(partition.label))
    _error(findings, (*path, "guid"), values.guid_problem(partition.guid))
    _error(findings, (*path, "type_guid"), values.guid_problem(partition.type_guid))


def _filesystem(filesystem: v3.Filesystem, path: Path, findings: Findings, spec: int) -> None:
    if filesystem.path:
        _error(findings, (*path, "path"), values.path_problem(filesystem.path))
    _error(findings, (*path, "device"), values.path_problem(filesystem.device))
    _error(findings, (*path, "format"), _format_problem(filesystem, spec))
    if filesystem.label:
        if not filesystem.format:
            findings.error((*path, "label"), "a label needs a format")
        else:
            _error(findings, (*path, "label"), values.label_problem(filesystem.format, filesystem.label))


def _format_problem(filesystem: v3.Filesystem, spec: int) -> str | None:
    if filesystem.format:
        known = ("ext4", "btrfs", "xfs", "swap", "vfat", "none")[: 6 if spec > 2 else 5]
        return None if filesystem.format in known else f"the format is one of {', '.join(known)}"
    given = (
        filesystem.path,
        filesystem.label,
        filesystem.uuid,
        filesystem.wipe_filesystem,
        filesystem.mount_options,
        filesystem.options,
    )
    message = "without a format there is no path, label, uuid, wipe_filesystem, options or mount_options"
    return message if any(given) else None


def _luks(luks: v3.Luks, path: Path, findings: Findings, spec: int) -> None:
    if "/" in luks.name:
        findings.error((*path, "name"), "the name of an encrypted device holds no slash")
    if luks.label and values.size(luks.label) > 47:
        findings.error((*path, "label"), "the label of an encrypted device has at most 47 bytes")
    problem = values.path_problem(luks.device) if luks.device else "an encrypted device needs a device to lie on"
    _error(findings, (*path, "device"), problem)
    if spec >= 5 and luks.cex.enabled:
        if luks.clevis is not None and _unlocks(luks.clevis):
            findings.error((*path, "cex"), "a device is unlocked by cex or by clevis, not by both")
        if luks.key_file.source:
            findings.error((*path, "cex"), "a device is unlocked by cex or by a key file, not by both")
    if luks.clevis is not None and _custom_given(luks.clevis, spec) and _pins(luks.clevis):
        findings.error((*path, "clevis"), "a custom pin goes with no other pin and no threshold")
    if luks.key_file.source and values.source_problem(luks.key_file.source, _schemes(spec)) is not None:
        findings.error((*path, "keys"), "the source of the key file is no usable URL")


def _unlocks(clevis: v3.Clevis) -> bool:
    return _custom_given(clevis, v3.EXPERIMENTAL) or _pins(clevis)


def _custom_given(clevis: v3.Clevis, spec: int) -> bool:
    return clevis.custom is not None and bool(clevis.custom.pin or spec < 3)


def _pins(clevis: v3.Clevis) -> bool:
    return bool(clevis.tang or clevis.tpm2 or clevis.threshold)


def _custom(custom: v3.ClevisCustom, path: Path, findings: Findings, spec: int) -> None:
    if not custom.pin and not custom.config and (spec < 3 or not custom.needs_network):
        return
    if not custom.pin:
        findings.error((*path, "pin"), "a custom pin needs its name")
    elif custom.pin not in ("tpm2", "tang", "sss") and spec < 6:
        findings.error((*path, "pin"), "the pin is one of tpm2, tang, sss")
    if not custom.config:
        findings.error((*path, "config"), "a custom pin needs its config")


def _tang(tang: v3.Tang, path: Path, findings: Findings, spec: int) -> None:
    try:
        problem = None if parse_url(tang.url).scheme in ("http", "https") else "the URL begins with http or https"
    except UrlError as error:
        problem = f"this is no URL: {error}"
    _error(findings, (*path, "url"), problem)
    if not tang.thumbprint:
        findings.error((*path, "thumbprint"), "a Tang server needs a thumbprint")
    if tang.advertisement:
        try:
            json.loads(tang.advertisement, parse_float=_finite, parse_int=_finite, parse_constant=_finite)
        except (ValueError, RecursionError):
            findings.error((*path, "advertisement"), "the advertisement is no JSON")


def _finite(text: str) -> float:
    """A number that Go can hold, which NaN and Infinity are not. Raises ValueError."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _raid(raid: v3.Raid, path: Path, findings: Findings, spec: int) -> None:
    if not raid.level and spec > 2:
        findings.error((*path, "level"), "a RAID needs a level")
    else:
        _error(findings, (*path, "level"), values.raid_level_problem(raid.level or "", raid.spares))
    if not raid.devices:
        findings.error((*path, "devices"), "a RAID needs devices")
    for index, device in enumerate(raid.devices):
        _error(findings, (*path, "devices", index), values.path_problem(device))


def _storage(storage: v3.Storage, path: Path, findings: Findings, spec: int) -> None:
    links: dict[str, list[int]] = {}
    for index, link in enumerate(storage.links):
        links.setdefault(link.path, []).append(index)
    kinds = (("directories", storage.directories), ("files", storage.files), ("links", storage.links))
    directories = Counter(directory.path for directory in storage.directories)
    for name, nodes in kinds:
        for index, node in enumerate(nodes):
            _below_links(node.path, links, (*path, name, index), findings)
            if isinstance(node, v3.Link):
                _link(node, directories, (*path, name, index), findings, spec)
    disks = {disk.device: disk for disk in storage.disks}
    for index, filesystem in enumerate(storage.filesystems):
        disk = disks.get(filesystem.device)
        if disk is not None and disk.partitions:
            findings.warning((*path, "filesystems", index, "device"), "the file system overwrites a partitioned disk")
        elif disk is not None and disk.wipe_table and not filesystem.wipe_filesystem:
            message = "wipe_table of this disk erases the file system, though its wipe_filesystem is not true"
            findings.warning((*path, "filesystems", index, "device"), message)


def _below_links(node: str, links: dict[str, list[int]], path: Path, findings: Findings) -> None:
    """`links` has the indexes of the links at each path; a finding for each that the node leads through, in order."""
    if links:
        parents = (node[:slash] for slash, character in enumerate(node) if character == "/")
        through = sorted((index, parent) for parent in parents for index in links.get(parent, ()))
        for _, link in through:
            findings.error(path, f"the path leads through the link {link!r} of this config")


def _link(link: v3.Link, directories: Counter[str], path: Path, findings: Findings, spec: int) -> None:
    if not link.target and spec > 2:
        findings.error((*path, "target"), "a link needs a target")
        return
    if not link.hard:
        return
    target = values.clean(link.target or "")
    if not target.startswith("/"):
        joined = "/".join(filter(None, (link.path, link.target)))
        target = values.clean(joined) if joined else ""
    for _ in range(directories[target]):  # butane says it for each of one path
        findings.error(path, "a hard link can't lead to a directory")
    owners: tuple[tuple[str, v3.NodeUser | v3.NodeGroup], ...] = (("user", link.user), ("group", link.group))
    for name, owner in owners:
        for key, value in (("id", owner.id), ("name", owner.name)):
            if value is not None:
                findings.warning((*path, name, key), f"a hard link has no {name} of its own")


def _systemd(systemd: v3.Systemd, path: Path, findings: Findings, spec: int) -> None:
    units = {unit.name: unit for unit in systemd.units}
    for index, unit in enumerate(systemd.units):
        match = _INSTANCE.fullmatch(unit.name) if unit.enabled else None
        template = units.get(f"{match[1]}@.service") if match is not None else None
        if template is not None and template.contents and not values.has_install_section(template.contents):
            message = f"{unit.name!r} is enabled, but its template {template.name!r} has no [Install] section"
            findings.warning((*path, "units", index, "contents"), message)


def _unit(unit: v3.Unit, path: Path, findings: Findings, spec: int) -> None:
    _error(findings, (*path, "name"), values.suffix_problem(unit.name, values.UNIT_SUFFIXES, "unit"))
    _error(findings, (*path, "contents"), values.unit_problem(unit.contents or ""))
    if unit.enabled and unit.contents and not values.has_install_section(unit.contents):
        message = f"{unit.name!r} is enabled, but has no [Install] section: enabling it has no effect"
        findings.warning((*path, "contents"), message)


def _dropin(dropin: v3.Dropin, path: Path, findings: Findings, spec: int) -> None:
    _error(findings, (*path, "contents"), values.unit_problem(dropin.contents or ""))
    _error(findings, (*path, "name"), values.suffix_problem(dropin.name, ("conf",), "drop-in"))


_CHECKS: dict[type[Any], Check] = {
    v3.Config: _config,
    v3.ConfigSection: _section,
    v3.TLS: _tls,
    v3.Resource: _resource,
    v3.HTTPHeader: _header,
    v3.Verification: _verification,
    v3.Proxy: _proxy,
    v3.NodeUser: _owner,
    v3.NodeGroup: _owner,
    v3.File: _file,
    v3.Directory: _node_with_mode,
    v3.Node: _node,
    v3.Disk: _disk,
    v3.Partition: _partition,
    v3.Filesystem: _filesystem,
    v3.Luks: _luks,
    v3.ClevisCustom: _custom,
    v3.Tang: _tang,
    v3.Raid: _raid,
    v3.Storage: _storage,
    v3.Systemd: _systemd,
    v3.Unit: _unit,
    v3.Dropin: _dropin,
}

"""Ignition JSON as a source of its own: checked like anything else, and passed through as it is.

For configs that a user brings: hand-written, made by another tool, or fetched from a machine.
"""

from __future__ import annotations

from dataclasses import replace

from cl.transpiler.dialect import Source
from cl.transpiler.gojson import Json
from cl.transpiler.gotext import Version, VersionError, parse_version
from cl.transpiler.gourl import UrlError, parse_url
from cl.transpiler.ignition import convert, v2, v2_rules, v3, v3_checks, v3_config
from cl.transpiler.ignition.decode import check_keys, decode
from cl.transpiler.ignition.names import json_key
from cl.transpiler.jsonnode import to_value
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import struct_of
from cl.transpiler.yamlnode import Mapping, Node

_VERSION: Path = ("ignition", "version")
NEWEST = {2: 4, 3: 6}
"""The newest minor version of each spec that is checked."""


def translate(source: Source, findings: Findings) -> dict[str, Json] | None:
    """The config itself, or, for spec 2 when spec 3 is wanted, what it is converted to. See `dialect.Dialect`."""
    root = source.root
    version = _version(root, findings)
    if root is None or version is None:
        return None
    if version.major == 3:
        _check_v3(root, version.minor, findings)
        return None if findings.is_fatal else _whole(root)
    config = read_v2(root, version.minor, findings)
    if config is None or source.spec == "native":
        return _whole(root) if config is not None else None
    refused = Findings()
    converted = convert.convert(config, refused)
    findings.extend(refused)
    return v3_config.encode(converted, convert.SPEC) if converted is not None else None


def _whole(root: Node) -> dict[str, Json]:
    value = to_value(root)
    return value if isinstance(value, dict) else {}


def _version(root: Node | None, findings: Findings) -> Version | None:
    ignition = root.child("ignition") if isinstance(root, Mapping) else None
    found = ignition[1].child("version") if ignition is not None and isinstance(ignition[1], Mapping) else None
    text = found[1].value if found is not None else ""
    try:
        version = parse_version(text)
    except VersionError as error:
        findings.error(_VERSION, str(error))
        return None
    known = version.patch == 0 and not version.prerelease and 0 <= version.minor <= NEWEST.get(version.major, -1)
    if not known:
        known_versions = ", ".join(f"{major}.0.0 to {major}.{minor}.0" for major, minor in NEWEST.items())
        findings.error(_VERSION, f"Ignition {text} is not known", hint=f"known are {known_versions}")
    return version if known else None


def read_v2(root: Node, minor: int, findings: Findings) -> v2.Config | None:
    """A checked spec 2.`minor` config as 2.4 sees it, or None when `findings` are fatal."""
    struct = struct_of(v2.Config, minor)
    decoded = decode(struct, to_value(root), findings)
    check_keys(struct, root, findings)
    if findings.is_fatal:
        return None
    config: v2.Config = upgrade(decoded, minor)
    v2_rules.validate(config, findings, minor)
    if minor < 1:
        _check_2_0(config, findings)
    return config if _passed(findings) else None


def _check_2_0(config: v2.Config, findings: Findings) -> None:
    """2.0 fetches by fewer ways, makes fewer kinds of file systems, and has numbers without a sign."""
    created = [(at, user.create) for at, user in enumerate(config.passwd.users) if user.create is not None]
    numbers: list[tuple[Path, int | None]] = [
        *((("passwd", "users", at, "create", "uid"), create.uid) for at, create in created),
        *((("passwd", "groups", at, "gid"), group.gid) for at, group in enumerate(config.passwd.groups)),
        *(
            (("storage", "disks", at, "partitions", index, key), getattr(partition, key))
            for at, disk in enumerate(config.storage.disks)
            for index, partition in enumerate(disk.partitions)
            for key in ("size", "start")
        ),
    ]
    for path, number in numbers:
        if number is not None and number < 0:
            findings.error(path, "numbers of Ignition 2.0.0 are not negative")
    for at, filesystem in enumerate(config.storage.filesystems):
        if filesystem.mount is not None and filesystem.mount.format in ("swap", "vfat"):
            path = ("storage", "filesystems", at, "mount", "format")
            findings.error(path, f"Ignition 2.0.0 makes no {filesystem.mount.format}")
    section = config.ignition.config
    sources: list[tuple[Path, str]] = [
        *((("ignition", "config", "append", at), reference.source) for at, reference in enumerate(section.append)),
        (("ignition", "config", "replace"), section.replace.source if section.replace is not None else ""),
        *((("storage", "files", at, "contents"), file.contents.source) for at, file in enumerate(config.storage.files)),
    ]
    for path, source in sources:
        if source.startswith(("tftp:", "s3:")):
            findings.error((*path, "source"), "Ignition 2.0.0 has no tftp and no s3")


def _passed(findings: Findings) -> bool:
    return not findings.is_fatal


def _check_v3(root: Node, minor: int, findings: Findings) -> None:
    struct = struct_of(v3.Config, minor)
    config: v3.Config = decode(struct, to_value(root), findings)
    check_keys(struct, root, findings, frozenset((_VERSION,)))
    if findings.is_fatal:
        return
    checked = Findings()
    v3_checks.validate(config, minor, checked)
    v3_config.find_duplicates(config, minor, checked)
    for entry, path in checked.entries():
        keys = tuple(json_key(element) if isinstance(element, str) else element for element in path)
        findings.add(entry.severity, keys, entry.message, hint=entry.hint)


def upgrade(config: v2.Config, minor: int) -> v2.Config:
    """A config of 2.`minor` as 2.4: what older versions took for given is said.

    Source: flatcar/ignition v0.36.2, config/v2_1 to v2_4, translate.go.
    """
    storage = config.storage
    if minor < 3:
        storage = replace(storage, disks=tuple(map(_with_sectors, storage.disks)))
    if minor < 2:
        files = tuple(replace(file, mode=file.mode or 0) for file in storage.files)
        directories = tuple(replace(directory, mode=directory.mode or 0) for directory in storage.directories)
        storage = replace(storage, files=files, directories=directories)
    if minor < 1:
        storage = replace(storage, files=tuple(map(_of_2_0, storage.files)))
        section = config.ignition.config
        section = replace(
            section,
            append=tuple(map(_normal, section.append)),
            replace=_normal(section.replace) if section.replace is not None else None,
        )
        config = replace(config, ignition=replace(config.ignition, config=section))
    return replace(config, storage=storage)


def _normal(reference: v2.Reference) -> v2.Reference:
    return replace(reference, source=_normal_url(reference.source))


def _normal_url(source: str) -> str:
    """A URL as 2.0 keeps it: read, and printed again."""
    try:
        return parse_url(source).text
    except UrlError:
        return source  # the rules say it


def _with_sectors(disk: v2.Disk) -> v2.Disk:
    return replace(
        disk,
        partitions=tuple(
            replace(partition, size=partition.size or 0, start=partition.start or 0) for partition in disk.partitions
        ),
    )


def _of_2_0(file: v2.File) -> v2.File:
    """2.0 knows owners by number alone, and 0 is root."""
    user, group = (owner or v2.Owner(id=0) for owner in (file.user, file.group))
    contents = replace(file.contents, source=_normal_url(file.contents.source))
    return replace(file, user=v2.Owner(id=user.id or 0), group=v2.Owner(id=group.id or 0), contents=contents)

"""A Container Linux Config's structs as Ignition 2.3.0: sugar becomes units and files, the rest is carried over.

Source: ct v0.9.4, config/types/*.go. What can't be converted becomes a finding and is left out.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from cl.transpiler.clc import schema
from cl.transpiler.clc.platforms import PLATFORMS, TemplatingError
from cl.transpiler.clc.sizes import SizeError, parse_size
from cl.transpiler.clc.source_map import Generated
from cl.transpiler.clc.units import docker_unit, etcd_unit, flannel_unit, metadata_units
from cl.transpiler.clc.update import update_conf
from cl.transpiler.clc.validate import DEFAULT_DIRECTORY_MODE, DEFAULT_FILE_MODE
from cl.transpiler.gourl import UrlError, parse_url
from cl.transpiler.ignition import v2
from cl.transpiler.ignition.checks import data_url
from cl.transpiler.report import Findings, Path

VERSION = "2.3.0"

_TYPE_GUIDS = {
    "raid_containing_root": "be9067b9-ea49-4f15-b4f6-f36f8c9e1818",
    "linux_filesystem_data": "0fc63daf-8483-4772-8e79-3d69d8477de4",
    "swap_partition": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
    "raid_partition": "a19d880f-05fc-4d3b-a006-743f0f84911e",
}


def convert(
    config: schema.Config, files_dir: FilePath | None, platform: str, findings: Findings
) -> tuple[v2.Config, Generated]:
    """The Ignition config of `config`, and which of its entries no entry of the config stands behind.

    `files_dir` is where `local` paths start. `platform` is one of platforms.PLATFORMS or "".
    """
    if platform and platform not in PLATFORMS:
        hint = f"one of {', '.join(PLATFORMS)}"
        findings.error((), f"platform {platform!r} is not known", hint=hint)
        return v2.Config(), Generated()
    convert = _Conversion(files_dir, findings)
    ignition = convert.ignition(config.ignition)
    disks = convert.disks(config.storage.disks)
    units, origins = convert.generated_units(config, platform)
    files = convert.files(config.storage.files)
    if conf := update_conf(config.update, config.locksmith):
        files += (_update_file(conf),)
    converted = v2.Config(
        ignition=ignition,
        networkd=config.networkd,
        passwd=v2.Passwd(groups=tuple(map(_group, config.passwd.groups)), users=tuple(map(_user, config.passwd.users))),
        storage=v2.Storage(
            directories=tuple(map(_directory, config.storage.directories)),
            disks=disks,
            files=files,
            filesystems=config.storage.filesystems,
            links=tuple(map(_link, config.storage.links)),
            raid=config.storage.raid,
        ),
        systemd=v2.Systemd(units=units + config.systemd.units),
    )
    update_from = "update" if config.update is not None else "locksmith"
    return converted, Generated(units=origins, update_file_at=len(config.storage.files), update_from=update_from)


class _Conversion:
    """The parts that can fail."""

    def __init__(self, files_dir: FilePath | None, findings: Findings) -> None:
        self._files_dir, self._findings = files_dir, findings

    def generated_units(self, config: schema.Config, platform: str) -> tuple[tuple[v2.Unit, ...], tuple[str, ...]]:
        """The units that come before the config's own, and the section behind each ("" for the platform's)."""
        units = list(metadata_units(platform))
        origins = [""] * len(units)
        if config.docker is not None:
            units.append(docker_unit(config.docker))
            origins.append("docker")
        clusters: tuple[tuple[str, Any, Callable[[Any, str], v2.Unit]], ...] = (
            ("etcd", config.etcd, etcd_unit),
            ("flannel", config.flannel, flannel_unit),
        )
        for section, cluster, unit in clusters:
            if cluster is not None:
                origins.append(section)
                try:
                    units.append(unit(cluster, platform))
                except TemplatingError as error:
                    self._findings.error((section,), str(error), hint=error.hint)
        return tuple(units), tuple(origins)

    def ignition(self, ignition: schema.Ignition) -> v2.Ignition:
        config, path = ignition.config, ("ignition", "config")
        for index, reference in enumerate(config.append):
            self._check_url(reference.source, (*path, "append", index, "source"))
        if config.replace is not None:
            self._check_url(config.replace.source, (*path, "replace", "source"))
        authorities = ignition.security.tls.certificate_authorities
        return v2.Ignition(
            config=v2.IgnitionConfig(
                append=tuple(map(_reference, config.append)),
                replace=_reference(config.replace) if config.replace is not None else None,
            ),
            security=v2.Security(tls=v2.Tls(certificate_authorities=tuple(map(_reference, authorities)))),
            timeouts=ignition.timeouts,
            version=VERSION,
        )

    def _check_url(self, url: str, path: Path) -> None:
        try:
            parse_url(url)
        except UrlError as error:
            self._findings.error(path, f"{url!r} is not a URL: {error}")

    def disks(self, disks: tuple[schema.Disk, ...]) -> tuple[v2.Disk, ...]:
        return tuple(
            v2.Disk(
                device=disk.device,
                wipe_table=disk.wipe_table,
                partitions=tuple(
                    self._partition(partition, ("storage", "disks", at, "partitions", index))
                    for index, partition in enumerate(disk.partitions)
                ),
            )
            for at, disk in enumerate(disks)
        )

    def _partition(self, partition: schema.Partition, path: Path) -> v2.Partition:
        size = start = None
        at = "size"
        try:
            size = parse_size(partition.size)
            at = "start"
            start = parse_size(partition.start)
        except SizeError as error:
            self._findings.error((*path, at), str(error))
        return v2.Partition(
            label=partition.label,
            number=partition.number,
            size_mib=size,
            start_mib=start,
            guid=partition.guid,
            type_guid=_TYPE_GUIDS.get(partition.type_guid, partition.type_guid),
        )

    def files(self, files: tuple[schema.File, ...]) -> tuple[v2.File, ...]:
        return tuple(
            v2.File(
                **_node(file),
                append=file.append,
                contents=self._contents(file.contents, ("storage", "files", index, "contents")),
                mode=DEFAULT_FILE_MODE if file.mode is None else file.mode,
            )
            for index, file in enumerate(files)
        )

    def _contents(self, contents: schema.FileContents, path: Path) -> v2.FileContents:
        source = "data:,"
        if contents.inline:
            source = data_url(contents.inline.encode("utf-8", "surrogateescape"))
        elif contents.local:
            source = self._local(contents.local, (*path, "local"))
        elif contents.remote.url:
            source = self._remote(contents.remote.url, (*path, "remote", "url"))
        return v2.FileContents(
            compression=contents.remote.compression,
            source=source or "data:,",  # a URL may be printed as nothing, like #
            verification=_verification(contents.remote.verification),
        )

    def _local(self, local: str, path: Path) -> str:
        if self._files_dir is None or str(self._files_dir) == "":
            hint = "give the directory that local paths start in: files_dir, on the command line --files-dir"
            self._findings.error(path, "a local file needs a files directory", hint=hint)
            return ""
        name = os.path.normpath(f"{self._files_dir}/{local}")  # as Go's path.Join: "../" may leave the directory
        try:
            with open(name, "rb") as file:
                return data_url(file.read())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            missing = None if self._files_dir.is_dir() else f"the files directory {self._files_dir} is no directory"
            self._findings.error(path, f"can't read {name}: {reason.lower()}", hint=missing)
            return ""

    def _remote(self, url: str, path: Path) -> str:
        try:
            return parse_url(url).text
        except UrlError as error:
            self._findings.error(path, f"{url!r} is not a URL: {error}")
            return ""


def _update_file(conf: str) -> v2.File:
    contents = v2.FileContents(source=data_url(conf.encode("utf-8", "surrogateescape")))
    return v2.File(filesystem="root", path="/etc/coreos/update.conf", mode=0o644, contents=contents)


def _verification(verification: schema.Verification) -> v2.Verification:
    hash_ = verification.hash
    if not hash_.function or not hash_.sum:
        return v2.Verification()
    return v2.Verification(hash=f"{hash_.function}-{hash_.sum}")


def _reference(reference: schema.Reference) -> v2.Reference:
    return v2.Reference(source=reference.source, verification=_verification(reference.verification))


def _node(node: schema.File | schema.Directory | schema.Link) -> dict[str, Any]:
    """The fields that files, directories and links share."""
    return {
        "filesystem": node.filesystem or "root",
        "group": node.group,
        "overwrite": node.overwrite,
        "path": node.path,
        "user": node.user,
    }


def _directory(directory: schema.Directory) -> v2.Directory:
    return v2.Directory(**_node(directory), mode=DEFAULT_DIRECTORY_MODE if directory.mode is None else directory.mode)


def _link(link: schema.Link) -> v2.Link:
    return v2.Link(**_node(link), hard=link.hard, target=link.target)


def _group(group: v2.Group) -> v2.Group:
    return replace(group, gid=_signed(group.gid))


def _user(user: v2.User) -> v2.User:
    create = user.create
    return replace(user, create=replace(create, uid=_signed(create.uid))) if create is not None else user


def _signed(number: int | None) -> int | None:
    """An unsigned number as ct hands it on: above 2**63 it wraps around."""
    return number - 2**64 if number is not None and number >= 2**63 else number

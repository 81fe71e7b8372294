"""A Butane config into an Ignition config: sugar becomes what Ignition knows (butane's base/*/translate.go).

Local files are read in here. Where something generated comes from is noted in `Origins`.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path as FilePath

from cl.transpiler.butane import boot_device, contents, mounts, quadlets, schema, trees
from cl.transpiler.butane.contents import LocalFileError
from cl.transpiler.butane.decode import Version
from cl.transpiler.butane.origins import Origins
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.checks import data_url
from cl.transpiler.report import Findings, Path

_LINE_END = re.compile(r"\r?\n")


def to_ignition(
    config: schema.Butane, version: Version, files_dir: FilePath | None, findings: Findings
) -> tuple[v3.Config, Origins]:
    """The config without sugar, and where its parts come from; of no use when `findings` are fatal."""
    translated, origins = _to_ignition(config, version.spec, files_dir, findings)
    if config.variant == "fcos" and not findings.is_fatal:
        return boot_device.add_fcos_sugar(config, version, translated, origins, findings)
    return translated, origins


def _to_ignition(
    config: schema.Butane, spec: int, files_dir: FilePath | None, findings: Findings
) -> tuple[v3.Config, Origins]:
    translation = _Translation(spec, files_dir, findings)
    storage = config.storage
    translated = v3.Config(
        ignition=translation.ignition(config.ignition),
        kernel_arguments=config.kernel_arguments,
        passwd=v3.Passwd(groups=config.passwd.groups, users=translation.users(config.passwd)),
        storage=v3.Storage(
            directories=storage.directories,
            disks=storage.disks,
            files=translation.files(storage),
            filesystems=storage.filesystems,
            links=storage.links,
            luks=translation.luks(storage),
            raid=storage.raid,
        ),
        systemd=v3.Systemd(units=translation.units(config.systemd)),
    )
    origins = translation.origins
    translated, origins = mounts.add_mount_units(storage, translated, spec, origins)
    tree = trees.Trees(translated.storage, spec, files_dir, findings, origins)
    tree.add(storage.trees)
    translated = dataclasses.replace(translated, storage=tree.storage())
    if config.systemd.quadlets:
        nodes = quadlets.Quadlets(translated.storage, spec, files_dir, findings, origins)
        nodes.add(config.systemd.quadlets)
        translated = dataclasses.replace(translated, storage=nodes.storage())
    return translated, origins


class _Translation:
    """Translates one config; the paths of what it generates from sugar go into `origins`."""

    def __init__(self, spec: int, files_dir: FilePath | None, findings: Findings) -> None:
        self._spec, self._files_dir, self._findings = spec, files_dir, findings
        self.origins = Origins()

    def ignition(self, ignition: schema.Ignition) -> v3.Ignition:
        section, authorities = ignition.config, ignition.security.tls.certificate_authorities
        where = ("ignition", "config")
        return v3.Ignition(
            config=v3.ConfigSection(
                merge=tuple(self._resource(r, (*where, "merge", i)) for i, r in enumerate(section.merge)),
                replace=self._resource(section.replace, (*where, "replace")),
            ),
            proxy=ignition.proxy,
            security=v3.Security(
                tls=v3.TLS(
                    certificate_authorities=tuple(
                        self._resource(r, ("ignition", "security", "tls", "certificate_authorities", i))
                        for i, r in enumerate(authorities)
                    )
                )
            ),
            timeouts=ignition.timeouts,
        )

    def users(self, passwd: schema.Passwd) -> tuple[v3.PasswdUser, ...]:
        return tuple(self._user(user, ("passwd", "users", i)) for i, user in enumerate(passwd.users))

    def files(self, storage: schema.Storage) -> tuple[v3.File, ...]:
        return tuple(self._file(file, ("storage", "files", i)) for i, file in enumerate(storage.files))

    def luks(self, storage: schema.Storage) -> tuple[v3.Luks, ...]:
        return tuple(self._luks(luks, ("storage", "luks", i)) for i, luks in enumerate(storage.luks))

    def units(self, systemd: schema.Systemd) -> tuple[v3.Unit, ...]:
        return tuple(self._unit(unit, ("systemd", "units", i)) for i, unit in enumerate(systemd.units))

    def _file(self, file: schema.File, path: Path) -> v3.File:
        return v3.File(
            group=file.group,
            overwrite=file.overwrite,
            path=file.path,
            user=file.user,
            append=tuple(self._resource(r, (*path, "append", i)) for i, r in enumerate(file.append)),
            contents=self._resource(file.contents, (*path, "contents")),
            mode=file.mode,
        )

    def _luks(self, luks: schema.Luks, path: Path) -> v3.Luks:
        values = {field.name: getattr(luks, field.name) for field in dataclasses.fields(v3.Luks)}
        return v3.Luks(**{**values, "key_file": self._resource(luks.key_file, (*path, "key_file"))})

    def _resource(self, resource: schema.Resource, path: Path) -> v3.Resource:
        source, compression = resource.source, resource.compression
        sugar = "local" if resource.local is not None else "inline"
        data = resource.inline.encode("utf-8", "surrogateescape") if resource.inline is not None else None
        if resource.local is not None:
            data = self._read(resource.local, (*path, "local"))
        if data is not None:
            self.origins.note((*path, "source"), (*path, sugar))
            if self._spec == 0:  # before 3.1 the text was escaped and no more
                source = data_url(data)
            else:
                if not compression:
                    self.origins.note((*path, "compression"), (*path, sugar))
                source, compression = contents.encode(data, compression)
        return v3.Resource(
            compression=compression,
            http_headers=resource.http_headers,
            source=source,
            verification=resource.verification,
        )

    def _read(self, name: str, path: Path) -> bytes | None:
        try:
            return contents.read_local(name, self._files_dir)
        except LocalFileError as error:
            self._findings.error(path, str(error), hint=error.hint)
            return None

    def _user(self, user: schema.PasswdUser, path: Path) -> v3.PasswdUser:
        if not user.ssh_authorized_keys_local:
            return user
        keys, sugar = list(user.ssh_authorized_keys), (*path, "ssh_authorized_keys_local")
        self.origins.note((*path, "ssh_authorized_keys"), sugar)
        if self._files_dir is None:
            self._findings.error(sugar, contents.NO_FILES_DIR, hint=contents.NO_FILES_DIR_HINT)
            return user
        for index, name in enumerate(user.ssh_authorized_keys_local):
            data = self._read(name, (*sugar, index))
            for line in _LINE_END.split((data or b"").decode("utf-8", "surrogateescape")):
                if line:
                    self.origins.note((*path, "ssh_authorized_keys", len(keys)), (*sugar, index))
                    keys.append(line)
        return dataclasses.replace(user, ssh_authorized_keys=tuple(keys))

    def _unit(self, unit: schema.Unit, path: Path) -> v3.Unit:
        return v3.Unit(
            contents=self._text(unit, path),
            dropins=tuple(self._dropin(d, (*path, "dropins", i)) for i, d in enumerate(unit.dropins)),
            enabled=unit.enabled,
            mask=unit.mask,
            name=unit.name,
        )

    def _dropin(self, dropin: schema.Dropin, path: Path) -> v3.Dropin:
        return v3.Dropin(contents=self._text(dropin, path), name=dropin.name)

    def _text(self, unit: schema.Unit | schema.Dropin, path: Path) -> str | None:
        if not unit.contents_local:
            return unit.contents
        data = self._read(unit.contents_local, (*path, "contents_local"))
        self.origins.note((*path, "contents"), (*path, "contents_local"))
        return None if data is None else data.decode("utf-8", "surrogateescape")

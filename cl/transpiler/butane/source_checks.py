# ruff: noqa: ARG001 - every check takes the same arguments
"""What Butane itself checks in a config before it is translated (butane's base/*/validate.go)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from cl.transpiler.butane import embedded, schema
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3_config import nested_structs
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import Struct

Check = Callable[[Any, Path, Findings, int], None]

QUADLET_SUFFIXES = (".container", ".volume", ".network", ".kube", ".image", ".build", ".pod", ".artifact")


def check_source(struct: Struct, value: object, path: Path, findings: Findings) -> None:
    """The checks of a struct and of all structs in it, parents first."""
    check, nested = _plan(struct)
    if check is not None:
        check(value, path, findings, struct.spec or 0)
    for name, many, inner in nested:
        item = getattr(value, name)
        if many:
            for index, entry in enumerate(item):
                check_source(inner, entry, (*path, name, index), findings)
        else:  # no struct that may be None has a check
            check_source(inner, item, (*path, name), findings)


@cache
def _plan(struct: Struct) -> tuple[Check | None, tuple[tuple[str, bool, Struct], ...]]:
    """The struct's own check, and the fields beneath which there is something to check."""
    nested = tuple(field for field in nested_structs(struct) if any(_plan(field[2])))
    return _CHECKS.get(struct.cls), nested


def _resource(resource: schema.Resource, path: Path, findings: Findings, spec: int) -> None:
    given = [name for name in ("local", "inline", "source") if getattr(resource, name) is not None]
    if len(given) > 1:
        # Before 3.1 there was no local, and the text was taken as the one too many.
        where = given[-1] if spec > 0 else "inline"
        findings.error((*path, where), "contents come from one of inline, local and source")
    elif given == ["inline"] and spec > 0 and path[:2] == ("ignition", "config"):
        embedded.check_config(resource.inline or "", path, findings, spec)


def _filesystem(filesystem: schema.Filesystem, path: Path, findings: Findings, spec: int) -> None:
    if not filesystem.with_mount_unit:
        return
    if not filesystem.path and spec < 3:
        findings.error((*path, "path"), "with_mount_unit needs a path to mount the file system at")
    if not filesystem.format:
        findings.error((*path, "format"), "with_mount_unit needs the format of the file system")
    elif filesystem.format != "swap" and not filesystem.path and spec >= 3:
        findings.error((*path, "path"), "with_mount_unit needs a path to mount the file system at")


def _directory(directory: v3.Directory, path: Path, findings: Findings, spec: int) -> None:
    _mode(directory.mode, True, path, findings)


def _file(file: v3.File, path: Path, findings: Findings, spec: int) -> None:
    _mode(file.mode, False, path, findings)


def _mode(mode: int | None, directory: bool, path: Path, findings: Findings) -> None:
    if mode is None or not 0 <= mode <= 7777 or set(str(mode)) & {"8", "9"}:
        return
    if not plausible_mode(mode, directory) and plausible_mode(int(str(mode), 8), directory):
        message = f"the mode {mode:#o} is unusual, but {mode:04d} would not be: a leading 0 makes it octal"
        findings.warning((*path, "mode"), message, hint=f"write 0{mode}")


@cache
def plausible_mode(mode: int, directory: bool) -> bool:
    """False for permissions that nobody means: more for others than for the owner, writing without reading, …"""
    if mode == 0:
        return True
    read = write = execute = False
    for shift in (0, 3, 6):
        bits = mode >> shift & 7
        r, w, x = bool(bits & 4), bool(bits & 2), bool(bits & 1)
        if (read and not r) or (write and not w) or (execute and not x):
            return False
        if (x and read and not execute) or ((w or x) and not r):
            return False
        read, write, execute = read or r, write or w, execute or x
    if not read:
        return False
    if directory:
        return execute and not mode & 0o4000 and (write or not mode & 0o3000)
    return not mode & 0o1000 and (not mode & 0o6000 or (execute and not mode & 0o2))


def _tree(tree: schema.Tree, path: Path, findings: Findings, spec: int) -> None:
    if not tree.local:
        findings.error(path, "a tree needs local, the directory that it is read from")


def _unit(unit: schema.Unit | schema.Dropin | schema.Quadlet, path: Path, findings: Findings, spec: int) -> None:
    if unit.contents is not None and unit.contents_local is not None:
        findings.error((*path, "contents_local"), "the text comes from one of contents and contents_local")


def _quadlet(quadlet: schema.Quadlet, path: Path, findings: Findings, spec: int) -> None:
    if not quadlet.name.endswith(QUADLET_SUFFIXES):
        findings.error((*path, "name"), f"the name of a quadlet ends in one of {', '.join(QUADLET_SUFFIXES)}")
    elif template_of(quadlet.name) is None:
        _unit(quadlet, path, findings, spec)
    else:
        for name in ("contents", "contents_local"):
            if getattr(quadlet, name) is not None:
                findings.error((*path, name), "an instance of a template has no text of its own")


def template_of(name: str) -> str | None:
    """`web@.container` for the instance `web@1.container`, None for other names."""
    base, at, _ = name.partition("@")
    dot = name.rfind(".")
    if not at or dot < 0 or dot == len(base) + 1:
        return None
    return f"{base}@.{name[dot + 1 :]}"


def _boot_device(device: schema.BootDevice, path: Path, findings: Findings, spec: int) -> None:
    if device.mirror.devices and device.layout is None:
        findings.warning((*path, "mirror"), "a mirror goes with a layout: aarch64, ppc64le or x86_64 (taken now)")
    if device.layout not in (None, "aarch64", "ppc64le", "x86_64"):
        findings.error((*path, "layout"), "the layout is one of aarch64, ppc64le, x86_64")
    _mirror(device.mirror, (*path, "mirror"), findings, spec)


def _mirror(mirror: schema.BootDeviceMirror, path: Path, findings: Findings, spec: int) -> None:
    if len(mirror.devices) == 1:
        findings.error((*path, "devices"), "a mirror needs two devices or more")


def _grub_user(user: schema.GrubUser, path: Path, findings: Findings, spec: int) -> None:
    if not user.name:
        findings.error((*path, "name"), "a user of GRUB needs a name")
    if not user.password_hash:
        findings.error((*path, "password_hash"), "a user of GRUB needs a password_hash")


_CHECKS: dict[type[Any], Check] = {
    schema.Resource: _resource,
    schema.Filesystem: _filesystem,
    v3.Directory: _directory,
    schema.File: _file,
    schema.Tree: _tree,
    schema.Unit: _unit,
    schema.Dropin: _unit,
    schema.Quadlet: _quadlet,
    schema.BootDevice: _boot_device,
    schema.BootDeviceMirror: _mirror,
    schema.GrubUser: _grub_user,
}

"""YAML nodes to Butane's structs: which variant and version it is, the structs, and the keys that nothing reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from cl.transpiler.butane.schema import Butane
from cl.transpiler.dialect import UnreadableError
from cl.transpiler.gotext import VersionError, parse_version
from cl.transpiler.ignition import v3
from cl.transpiler.report import Findings, Key, Path, did_you_mean
from cl.transpiler.schema import Decoder, Field, Struct, struct_of
from cl.transpiler.yamlnode import Alias, Mapping, Node, Scalar, Sequence


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a variant: which 3.x of Ignition it becomes, and which top-level keys it lacks."""

    spec: int
    hidden: frozenset[str]

    @property
    def struct(self) -> Struct:
        """The schema of a whole config in this version."""
        return struct_of(Butane, self.spec, self.hidden)


_CLC_SECTIONS = frozenset(("docker", "etcd", "flannel", "locksmith", "networkd", "update"))
_OF_CLC = "a section of Container Linux Config: `--to butane` rewrites a whole one"
_FLATCAR = frozenset(("boot_device", "grub"))
VERSIONS = {
    ("flatcar", "1.0.0"): Version(3, _FLATCAR),
    ("flatcar", "1.1.0"): Version(4, _FLATCAR),
    ("flatcar", "1.2.0-experimental"): Version(v3.EXPERIMENTAL, _FLATCAR),
    ("fcos", "1.0.0"): Version(0, _FLATCAR),
    ("fcos", "1.1.0"): Version(1, _FLATCAR),
    ("fcos", "1.2.0"): Version(2, _FLATCAR),
    ("fcos", "1.3.0"): Version(2, frozenset(("grub",))),
    ("fcos", "1.4.0"): Version(3, frozenset(("grub",))),
    ("fcos", "1.5.0"): Version(4, frozenset()),
}
"""The supported versions by variant and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    version: str = ""
    variant: str = ""


def find_version(variant: str, version: str, findings: Findings) -> Version | None:
    """The version of a config; None, and an error, when it isn't one that can be read."""
    variants = sorted({name for name, _ in VERSIONS})
    if not variant:
        findings.error(("variant",), "a Butane config names its variant", hint="variant: flatcar")
        return None
    try:
        exact = str(parse_version(version))
    except VersionError as error:
        findings.error(("version",), f"a Butane config names its version: {error}", hint="version: 1.1.0")
        return None
    if (found := VERSIONS.get((variant, exact))) is not None:
        return found
    known = [number for name, number in VERSIONS if name == variant]
    if known:
        findings.error(
            ("version",), f"version {exact} of {variant} is not supported", hint=f"one of {', '.join(known)}"
        )
    else:
        close = did_you_mean(variant, variants)
        hint = close or f"one of {', '.join(variants)}"
        findings.error(("variant",), f"variant {variant} is not supported", hint=hint)
    return None


def decode(root: Node | None, findings: Findings) -> tuple[Butane, Version]:
    """The config in a node tree, with warnings for unused keys. Raises UnreadableError."""
    common = cast(_Common, _decode(struct_of(_Common), root))
    wrong = Findings()
    version = find_version(common.variant, common.version, wrong)
    if version is None:
        raise UnreadableError(wrong)
    config = cast(Butane, _decode(version.struct, root))
    _unused_keys(version.struct, config, root, (), findings)
    return config, version


def _decode(struct: Struct, root: Node | None) -> object:
    decoder = Decoder(late_merge=True)
    value = decoder.decode_struct(struct, root)
    if decoder.problems:
        wrong = Findings()
        for problem in decoder.problems:
            wrong.error((), problem.message, position=(problem.line, problem.column))
        raise UnreadableError(wrong)
    return value


def _unused_keys(struct: Struct, value: Any, node: Node | None, path: Path, findings: Findings) -> None:
    """Warn of each key in `node` that the struct lacks.

    Where something else than a mapping stands in for one (an alias, a null), keys can't be told apart.
    """
    if not isinstance(node, Mapping):
        message = "this is not a mapping in the text: unused keys in it are not reported, and places may be off"
        findings.warning(path, message)
        return
    fields = struct.fields
    for key, child in node.pairs:
        name = key.value
        field = fields.get(name)
        if field is None:
            hint = _OF_CLC if name in _CLC_SECTIONS and not path else did_you_mean(name, fields)
            findings.warning((*path, Key(name)), f"unused key {name!r}", hint=hint)
        else:
            _unused_in_field(field, getattr(value, field.name), child, (*path, name), findings)


def _unused_in_field(field: Field, value: Any, node: Node, path: Path, findings: Findings) -> None:
    item = field.type.item
    if item is None:
        absent = value is None and isinstance(node, (Scalar, Alias))
        if field.type.struct is not None and not (absent and "pointer_until" in field.metadata and _old(field)):
            _unused_keys(field.type.struct, value, node, path, findings)
    elif item.struct is not None and isinstance(node, Sequence):
        for index, (entry, child) in enumerate(zip(value, node.items, strict=False)):
            _unused_keys(item.struct, entry, child, (*path, index), findings)


def _old(field: Field) -> bool:
    """True where Ignition's own schema has a pointer, so that a null is nothing at all."""
    struct = field.type.struct
    return struct is not None and (struct.spec or 0) <= int(field.metadata["pointer_until"])

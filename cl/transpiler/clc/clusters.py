"""The `etcd` and `flannel` sections: structs whose options depend on the version that they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, ClassVar

from cl.transpiler.clc.options import etcd_options, flannel_options, option_table
from cl.transpiler.gotext import Version, VersionError, parse_version
from cl.transpiler.schema import MISSING, Decoder, Struct
from cl.transpiler.structs import struct
from cl.transpiler.yamlnode import Mapping as MappingNode
from cl.transpiler.yamlnode import YamlError

Options = Mapping[str, str | int | bool | None]
"""The options that the config has, by YAML key; an explicit null is None and counts as not given."""


@struct
class Cluster:
    """What both have. `version` None: the image is the system's choice, the options are those of `usual`.

    `head` has the keys that every version has, `options_of` those of a version (major, minor).
    """

    version: Version | None = None
    options: Options = field(default_factory=dict)

    usual: ClassVar[Version]
    head: ClassVar[Struct] = option_table("version")
    options_of: ClassVar[Callable[[int, int], Struct]]

    @classmethod
    def from_node(cls, node: MappingNode, decoder: Decoder) -> object:
        """Raises YamlError when the version can't be read."""
        head: Any = decoder.struct(cls.head, node)
        if head is MISSING:
            return MISSING
        version = _read_version(head.pop("version", None), node)
        known = cls._known(version)
        options: Any = decoder.struct(known, node)
        given = {name: options[name] for name in known.fields if options.get(name) is not None}
        texts = {name: text for name, text in head.items() if text is not None}
        return cls(version=version, options=given, **texts)

    @classmethod
    def _known(cls, version: Version | None) -> Struct:
        version = version or cls.usual
        return cls.options_of(version.major, version.minor)

    def keys(self) -> tuple[str, ...]:
        """The YAML keys that this version knows."""
        return (*self.head.fields, *self._known(self.version).fields)


@struct
class Etcd(Cluster):
    """The `etcd` section."""

    usual: ClassVar[Version] = Version(major=3, minor=5, patch=0)
    options_of: ClassVar[Callable[[int, int], Struct]] = staticmethod(etcd_options)


@struct
class Flannel(Cluster):
    """The `flannel` section. `network_config` is a JSON object as text."""

    network_config: str = ""

    usual: ClassVar[Version] = Version(major=0, minor=6, patch=0)
    head: ClassVar[Struct] = option_table("version network_config")
    options_of: ClassVar[Callable[[int, int], Struct]] = staticmethod(flannel_options)


def _read_version(text: str | None, node: MappingNode) -> Version | None:
    if text is None:
        return None
    try:
        return parse_version(text)
    except VersionError as error:
        _, at = node.child("version") or (None, node)
        raise YamlError(str(error), at.line, at.column) from None

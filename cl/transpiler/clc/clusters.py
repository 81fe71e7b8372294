"""The `etcd` and `flannel` sections: nouns whose options depend on the version that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from cl.transpiler.clc.options import etcd_options, flannel_options
from cl.transpiler.gotext import Version, VersionError, parse_version
from cl.transpiler.noun import noun
from cl.transpiler.schema import MISSING, Decoder, Noun, noun_of
from cl.transpiler.yamlnode import Mapping as MappingNode
from cl.transpiler.yamlnode import YamlError

Options = Mapping[str, str | int | bool | None]
"""The options that the config has, by YAML key; an explicit null is None and counts as not given."""

ETCD_DEFAULT = Version(major=3, minor=5, patch=0)
FLANNEL_DEFAULT = Version(major=0, minor=6, patch=0)


@noun
class _EtcdHead:
    version: str | None = None


@noun
class _FlannelHead:
    version: str | None = None
    network_config: str = ""


def _decode_version(text: str | None, node: MappingNode) -> Version | None:
    if text is None:
        return None
    try:
        return parse_version(text)
    except VersionError as error:
        pair = node.child("version")
        at = pair[1] if pair else node
        raise YamlError(str(error), at.line, at.column) from None


def _decode_options(noun: Noun, node: MappingNode, decoder: Decoder) -> Options:
    options: Any = decoder.struct(noun, node)
    return {name: options[name] for name in noun.fields if options.get(name) is not None}


@noun
class Etcd:
    """`version` None means that the image is the system's choice; the options are then those of 3.5."""

    version: Version | None = None
    options: Options = field(default_factory=dict)

    @classmethod
    def from_node(cls, node: MappingNode, decoder: Decoder) -> object:
        """Raises YamlError when the version can't be read."""
        head: Any = decoder.struct(noun_of(_EtcdHead), node)
        if head is MISSING:
            return MISSING
        version = _decode_version(head.version, node)
        known = version or ETCD_DEFAULT
        return cls(version=version, options=_decode_options(etcd_options(known.major, known.minor), node, decoder))

    def keys(self) -> tuple[str, ...]:
        """The YAML keys that this version knows."""
        known = self.version or ETCD_DEFAULT
        return ("version", *etcd_options(known.major, known.minor).fields)


@noun
class Flannel:
    """`network_config` is a JSON object as text; the options without a version are those of 0.6."""

    version: Version | None = None
    network_config: str = ""
    options: Options = field(default_factory=dict)

    @classmethod
    def from_node(cls, node: MappingNode, decoder: Decoder) -> object:
        """Raises YamlError when the version can't be read."""
        head: Any = decoder.struct(noun_of(_FlannelHead), node)
        if head is MISSING:
            return MISSING
        version = _decode_version(head.version, node)
        known = version or FLANNEL_DEFAULT
        options = _decode_options(flannel_options(known.major, known.minor), node, decoder)
        return cls(version=version, network_config=head.network_config, options=options)

    def keys(self) -> tuple[str, ...]:
        """The YAML keys that this version knows."""
        known = self.version or FLANNEL_DEFAULT
        return ("version", "network_config", *flannel_options(known.major, known.minor).fields)

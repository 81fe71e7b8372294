"""JSON nodes into Ignition's nouns, as strictly as Go's encoding/json: a number is no text, 1.0 no integer."""

from __future__ import annotations

from functools import cache
from typing import Any

from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Findings, Key, Path, did_you_mean
from cl.transpiler.schema import Field, Noun, Type
from cl.transpiler.yamlnode import Mapping, Node, Scalar, Sequence

NOTHING: Any = object()
"""What decoding gives for a null and for a value of the wrong type."""

_TAGS = {"str": "!!str", "bool": "!!bool", "int": "!!int", "uint": "!!int"}


def decode(noun: Noun, node: Node, findings: Findings, ignore: frozenset[Path] = frozenset()) -> Any:
    """The noun in `node`, empty where `findings` get an error: a value of the wrong type.

    Keys that the noun doesn't know, and keys that are given twice, are warnings; `ignore` holds paths of keys
    that are not looked at.
    """
    return _Decoder(findings, ignore).value(Type("noun", noun=noun), node, ())


@cache
def _fields(noun: Noun) -> dict[str, Field]:
    return {json_key(field.name): field for field in noun.fields.values()}


class _Decoder:
    def __init__(self, findings: Findings, ignore: frozenset[Path]) -> None:
        self._findings, self._ignore = findings, ignore

    def value(self, kind: Type, node: Node, path: Path) -> Any:
        if node.tag == "!!null":
            return NOTHING if kind.noun is None or path else kind.noun.cls()
        if kind.noun is not None and isinstance(node, Mapping):
            return self._noun(kind.noun, node, path)
        if kind.item is not None and isinstance(node, Sequence):
            values = [self.value(kind.item, item, (*path, index)) for index, item in enumerate(node.items)]
            return tuple(value for value in values if value is not NOTHING)
        if isinstance(node, Scalar) and node.tag == _TAGS.get(kind.kind):
            return self._scalar(kind, node, path)
        self._findings.error(path, f"expected {kind.describe()}, found {_shown(node)}")
        return NOTHING

    def _scalar(self, kind: Type, node: Scalar, path: Path) -> object:
        if kind.kind == "str":
            return node.value
        if kind.kind == "bool":
            return node.value == "true"
        number = int(node.value) if len(node.value) < 25 else 2**64
        if -(2**63) <= number < 2**63:
            return number
        self._findings.error(path, f"the number {_shown(node)} doesn't fit 64 bits")
        return NOTHING

    def _noun(self, noun: Noun, node: Mapping, path: Path) -> object:
        known, values, seen = _fields(noun), dict[str, object](), set[str]()
        for key, value in node.pairs:
            where = (*path, key.value)
            if key.value in seen:
                self._findings.warning(
                    (*path, Key(key.value)), f"key {key.value!r} is given twice: the last one counts"
                )
            seen.add(key.value)
            if where in self._ignore:
                continue
            field = known.get(key.value)
            if field is None:
                hint = did_you_mean(key.value, known)
                self._findings.warning((*path, Key(key.value)), f"key {key.value!r} is not known here", hint=hint)
            elif (decoded := self.value(field.type, value, where)) is not NOTHING:
                values[field.name] = decoded
        return noun.cls(**values)


def _shown(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    text = node.value if len(node.value) <= 24 else node.value[:21] + "..."
    return f"the text {text!r}" if node.tag == "!!str" else text

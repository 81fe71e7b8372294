"""JSON into Ignition's nouns, as Go's encoding/json does it, which Ignition reads its configs with.

A number is no text, 1.0 no integer; a key is found in any spelling of its letters; null says nothing, and as an item
of a list it is an empty item.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Findings, Key, Path, did_you_mean
from cl.transpiler.schema import Field, Noun, Type
from cl.transpiler.yamlnode import Mapping, Node, Sequence

_NOTHING: Any = object()
"""What decoding gives for a null and for a value of the wrong type."""
_PYTHON = {"str": str, "bool": bool, "int": int}


def decode(noun: Noun, value: Any, findings: Findings) -> Any:
    """The noun in a parsed JSON value, empty where `findings` get an error: a value of the wrong type."""
    decoded = _decode(Type("noun", noun=noun), value, (), findings)
    return noun.cls() if decoded is _NOTHING else decoded


@cache
def _fields(noun: Noun) -> dict[str, Field]:
    """By their JSON keys in small letters."""
    return {json_key(field.name).casefold(): field for field in noun.fields.values()}


def _decode(kind: Type, value: Any, path: Path, findings: Findings) -> Any:
    if value is None:
        return _NOTHING
    if kind.noun is not None and isinstance(value, dict):
        known, values = _fields(kind.noun), {}
        for key, inner in value.items():
            field = known.get(key.casefold())
            if field is not None and (decoded := _decode(field.type, inner, (*path, key), findings)) is not _NOTHING:
                values[field.name] = decoded
        return kind.noun.cls(**values)
    if kind.item is not None and isinstance(value, list):
        items = [_decode(kind.item, item, (*path, index), findings) for index, item in enumerate(value)]
        return tuple(_empty(kind.item) if item is _NOTHING else item for item in items)
    if type(value) is not _PYTHON.get(kind.kind):
        findings.error(path, f"expected {kind.describe()}, found {_shown(value)}")
        return _NOTHING
    if type(value) is int and not -(2**63) <= value < 2**63:
        findings.error(path, f"the number {_shown(value)} doesn't fit 64 bits")
        return _NOTHING
    return value


def _empty(item: Type) -> object:
    return item.noun.cls() if item.noun is not None else ""


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "a mapping"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    text = text if len(text) <= 24 else text[:21] + "..."
    return f"the text {text!r}" if isinstance(value, str) else text


def check_keys(noun: Noun, node: Node, findings: Findings, ignore: frozenset[Path] = frozenset()) -> None:
    """Warn of keys that the noun doesn't know or that are given twice; `ignore` holds paths that are not looked at."""
    _check_keys(Type("noun", noun=noun), node, (), findings, ignore)


def _check_keys(kind: Type, node: Node, path: Path, findings: Findings, ignore: frozenset[Path]) -> None:
    if kind.item is not None and isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            _check_keys(kind.item, item, (*path, index), findings, ignore)
    if kind.noun is None or not isinstance(node, Mapping):
        return
    known, seen = {json_key(field.name): field for field in kind.noun.fields.values()}, set[str]()
    for key, value in node.pairs:
        where, name = (*path, key.value), (*path, Key(key.value))
        if key.value in seen:
            findings.warning(name, f"key {key.value!r} is given twice: the last one counts")
        seen.add(key.value)
        field = known.get(key.value)
        if field is not None:
            _check_keys(field.type, value, where, findings, ignore)
        elif where not in ignore:
            findings.warning(name, f"key {key.value!r} is not known here", hint=did_you_mean(key.value, known))

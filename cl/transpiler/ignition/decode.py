"""JSON into Ignition's structs, as Go's encoding/json does it, which Ignition reads its configs with.

A number is no text, 1.0 no integer; a key is found in any spelling of its letters; null says nothing, and as an item
of a list it is an empty item.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Findings, Key, Path, did_you_mean
from cl.transpiler.schema import Field, Struct, Type
from cl.transpiler.yamlnode import Mapping, Node, Sequence

_NOTHING: Any = object()
"""What decoding gives for a null and for a value of the wrong type."""
_PYTHON = {"str": str, "bool": bool, "int": int}


class Object(dict[str, Any]):
    """A JSON object; `pairs` has what stands under a key that comes again, too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def pairs_of(document: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The keys and values of an object, as often as they come where that is known."""
    return document.pairs if isinstance(document, Object) else document.items()


def decode(struct: Struct, value: Any, findings: Findings) -> Any:
    """The struct in a parsed JSON value, empty where `findings` get an error: a value of the wrong type."""
    decoded = _NOTHING if value is None else _decode(Type("struct", struct=struct), value, (), findings, None)
    return struct.cls() if decoded is _NOTHING else decoded


@cache
def _fields(struct: Struct) -> dict[str, Field]:
    """By their JSON keys in small letters."""
    return {json_key(field.name).casefold(): field for field in struct.fields.values()}


def _decode(kind: Type, value: Any, path: Path, findings: Findings, old: Any) -> Any:
    """`old` is what an earlier value under the same key has given: objects and lists are filled further."""
    if kind.struct is not None and isinstance(value, dict):
        return _struct(kind.struct, value, path, findings, old)
    if kind.item is not None and isinstance(value, list):
        before = [*(old or ()), *[None] * len(value)]
        return tuple(
            _item(kind.item, item, (*path, index), findings, before[index]) for index, item in enumerate(value)
        )
    if type(value) is not _PYTHON.get(kind.kind):
        findings.error(path, f"expected {kind.describe()}, found {_shown(value)}")
        return _NOTHING
    if type(value) is int and not -(2**63) <= value < 2**63:
        findings.error(path, f"the number {_shown(value)} doesn't fit 64 bits")
        return _NOTHING
    return value


def _struct(struct: Struct, document: dict[str, Any], path: Path, findings: Findings, old: Any) -> object:
    known = _fields(struct)
    values = {} if old is None else {field.name: getattr(old, field.name) for field in known.values()}
    for key, value in pairs_of(document):
        field = known.get(key.casefold())
        if field is None:
            continue
        if value is None:
            if field.type.optional or field.type.item is not None:
                values.pop(field.name, None)
            continue
        decoded = _decode(field.type, value, (*path, key), findings, values.get(field.name))
        if decoded is not _NOTHING:
            values[field.name] = decoded
    return struct.cls(**values)


def _item(kind: Type, value: Any, path: Path, findings: Findings, old: Any) -> object:
    decoded = _NOTHING if value is None else _decode(kind, value, path, findings, old)
    return (_empty(kind) if old is None else old) if decoded is _NOTHING else decoded


def _empty(item: Type) -> object:
    return item.struct.cls() if item.struct is not None else ""


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "a mapping"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    text = text if len(text) <= 24 else text[:21] + "..."
    return f"the text {text!r}" if isinstance(value, str) else text


def check_keys(struct: Struct, node: Node, findings: Findings, ignore: frozenset[Path] = frozenset()) -> None:
    """Warn of keys that the struct doesn't know or that are given twice; paths in `ignore` are not looked at."""
    _check_keys(Type("struct", struct=struct), node, (), findings, ignore)


def _check_keys(kind: Type, node: Node, path: Path, findings: Findings, ignore: frozenset[Path]) -> None:
    if kind.item is not None and isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            _check_keys(kind.item, item, (*path, index), findings, ignore)
    if kind.struct is None or not isinstance(node, Mapping):
        return
    known, seen = {json_key(field.name): field for field in kind.struct.fields.values()}, set[str]()
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

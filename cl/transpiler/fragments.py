"""Fragments: partial Ignition 3 configs as data, laid over a config by the merge that snippets have.

For who adds to a config that is transpiled already. What no fragment names stays as it is, to the order of its keys,
so that the same config and fragments make the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from cl.transpiler.ignition import v3
from cl.transpiler.ignition.names import json_key
from cl.transpiler.ignition.v3_config import keyed_lists
from cl.transpiler.schema import Struct, Type, struct_of

Fragment = Mapping[str, Any]
"""A decoded Ignition config of which any part may be missing, its version too."""


def merged(config: Fragment, *fragments: Fragment) -> dict[str, Any]:
    """`config`, a decoded Ignition 3 config, with `fragments` laid over it in order; nothing given is changed.

    As in Ignition's own merge a fragment's values win, null is no value, lists merge by key (files, directories and
    links by path, units by name, file systems by device, …) and lists without a key are joined. Keys and entries
    that are new come last.
    """
    out = dict(config)
    for fragment in fragments:
        out = _over(struct_of(v3.Config), out, fragment)
    return out


@cache
def _fields(struct: Struct) -> dict[str, Type]:
    return {json_key(field.name): field.type for field in struct.fields.values()}


@cache
def _keys(struct: Struct) -> dict[str, tuple[str, Callable[[Any], str]]]:
    """The lists whose entries have keys, by JSON key: a name for those that share them, and how to read one."""
    return {json_key(name): (group, key) for name, group, key in keyed_lists(struct)}


class _Entry:
    """An entry of a list with its values as attributes, as the structs have them."""

    def __init__(self, values: Fragment) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        return self._values.get(name)


def _key(read: Callable[[Any], str], entry: Any) -> str:
    return read(_Entry(entry) if isinstance(entry, dict) else entry)


def _over(struct: Struct, old: Fragment, new: Fragment) -> dict[str, Any]:
    out, keys = dict(old), _keys(struct)
    groups = {keys[name][0] for name in new if name in keys}
    sharing = [name for name in old if name in keys and keys[name][0] in groups]
    for name in dict.fromkeys((*sharing, *new)):
        mine, theirs, kind = old.get(name), new.get(name), _fields(struct).get(name)
        if kind is not None and kind.item is not None and (mine or theirs):
            out[name] = _joined(struct, kind.item.struct, name, old, new)
        elif kind is not None and kind.struct is not None and mine is not None and theirs is not None:
            out[name] = _over(kind.struct, mine, theirs)
        elif theirs is not None:
            out[name] = theirs
    return out


def _joined(struct: Struct, item: Struct | None, name: str, old: Fragment, new: Fragment) -> list[Any]:
    """The entries of a list in both; the new ones of other lists that share its keys take theirs away."""
    mine, theirs = old.get(name) or [], new.get(name) or []
    if name not in _keys(struct):
        return [*mine, *theirs]
    group, read = _keys(struct)[name]
    elsewhere = {
        _key(other, entry)
        for key, (shared, other) in _keys(struct).items()
        if shared == group and key != name
        for entry in new.get(key) or []
    }
    given = {_key(read, entry): entry for entry in theirs}
    keys = [_key(read, entry) for entry in mine]
    out = []
    for key, entry in zip(keys, mine, strict=True):
        match = given.get(key)
        if match is None:
            if key not in elsewhere:
                out.append(entry)
        elif item is None:
            out.append(match)
        elif name != "httpHeaders" or match.get("value") is not None:
            out.append(_over(item, entry, match))
    known = set(keys)
    return out + [entry for entry in theirs if _key(read, entry) not in known]

"""What is done with whole spec 3 configs: JSON, duplicate keys, and merging one config over another.

Everything here follows the schema of the structs; the rules of single structs are in `v3_checks`. Behaviour as in
Ignition's config/merge and config/validate, and in its JSON as butane prints it (without empty objects).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast

from cl.transpiler.gojson import Json
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import Field, Struct, struct_of


def encode(config: v3.Config, spec: int) -> dict[str, Json]:
    """The config as JSON values in output order, with `ignition.version`; what is empty is left out."""
    out = _encode(_plan(struct_of(v3.Config, spec)), config)
    ignition = cast(dict[str, Json], out["ignition"])
    ignition["version"] = v3.version_text(spec)
    return out


class _Key(NamedTuple):
    """One field's way into JSON. `empty` is what to print for no value, _OMIT for nothing at all."""

    name: str
    key: str
    many: bool
    struct: Struct | None
    optional: bool
    empty: Json


_OMIT: Any = object()


@cache
def _plan(struct: Struct) -> tuple[_Key, ...]:
    keys = []
    reference = issubclass(struct.cls, v3.Resource) and "compression" not in struct.fields  # of 3.0
    for field in struct.fields.values():
        metadata, kind = field.metadata, field.type
        required = "required" in metadata or metadata.get("required_until", -1) >= (struct.spec or 0)
        empty: Json = _OMIT if not required else {} if kind.struct else "" if kind.kind == "str" else 0
        if reference and field.name == "source":
            empty = None  # printed even so
        inner = kind.item.struct if kind.item is not None else kind.struct
        pointer = kind.optional and (inner is None or metadata.get("pointer_until", -1) >= (struct.spec or 0))
        keys.append(_Key(field.name, json_key(field.key), kind.item is not None, inner, pointer, empty))
    return tuple(keys)


def _encode(plan: tuple[_Key, ...], value: object) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for name, key, many, struct, optional, empty in plan:
        inner = getattr(value, name)
        if inner is None:
            if empty is not _OMIT:
                out[key] = empty
        elif struct is None:
            if many:
                if inner:
                    out[key] = list(inner)
            elif optional or inner or empty is not _OMIT:
                out[key] = inner
        else:
            nested = _plan(struct)
            if many:
                if inner:
                    out[key] = [_encode(nested, item) for item in inner]
            else:
                encoded = _encode(nested, inner)
                if (encoded and encoded != {"source": None}) or optional or empty is not _OMIT:
                    out[key] = encoded
    return out


_UNKEYED: dict[str, frozenset[str]] = {
    "File": frozenset(("append",)),
    "Filesystem": frozenset(("options", "mount_options")),
    "Luks": frozenset(("options",)),
    "Raid": frozenset(("options",)),
}
"""Lists whose entries have no key: they may repeat, and merging joins them."""

_SHARED: dict[str, dict[str, str]] = {
    "Storage": {"directories": "node", "files": "node", "links": "node"},
    "KernelArguments": {"should_exist": "argument", "should_not_exist": "argument"},
}
"""Lists of one object that share their keys."""


def _partition_key(partition: v3.Partition) -> str:
    if partition.number:
        return f"number:{partition.number}"
    return f"label:{partition.label}" if partition.label is not None else ""


@cache
def _key_of(struct: Struct | None) -> Callable[[Any], str]:
    """What identifies an entry of a list of this struct."""
    if struct is None:
        return lambda item: str(item)
    if issubclass(struct.cls, v3.Partition):
        return _partition_key
    if issubclass(struct.cls, v3.Resource):
        return lambda item: item.source or ""
    if issubclass(struct.cls, v3.Node):
        return lambda item: str(item.path)
    by_device = issubclass(struct.cls, (v3.Disk, v3.Filesystem))
    attribute = "device" if by_device else "url" if issubclass(struct.cls, v3.Tang) else "name"
    return lambda item: str(getattr(item, attribute))


def find_duplicates(config: v3.Config, spec: int, findings: Findings) -> None:
    """An error at every entry of a keyed list whose key an earlier entry has."""
    _duplicates(struct_of(v3.Config, spec), config, (), findings)


@cache
def keyed_lists(struct: Struct) -> tuple[tuple[str, str, Callable[[Any], str]], ...]:
    """(name, group, key) of each keyed list: lists of one group share their keys, which `key` reads of an entry."""
    unkeyed, shared = _UNKEYED.get(struct.cls.__name__, frozenset()), _SHARED.get(struct.cls.__name__, {})
    return tuple(
        (field.name, shared.get(field.name, field.name), _key_of(field.type.item.struct))
        for field in struct.fields.values()
        if field.type.item is not None and field.name not in unkeyed
    )


@cache
def nested_structs(struct: Struct) -> tuple[tuple[str, bool, Struct], ...]:
    """(name, is a list, struct) of each field that holds structs."""
    out = []
    for field in struct.fields.values():
        inner = field.type.item.struct if field.type.item is not None else field.type.struct
        if inner is not None:
            out.append((field.name, field.type.item is not None, inner))
    return tuple(out)


@cache
def _holding_lists(struct: Struct) -> tuple[tuple[str, bool, Struct], ...]:
    """`nested_structs` beneath which there is a keyed list."""
    return tuple(field for field in nested_structs(struct) if keyed_lists(field[2]) or _holding_lists(field[2]))


def _duplicates(struct: Struct, value: object, path: Path, findings: Findings) -> None:
    seen: set[tuple[str, str]] = set()
    for name, group, key in keyed_lists(struct):
        for index, item in enumerate(getattr(value, name)):
            identity = (group, key(item))
            if identity in seen:
                what = f"{identity[1]!r} is defined twice" if identity[1] else "an entry like this is defined twice"
                findings.error((*path, name, index), what, hint="each entry of this list needs a key of its own")
            seen.add(identity)
    for name, many, inner in _holding_lists(struct):
        item = getattr(value, name)
        if many:
            for index, entry in enumerate(item):
                _duplicates(inner, entry, (*path, name, index), findings)
        elif item is not None:
            _duplicates(inner, item, (*path, name), findings)


class Step(NamedTuple):
    """Where a field of a merged config comes from: `source` is a path of the child, or of the parent."""

    from_child: bool
    source: Path
    target: Path


def merge(parent: v3.Config, child: v3.Config, spec: int, steps: list[Step] | None = None) -> v3.Config:
    """`child` laid over `parent`: its values win, keyed lists merge by key, the others are joined.

    Files, directories and links of one path are one: the child's kind wins. `steps` collects the origins.
    """
    return cast(v3.Config, _Merge(steps).struct(struct_of(v3.Config, spec), parent, child, (), (), ()))


def is_empty(struct: Struct, value: object) -> bool:
    """True when no field of the struct is set."""
    return all(_unset(field, getattr(value, field.name)) for field in struct.fields.values())


def _unset(field: Field, value: Any) -> bool:
    if value is None:
        return True
    if field.type.struct is not None:
        pointer = field.metadata.get("pointer_until", -1) >= (field.type.struct.spec or 0)
        return not pointer and is_empty(field.type.struct, value)
    return not field.type.optional and not value


class _Merge:
    def __init__(self, steps: list[Step] | None) -> None:
        self._steps = steps

    def struct(self, struct: Struct, parent: Any, child: Any, ppath: Path, cpath: Path, to: Path) -> object:
        values: dict[str, Any] = {}
        for field in struct.fields.values():
            name, kind = field.name, field.type
            mine, theirs = getattr(parent, name), getattr(child, name)
            paths = (*ppath, name), (*cpath, name), (*to, name)
            if kind.item is not None:
                values[name] = self._list(struct, field, kind.item.struct, parent, child, paths)
            elif kind.struct is None:
                always = not kind.optional or field.metadata.get("required_until", -1) >= (struct.spec or 0)
                wins = theirs is not None or always
                values[name] = theirs if wins else mine
                self._copied(wins, paths, field, values[name])
            elif theirs is None or is_empty(kind.struct, theirs):
                values[name] = mine if theirs is None or mine is not None else theirs
                self._copied(False, paths, field, values[name])
            elif mine is None or is_empty(kind.struct, mine):
                values[name] = theirs
                self._copied(True, paths, field, theirs)
            else:
                values[name] = self.struct(kind.struct, mine, theirs, *paths)
                self._step(False, paths[0], paths[2])
                self._step(True, paths[1], paths[2])
        return struct.cls(**values)

    def _list(
        self, struct: Struct, field: Field, item: Struct | None, parent: Any, child: Any, paths: tuple[Path, Path, Path]
    ) -> Sequence[Any]:
        mine: Sequence[Any] = getattr(parent, field.name)
        theirs: Sequence[Any] = getattr(child, field.name)
        out: list[Any] = []

        def take(from_child: bool, index: int, value: Any) -> None:
            source = (*paths[1 if from_child else 0], index)
            self._copied_value(from_child, source, (*paths[2], len(out)), item, value)
            out.append(value)

        if field.name in _UNKEYED.get(struct.cls.__name__, ()):
            for index, entry in enumerate(mine):
                take(False, index, entry)
            for index, entry in enumerate(theirs):
                take(True, index, entry)
            self._contributed(paths, bool(mine), bool(theirs))
            return tuple(out)
        key = _key_of(item)
        group = _SHARED.get(struct.cls.__name__, {}).get(field.name)
        others = self._keys_elsewhere(struct, field, child, group) if group is not None else frozenset()
        own = {key(entry): index for index, entry in enumerate(theirs)}
        from_parent = from_child = False
        for index, entry in enumerate(mine):
            match = own.get(key(entry))
            if match is not None:
                from_parent = from_child = True
                if item is None:
                    take(True, match, theirs[match])
                elif not (field.name == "http_headers" and theirs[match].value is None):
                    sub = (*paths[0], index), (*paths[1], match), (*paths[2], len(out))
                    out.append(self.struct(item, entry, theirs[match], *sub))
                    self._step(False, sub[0], sub[2])
                    self._step(True, sub[1], sub[2])
            elif key(entry) not in others:
                from_parent = True
                take(False, index, entry)
        known = {key(entry) for entry in mine}
        for index, entry in enumerate(theirs):
            if key(entry) not in known:
                from_child = True
                take(True, index, entry)
        self._contributed(paths, from_parent, from_child)
        return tuple(out)

    @staticmethod
    def _keys_elsewhere(struct: Struct, field: Field, child: Any, group: str) -> frozenset[str]:
        """The keys that the child has in the other lists of the group."""
        return frozenset(
            key(entry)
            for name, other, key in keyed_lists(struct)
            if other == group and name != field.name
            for entry in getattr(child, name)
        )

    def _contributed(self, paths: tuple[Path, Path, Path], parent: bool, child: bool) -> None:
        if parent:
            self._step(False, paths[0], paths[2])
        if child:
            self._step(True, paths[1], paths[2])

    def _step(self, from_child: bool, source: Path, target: Path) -> None:
        if self._steps is not None:
            self._steps.append(Step(from_child, source, target))

    def _copied(self, from_child: bool, paths: tuple[Path, Path, Path], field: Field, value: Any) -> None:
        source = paths[1 if from_child else 0]
        if field.type.struct is not None:
            self._copied_value(from_child, source, paths[2], field.type.struct, value)
        elif value is not None and (field.type.optional or value):
            self._step(from_child, source, paths[2])

    def _copied_value(self, from_child: bool, source: Path, target: Path, struct: Struct | None, value: Any) -> bool:
        """Note the origin of a value and of what is set beneath it; True when there was something to note."""
        if self._steps is None or value is None:
            return False
        noted = struct is None and value != ""
        if struct is not None:
            for field in struct.fields.values():
                noted |= self._copied_field(from_child, (*source, field.name), (*target, field.name), field, value)
        if noted:
            self._steps.append(Step(from_child, source, target))
        return noted

    def _copied_field(self, from_child: bool, source: Path, target: Path, field: Field, owner: Any) -> bool:
        value, kind = getattr(owner, field.name), field.type
        if kind.item is not None:
            noted = False
            for index, entry in enumerate(value):
                noted |= self._copied_value(from_child, (*source, index), (*target, index), kind.item.struct, entry)
            if noted:
                self._step(from_child, source, target)
            return noted
        if kind.struct is None and (value is None or (not kind.optional and not value)):
            return False
        if kind.struct is None:
            self._step(from_child, source, target)
            return True
        return self._copied_value(from_child, source, target, kind.struct, value)

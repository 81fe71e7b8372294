"""Node trees into typed dataclasses: a scalar becomes a value by the *field's* type, as in Go's yaml.v3.

A dialect's structs are frozen, slotted, keyword-only dataclasses whose attributes are the YAML keys. Their
annotations are the schema:

    str            text; "" when absent                   str | None     text; None when absent ("pointer")
    int, UInt      number; 0 when absent                  int | None, UInt | None
    bool           False when absent                      bool | None
    Struct           a nested dataclass, empty if absent    Struct | None
    tuple[X, ...]  a list of one of the above    Sequence[X]    the same, so that a list may be given in code

`field(metadata={"yaml": "name"})` gives another key. `{"since": 4}` hides the field from `struct_of(cls, spec)`
with a lower spec, `{"narrow": (1, {"a", "b"})}` hides these keys of the field's struct before that spec; other
metadata is the dialect's own, kept in `Field.metadata`.
A struct with a classmethod `from_node(node, decoder)` decodes itself.
"""

from __future__ import annotations

import base64
import binascii
import collections.abc
import dataclasses
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from cl.transpiler.yamlnode import Alias, Mapping, Node, Scalar, Sequence, TagError, YamlError, is_merge, resolve

N = TypeVar("N")

UInt = NewType("UInt", int)
"""A number that may not be negative."""

Metadata = collections.abc.Mapping[str, Any]
"""What `dataclasses.field(metadata=…)` was given."""

MISSING = object()
"""What decoding gives when the node holds nothing for the field: a null, or a value of the wrong type."""

TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"))
FALSE = frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF"))


@dataclasses.dataclass(frozen=True, slots=True)
class Type:
    """How to decode one field: its kind, and the struct or the list's item type where it has one."""

    kind: Literal["str", "int", "uint", "bool", "struct", "list"]
    optional: bool = False
    struct: Struct | None = None
    item: Type | None = None

    def describe(self) -> str:
        return {"str": "a text", "int": "a number", "uint": "a number, not negative", "bool": "true or false"}.get(
            self.kind, "a list" if self.kind == "list" else "a mapping"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct: `key` in YAML, `name` as attribute."""

    key: str
    name: str
    type: Type
    metadata: Metadata = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A dataclass and its fields by YAML key, in the order of declaration. `spec` chose among its fields."""

    cls: type[Any]
    fields: dict[str, Field]
    spec: int | None = None


@cache
def struct_of(cls: type[Any], spec: int | None = None, hidden: frozenset[str] = frozenset()) -> Struct:
    """The schema of a dataclass, read from its annotations once; `spec` None means all fields of all versions.

    A class that decodes itself has no fields.
    """
    if hasattr(cls, "from_node"):
        return Struct(cls, {})
    hints = get_type_hints(cls)
    fields = {}
    for attribute in dataclasses.fields(cls):
        metadata = attribute.metadata
        key = metadata.get("yaml", attribute.name)
        if key in hidden or (spec is not None and metadata.get("since", 0) > spec):
            continue
        fields[key] = Field(key, attribute.name, _type_of(hints[attribute.name], spec, metadata), metadata)
    return Struct(cls, fields, spec)


def _type_of(hint: Any, spec: int | None, metadata: Metadata) -> Type:
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (argument for argument in get_args(hint) if argument is not NoneType)
        return dataclasses.replace(_type_of(inner, spec, metadata), optional=True)
    if get_origin(hint) in (tuple, collections.abc.Sequence):
        return Type("list", item=_type_of(get_args(hint)[0], spec, metadata))
    simple: dict[Any, Literal["str", "int", "uint", "bool"]] = {str: "str", int: "int", UInt: "uint", bool: "bool"}
    if hint in simple:
        return Type(simple[hint])
    before, keys = metadata.get("narrow", (0, frozenset()))
    return Type("struct", struct=struct_of(hint, spec, keys if spec is not None and spec < before else frozenset()))


@dataclasses.dataclass(frozen=True, slots=True)
class TypeProblem:
    """A node whose value doesn't fit its field; decoding goes on after it."""

    line: int
    column: int
    message: str


class Decoder:
    """Decodes node trees into structs.

    `problems` collects what doesn't fit. `late_merge` chooses how a merge key `<<` works: False as yaml.v3 of
    2021 does it, which `ct` is built with (merged where it stands, deep, later keys win), True as yaml.v3.0.1,
    which `butane` is built with (merged last, own keys win).

    Raises YamlError from `decode` for what yaml.v3 gives up on at once.
    """

    def __init__(self, *, late_merge: bool) -> None:
        self.problems: list[TypeProblem] = []
        self._late_merge = late_merge
        self._open_aliases: set[int] = set()
        self._decoded = 1  # yaml.v3 counts the document, too
        self._aliased = 0

    def decode(self, cls: type[N], node: Node | None) -> N:
        """The struct in `node`; the empty struct when there is none or it doesn't fit (then `problems` says why)."""
        struct = struct_of(cls)  # type: ignore[arg-type]  # mypy doubts that a class is hashable
        return cast(N, self.decode_struct(struct, node))

    def decode_struct(self, struct: Struct, node: Node | None) -> object:
        """As `decode`, by a schema that `struct_of` gave."""
        value = MISSING if node is None else self._value(Type("struct", struct=struct), node, MISSING)
        return struct.cls() if value is MISSING else value

    def problem(self, node: Node, message: str) -> None:
        self.problems.append(TypeProblem(node.line, node.column, message))

    def _value(self, kind: Type, node: Node, old: object) -> object:
        """The value of `node` for a field of this type, or MISSING. `old` is what a merge key put there before."""
        self._decoded += 1
        if self._open_aliases:
            self._count_aliased(node)
        if isinstance(node, Scalar):
            if node.tag == "!!str" and kind.kind == "str":
                return node.value  # what most nodes are
            return self._scalar(kind, node)
        if isinstance(node, Alias):
            return self._alias(kind, node, old)
        if kind.kind == "struct" and kind.struct is not None and isinstance(node, Mapping):
            own = getattr(kind.struct.cls, "from_node", None)
            return own(node, self) if own is not None else self.struct(kind.struct, node, old)
        if kind.item is not None and isinstance(node, Sequence):
            values = (self._value(kind.item, item, MISSING) for item in node.items)
            return tuple(value for value in values if value is not MISSING)
        self.problem(node, f"expected {kind.describe()}, found a {'list' if isinstance(node, Sequence) else 'mapping'}")
        return MISSING

    def _count_aliased(self, node: Node) -> None:
        """yaml.v3 gives up where nearly all that it decodes comes from aliases."""
        self._aliased += 1
        if self._aliased > 100 and self._decoded > 1000 and self._aliased > _share(self._decoded) * self._decoded:
            raise YamlError("the document uses aliases excessively", node.line, node.column)

    def _count(self, node: Node) -> None:
        """Note that a node is decoded; `_value` and `_key`, which most nodes pass, do the same in place."""
        self._decoded += 1
        if self._open_aliases:
            self._count_aliased(node)

    def _alias(self, kind: Type, node: Alias, old: object) -> object:
        if id(node) in self._open_aliases:  # pragma: no cover — no struct holds its own kind, so types end it before
            raise YamlError(f"anchor '{node.value}' contains itself", node.line, node.column)
        self._open_aliases.add(id(node))
        try:
            return self._value(kind, node.target, old)
        finally:
            self._open_aliases.remove(id(node))

    def _scalar(self, kind: Type, node: Scalar) -> object:
        tag, text = node.tag, node.value
        if tag == "!!str":
            value: object = text
        elif kind.kind == "str" and tag in ("!!int", "!!float", "!!bool", "!!timestamp", "!!merge") and node.plain:
            return text  # the tag was found from this very text: no need to read it again
        else:
            try:
                tag, value = resolve(tag, text)
            except TagError as error:
                raise YamlError(str(error), node.line, node.column) from None
            if value is None:
                return None if kind.optional else () if kind.kind == "list" else MISSING
            if tag == "!!binary":
                text = value = _binary(node)
        if kind.kind == "str":
            return text
        if (converted := _CONVERT.get(kind.kind, _nothing)(value)) is not MISSING:
            return converted
        shown = text if len(text) <= 24 else text[:21] + "..."
        what = f"the quoted text {shown!r}" if not node.plain else f"{shown!r}"
        convert = _CONVERT.get(kind.kind, _nothing)
        is_only_quoted = not node.plain and tag == "!!str" and convert(resolve("", text)[1]) is not MISSING
        why = f": quotes make a text of it, write {shown}" if is_only_quoted else ""
        self.problem(node, f"expected {kind.describe()}, found {what}{why}")
        return MISSING

    def struct(self, struct: Struct, node: Mapping, old: object = MISSING) -> object:
        """The struct in a mapping; `old` is the struct to start from, when a merge key has filled one already."""
        if not self._unique_keys(node):
            return MISSING
        values: dict[str, object] = {}
        if old is not MISSING and old is not None:
            values = {field.name: getattr(old, field.name) for field in struct.fields.values()}
        self._fill(struct, node, values)
        return struct.cls(**values)

    def _fill(self, struct: Struct, node: Mapping, values: dict[str, object]) -> None:
        for key, _ in node.pairs:
            if key.tag == "!!merge" and is_merge(key):
                for pair in self._merged_pairs(node):
                    self._put(struct, *pair, values)
                return
        done: set[str] = set()
        for key, value in node.pairs:
            self._put(struct, key, value, done, None, values)

    def _put(
        self, struct: Struct, key: Node, value: Node, done: set[str], taken: set[str] | None, values: dict[str, object]
    ) -> None:
        """Decode a pair of a mapping. `done` has the keys of this mapping, `taken` those that a merge leaves alone."""
        name = self._key(key)
        if name is None:
            return
        if taken is not None:
            if name in taken:
                return
            taken.add(name)
        field = struct.fields.get(name)
        if field is None:
            return
        if name in done:
            self.problem(key, f"key {name!r} is given twice")
            return
        done.add(name)
        decoded = self._value(field.type, value, values.get(field.name, MISSING))
        if decoded is not MISSING:
            values[field.name] = decoded

    def _merged_pairs(self, node: Mapping) -> Iterator[tuple[Node, Node, set[str], set[str] | None]]:
        """The pairs of a mapping and of all that is merged into it, in the order in which they count, for `_put`.

        Works without recursion: merge keys may form a long chain.
        """
        taken: set[str] | None = None
        stack = [_Merging(node)]
        while stack:
            top = stack[-1]
            if (source := next(top.sources, None)) is not None:
                if (target := self._open(source)) is not None:
                    stack.append(_Merging(target, source))
            elif (pair := next(top.pairs, None)) is not None:
                if not is_merge(pair[0]):
                    yield *pair, top.done, taken
                elif self._late_merge:
                    top.late = pair[1]
                else:
                    top.sources = iter(_sources(pair[1])[::-1])  # backwards, so that the first one wins
            elif top.late is not None:
                if taken is None:
                    for key, _ in node.pairs:
                        self._count(key)
                    targets = (_target(key) for key, _ in node.pairs)
                    taken = {target.value for target in targets if isinstance(target, Scalar)}
                top.sources, top.late = iter(_sources(top.late)), None
            else:
                stack.pop()
                self._open_aliases.discard(id(top.source))

    def _open(self, source: Node) -> Mapping | None:
        """The mapping that a merge key names, None when it can't be merged (then `problems` says why)."""
        self._count(source)
        target = _target(source)
        if not isinstance(target, Mapping) or (isinstance(source, Alias) and isinstance(source.target, Alias)):
            raise YamlError("a merge key wants a mapping or a list of mappings", source.line, source.column)
        if isinstance(source, Alias):
            if id(source) in self._open_aliases:
                raise YamlError(f"anchor '{source.value}' contains itself", source.line, source.column)
            self._open_aliases.add(id(source))
            self._count(target)
        if self._unique_keys(target):
            return target
        self._open_aliases.discard(id(source))
        return None

    def _key(self, key: Node) -> str | None:
        """The text of a key, None for a null; anything but a scalar is a problem."""
        if key.tag == "!!str" and isinstance(key, Scalar):
            self._decoded += 1
            if self._open_aliases:
                self._count_aliased(key)
            return key.value
        name = self._value(_KEY, key, MISSING)
        return name if isinstance(name, str) else None

    def _unique_keys(self, node: Mapping) -> bool:
        seen: dict[tuple[type[Node], str], int] = {}
        unique = True
        for key, _ in node.pairs:
            identity = (type(key), key.value)
            if identity in seen:
                self.problem(key, f"mapping key {key.value!r} is already defined at line {seen[identity]}")
                unique = False
            else:
                seen[identity] = key.line
        return unique


_KEY = Type("str")


class _Merging:
    """How far a mapping has been gone through: `sources` come before the next of its `pairs`, `late` after them."""

    __slots__ = ("done", "late", "pairs", "source", "sources")

    def __init__(self, node: Mapping, source: Node | None = None) -> None:
        self.pairs, self.done, self.source = iter(node.pairs), set[str](), source
        self.sources: Iterator[Node] = iter(())
        self.late: Node | None = None


def _sources(merge: Node) -> list[Node]:
    return merge.items if isinstance(merge, Sequence) else [merge]


def _share(decoded: int) -> float:
    """How much of what is decoded may come from aliases: yaml.v3's allowedAliasRatio."""
    return 0.99 - 0.89 * min(max(decoded - 400_000, 0) / 3_600_000, 1)


def _target(node: Node) -> Node:
    return node.target if isinstance(node, Alias) else node


def _binary(node: Scalar) -> str:
    """The bytes of a !!binary as text; bytes that aren't UTF-8 become surrogates (`surrogateescape`)."""
    try:
        data = base64.b64decode(node.value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        raise YamlError("!!binary value contains invalid base64 data", node.line, node.column) from None
    return data.decode("utf-8", "surrogateescape")


def _nothing(_value: object) -> object:
    return MISSING


def _to_int(value: object) -> object:
    """Any whole or broken number that fits 64 bits, cut off as Go's conversion does it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return MISSING
    if isinstance(value, int):
        return value if value < 2**63 else MISSING
    if not value <= 2**63:
        return MISSING
    return int(value) if -(2.0**63) <= value < 2.0**63 else -(2**63)


def _to_uint(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return MISSING
    if isinstance(value, int):
        return value if value >= 0 else MISSING
    if not value <= 2**64:
        return MISSING
    return int(value) % 2**64 if -(2.0**63) <= value < 2.0**64 else 2**63  # below 0 it wraps around


def _to_bool(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return True if value in TRUE else False if value in FALSE else MISSING
    return MISSING


_CONVERT = {"int": _to_int, "uint": _to_uint, "bool": _to_bool}

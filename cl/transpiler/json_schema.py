"""JSON Schema (2020-12) of what configs may say, for editors: `python -m cl.transpiler --schema butane`, or `clc`.

Made of the structs that decode a config, so it knows the same keys. It asks less than the transpiler, which finds what
is wrong with values and between them: a config whose keys the transpiler knows, and whose values fit, is valid.
Scalars may be written as the transpiler reads them: a number or a flag for a text, `yes` for a flag.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

from cl.transpiler.butane.decode import VERSIONS
from cl.transpiler.clc import schema as clc
from cl.transpiler.clc.clusters import Cluster
from cl.transpiler.schema import FALSE, TRUE, Field, Struct, Type, struct_of

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema = dict[str, Any]
SchemaName = Literal["butane", "clc"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NUMBER: Schema = {"type": ["number", "null"]}
_SCALARS: dict[str, Schema] = {
    "str": {"type": ["string", "number", "boolean", "null"]},
    "int": _NUMBER,
    "uint": {**_NUMBER, "minimum": 0},
    "bool": {"$ref": "#/$defs/flag"},
}
_FLAG: Schema = {"description": "true or false", "enum": [True, False, None, *sorted(TRUE | FALSE)]}
_OF_ETCD_AND_FLANNEL = [(2, 3), *((3, minor) for minor in range(6)), *((0, minor) for minor in range(5, 8))]
"""The versions (major, minor) that bring options (`clc.options`)."""


def json_schema(name: SchemaName) -> Schema:
    """The schema of Butane configs, by variant and version, or of Container Linux Configs for any version of etcd."""
    made = _Definitions()
    if name == "clc":
        root = made.object(struct_of(clc.Config))
        about: Schema = {"title": "Container Linux Config", **root}
    else:
        variants = sorted({variant for variant, _ in VERSIONS})
        about = {
            "title": "Butane config",
            "type": "object",
            "required": ["variant", "version"],
            "properties": {"variant": {"enum": variants}, "version": {"enum": sorted({v for _, v in VERSIONS})}},
            "allOf": [
                {
                    "if": {"properties": {"variant": {"const": variant}, "version": {"const": number}}},
                    "then": {"$ref": made.reference(version.struct)},
                }
                for (variant, number), version in VERSIONS.items()
            ],
        }
    return {"$schema": _DIALECT, **about, "$defs": made.definitions}


class _Definitions:
    """The schemas of structs, each once: what versions have in common is one definition."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {"flag": _FLAG}

    def reference(self, struct: Struct) -> str:
        """`$ref` of a struct: its name, with a number where another version of it is there already."""
        made, name = self.object(struct), struct.cls.__name__
        number = 1
        while self.definitions.setdefault(name, made) != made:
            number += 1
            name = f"{struct.cls.__name__}.{number}"
        return f"#/$defs/{name}"

    def object(self, struct: Struct) -> Schema:
        return {
            "description": (inspect.getdoc(struct.cls) or "").partition("\n\n")[0].replace("\n", " "),
            "type": "object",
            "properties": {field.key: self.value(field.type) for field in _fields(struct)},
            "additionalProperties": False,
        }

    def value(self, kind: Type) -> Schema:
        if kind.item is not None:
            return {"type": ["array", "null"], "items": self.value(kind.item)}
        if kind.struct is not None:
            return {"anyOf": [{"$ref": self.reference(kind.struct)}, {"type": "null"}]}
        return _SCALARS[kind.kind]


def _fields(struct: Struct) -> Iterable[Field]:
    """The fields of a struct; of one whose options depend on its version, those of all versions."""
    if not issubclass(struct.cls, Cluster):
        return struct.fields.values()
    known = dict(struct.cls.head.fields)
    for version in _OF_ETCD_AND_FLANNEL:
        known |= struct.cls.options_of(*version).fields
    return known.values()

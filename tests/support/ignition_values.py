"""Each key of an Ignition config with odd JSON values, one at a time; the keys come from the structs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from cl.transpiler.ignition import v2, v3
from cl.transpiler.ignition.names import json_key
from cl.transpiler.schema import Struct, struct_of

VALUES = (
    "null", "true", "false", "0", "1", "-1", "420", "1.0", "1e2", "9223372036854775807", "9223372036854775808",
    "-9223372036854775809", '""', '"x"', '"/a"', '"5"', "[]", "[null]", '["a"]', '["/a"]', "[5]", "[{}]", "[[]]", "{}",
    '{"a": 1}', '{"source": ""}', r'"\ud800"', '"http://a"', '"tftp://a"', '"data:,%zz"', '"gzip"', '"swap"', '"root"',
)  # fmt: skip
BESIDE: Mapping[type[Any], Mapping[str, object]] = {
    v2.Reference: {"source": "data:,"},
    v2.HttpHeader: {"name": "a", "value": "b"},
    v2.File: {"filesystem": "root", "path": "/f", "mode": 420},
    v2.Directory: {"filesystem": "root", "path": "/d", "mode": 493},
    v2.Link: {"filesystem": "root", "path": "/l", "target": "/t"},
    v2.Disk: {"device": "/dev/a"},
    v2.Partition: {"number": 1},
    v2.Raid: {"name": "r", "level": "raid1", "devices": ["/dev/a"]},
    v2.Filesystem: {"name": "fs"},
    v2.Mount: {"device": "/dev/a", "format": "ext4"},
    v2.Unit: {"name": "a.service"},
    v2.NetworkdUnit: {"name": "a.network"},
    v2.Dropin: {"name": "a.conf"},
    v2.User: {"name": "u"},
    v2.Group: {"name": "g"},
    v3.Resource: {"source": "data:,"},
    v3.HTTPHeader: {"name": "a", "value": "b"},
    v3.File: {"path": "/f"},
    v3.Directory: {"path": "/d"},
    v3.Link: {"path": "/l", "target": "/t"},
    v3.Disk: {"device": "/dev/a"},
    v3.Partition: {"number": 1, "label": "a"},
    v3.Raid: {"name": "r", "level": "raid1", "devices": ["/dev/a"]},
    v3.Filesystem: {"device": "/dev/a", "format": "ext4", "path": "/x"},
    v3.Luks: {"name": "a", "device": "/dev/a"},
    v3.Tang: {"url": "http://a", "thumbprint": "x"},
    v3.ClevisCustom: {"pin": "tpm2", "config": "{}"},
    v3.Unit: {"name": "a.service"},
    v3.Dropin: {"name": "a.conf"},
    v3.PasswdUser: {"name": "u"},
    v3.PasswdGroup: {"name": "g"},
}
"""What a struct needs for its other keys to be looked at."""
_MARK = "@value"

_Wrap = Callable[[object], dict[str, Any]]


def _configs(struct: Struct, wrap: _Wrap) -> Iterator[dict[str, Any]]:
    """For each key of a struct and of the structs in it, a config with `_MARK` as its value."""
    for field in struct.fields.values():
        key = json_key(field.name)
        beside = {name: value for name, value in BESIDE.get(struct.cls, {}).items() if name != key}
        yield wrap({**beside, key: _MARK})
        item = field.type.item
        inner = item.struct if item is not None else field.type.struct
        if inner is not None:

            def within(value: object, key: str = key, beside: object = beside, many: bool = item is not None) -> Any:
                return wrap({**beside, key: [value] if many else value})  # type: ignore[dict-item]

            yield from _configs(inner, within)


def odd_configs(random: Random, major: int, minor: int, each: int) -> Iterator[str]:
    """For every key of spec `major`.`minor` `each` configs that give it an odd value."""

    def whole(value: Any) -> dict[str, Any]:
        section = value.get("ignition", {})
        return {**value, "ignition": section if section == _MARK else {"version": f"{major}.{minor}.0", **section}}

    for config in _configs(struct_of(v2.Config if major == 2 else v3.Config, minor), whole):
        for value in random.sample(VALUES, each):
            yield json.dumps(config, indent=1).replace(json.dumps(_MARK), value)

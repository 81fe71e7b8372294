"""Each key of a Container Linux Config with odd values, one at a time: spellings, types, tags, anchors, styles.

The keys come from the structs, so a new one is tried without being named here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from cl.transpiler.clc import schema
from cl.transpiler.clc.clusters import Cluster, Etcd, Flannel
from cl.transpiler.ignition import v2
from cl.transpiler.schema import Struct, struct_of

HEAD = """\
x:
  - &s text
  - &i 5
  - &b true
  - &l [a, b]
  - &m {name: mm, path: /mm, source: 'data:,', id: 3}
  - &n ~
  - &e ''
  - &aa [*m]
"""
"""Anchors for the values; the key itself is one unknown key more."""

ONE_LINE = r"""
5|0|-1|+5|-0|0644|0648|0o644|0O644|0x1F|0X1f|-0x1|+0x1|0b11|0B11|0b-1|0o-7|-0o7|-0b1|1_000|_1|1__0|0_7|08|09.5|00
1e3|1E3|1e-3|.5|5.|+.5|1.0|-1.5|420.0|-0.0|1_000.5|-.inf|.inf|.NaN|1:30|190:20:30|1e18|2e19|1e400|-1e30
9223372036854775807|9223372036854775808|18446744073709551615|18446744073709551616|-9223372036854775808
-9223372036854775809|0xFFFFFFFFFFFFFFFF|0x8000000000000000|0o1777777777777777777777|y|Y|n|yes|yEs|ON|off|True|tRue
FALSE|null|Null|~||""|''|"5"|'true'|2001-12-14|2001-12-14t21:59:43.10-05:00|2001-02-30|!!str 5|!!str|!!str ~
!!int "5"|!!int 5.0|!!int x|!!int|!!float 5|!!float "5.5"|!!float x|!!bool yes|!!bool true|!!bool 1|!!null x
!!null ""|!!null ~|!!binary aGk=|!!binary "aG k="|!!binary NQ==|!!binary dHJ1ZQ==|!!binary /w==|!!binary "*"
!!timestamp x|!foo x|!foo 5|!<tag:yaml.org,2002:int> 5|! 5|! true|!!map x|!!seq x|!!merge x|!!set x|!!int [5]
!!str {a: b}|!!map [a]|!!seq {a: b}|!!omap [a: b]|[]|{}|[a]|[5]|[~]|[[]]|[{}]|[a, b]|{a: b}|<<|=|"<<"|!!str <<|*s|*i
*b|*l|*m|*n|*e|*aa|&z x|&z|&z !!str 5|!!str &z 5|{<<: *m}|{<<: [*m]}|{<<: *l}|{<<: 5}|{<<: }|{? a}|{? a : b, c}
{*s : b}|{[a]: b}|{~: b}|{a: b, a: c}|[*s]|[*m]|[*n]|[&y a, *y]|"\x85\u2028\ufeff"|"a\tb"|"\u0000"|"\ud83d\ude00"
"%41"|a: b|- a|? a|- - a|@x|`x|%x|*nope|"unterminated|'it''s'|a#b|a #b|'#'|"?"|a:b|a:|:a|ünï|"\rMon\x854:00"
"Mon\x1c4:00"|"FRİ 4:00"|/a//b/../c|a\0b
"""
LINES = (
    "|\n@  text\n", "|-\n@  text\n", "|+\n@  text\n\n", ">\n@  a\n@  b\n@\n@  c\n", "|2\n@    x\n", "\n@  a: b\n",
    "\n@  - a\n@  - b\n", "\n@- a\n", "'a\n@  b'", '"a\\\n@  b"', "a\n@  b", "&q\n@  a: b\n", "!!map\n@  a: b\n",
    "# comment\n@  x\n", "\n@  x\n", "\n@  # c\n",
)  # fmt: skip
VALUES = (*(value for line in ONE_LINE.strip("\n").split("\n") for value in line.split("|")), *LINES)

BESIDE: Mapping[type[Any], Mapping[str, str]] = {
    schema.File: {"path": "/f", "mode": "0644"},
    schema.Directory: {"path": "/d", "mode": "0755"},
    schema.Link: {"path": "/l", "target": "/t"},
    schema.Disk: {"device": "/dev/a"},
    schema.Remote: {"url": "http://example.com"},
    schema.Reference: {"source": "'data:,'"},
    schema.Hash: {"function": "sha512", "sum": "ab" * 64},
    schema.Locksmith: {"window_start": "'4:00'", "window_length": "1h"},
    schema.Update: {"group": "alpha"},
    v2.Raid: {"name": "r", "level": "raid1", "devices": "[/dev/a]"},
    v2.Filesystem: {"name": "fs"},
    v2.Mount: {"device": "/dev/a", "format": "ext4"},
    v2.Unit: {"name": "a.service"},
    v2.NetworkdUnit: {"name": "a.network"},
    v2.Dropin: {"name": "a.conf"},
    Etcd: {"version": "3.4.1", "data_dir": "/a"},
    Flannel: {"version": "0.7.0", "etcd_cafile": "/a"},
}
"""What a struct needs for its other keys to be looked at."""
OF_CLUSTERS = ("version", "network_config", "name", "max_wals", "pre_vote", "interface", "kube_subnet_mgr", "foo")


@dataclass(frozen=True)
class _Place:
    """Where a struct's keys stand: below these lines, this far in; `dash` when the struct is an item of a list."""

    above: tuple[str, ...] = ()
    indent: int = 0
    dash: bool = False

    def lines(self, keys: list[str]) -> list[str]:
        starts = ["- " if self.dash and not number else "  " * self.dash for number in range(len(keys))]
        return [*self.above, *(" " * self.indent + start + key for start, key in zip(starts, keys, strict=True))]


def _keys(struct: Struct, place: _Place) -> Iterator[tuple[_Place, list[str], str]]:
    """(place, lines beside it, key) of each key of a struct and of the structs in it."""
    fields = dict.fromkeys(OF_CLUSTERS) if issubclass(struct.cls, Cluster) else struct.fields
    for key, field in fields.items():
        beside = [f"{name}: {value}" for name, value in BESIDE.get(struct.cls, {}).items() if name != key]
        yield place, beside, key
        item = field.type.item if field is not None else None
        inner = field.type.struct or (item.struct if item is not None else None) if field is not None else None
        if inner is not None:
            above = tuple(place.lines([*beside, f"{key}:"]))
            yield from _keys(inner, _Place(above, place.indent + (4 if place.dash else 2), item is not None))


def odd_configs(random: Random, each: int) -> Iterator[str]:
    """For every key `each` configs that give it an odd value."""
    for place, beside, key in _keys(struct_of(schema.Config), _Place()):
        for value in random.sample(VALUES, each):
            within = " " * (place.indent + 2 * place.dash)
            lines = place.lines([*beside, f"{key}: {value.replace('@', within) if value in LINES else value}"])
            yield HEAD + "\n".join(lines) + "\n"

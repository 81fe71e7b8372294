"""Where a setting stands in the files that a stack's config is written in: looked up only when something is wrong.

The engine hands a stack's config to the program as values, without places. What doesn't agree with the stack's file has
come from elsewhere (`--config-file`, an environment), and gets no place.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from cl.transpiler.yamlnode import Alias, Mapping, Node, Sequence, YamlError, compose, is_merge

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from collections.abc import Mapping as Values
    from pathlib import Path

_ITEM = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFile:
    """A file with settings: `name` as messages show it, `key` whose value its root is ("" for the whole config)."""

    name: str
    key: str
    root: Node

    def place(self, key: str) -> str:
        """`FILE:LINE:COLUMN` of a setting, or of what would hold it; "" where not even that is in this file."""
        found = None
        for node in _way(self.root, key.removeprefix(f"{self.key}.") if self.key else key):
            found = node
        return f"{self.name}:{found.line}:{found.column}" if found is not None else ""


def with_places(
    problems: Collection[str], values: Values[str, str], *, root: Path, stack: str, machine_files: Collection[str]
) -> list[str]:
    """Problems of a stack's config, `KEY: what is wrong`, each with its place in front where that is known.

    `values` is the config as the engine has it, `root` the project's folder, `machine_files` hold more of its
    `flatcar:machines`.
    """
    files = [
        SettingsFile(name=name, key="flatcar:machines", root=node)
        for name in machine_files
        if (node := _read(root / name)) is not None
    ]
    name = stack_file(root, stack)
    settings = _read(root / name)
    pair = settings.child("config") if isinstance(settings, Mapping) else None
    if pair is not None and _agrees(root / name, values):
        files.append(SettingsFile(name=name, key="", root=pair[1]))
    placed = []
    for problem in problems:
        key = problem.partition(": ")[0]
        places = [place for file in files if key.startswith(file.key) and (place := file.place(key))]
        placed.append(": ".join([*places[:1], problem]))
    return placed


def stack_file(root: Path, stack: str) -> str:
    """Where Pulumi keeps a stack's config, from `root` on."""
    folder = _of_project(root, "stackConfigDir")
    return f"{folder}{'/' * bool(folder)}Pulumi.{stack.rpartition('/')[2]}.yaml"


def project_name(root: Path) -> str:
    """The name of the Pulumi project in `root`; "" without one."""
    return _of_project(root, "name")


def _of_project(root: Path, key: str) -> str:
    project = _read(root / "Pulumi.yaml")
    pair = project.child(key) if isinstance(project, Mapping) else None
    return str(pair[1].value) if pair is not None else ""


def _read(file: Path) -> Node | None:
    try:
        return compose(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YamlError):
        return None


def _agrees(file: Path, values: Values[str, str]) -> bool:
    """Whether what the file says of this program's settings has the shape of what the engine has."""
    try:
        config = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["config"]  # a safe one
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        return False
    if not isinstance(config, dict):
        return False
    return all(_alike(config[key], _decoded(values[key])) for key in config.keys() & values.keys())


def _decoded(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip().startswith(("{", "[")) else text
    except ValueError:
        return text


def _alike(written: Any, value: Any) -> bool:
    """Whether both have the same keys, and lists of the same length; an encrypted value may be anything."""
    if isinstance(written, dict) and written.keys() == {"secure"}:
        return True
    if isinstance(written, dict) and isinstance(value, dict):
        keys = {str(key): key for key in written}
        return keys.keys() == value.keys() and all(_alike(written[keys[key]], value[key]) for key in keys)
    if isinstance(written, list) and isinstance(value, list):
        return len(written) == len(value) and all(map(_alike, written, value))
    return not isinstance(written, dict | list) and not isinstance(value, dict | list)


def _way(node: Node, path: str) -> Iterator[Node]:
    """The nodes on the way to `path` (`a.b[0].c`): the key of each entry, each item; as far as they are there."""
    while path:
        if isinstance(node, Alias):
            node = node.target
        if isinstance(node, Mapping):
            pair = max(_entries(node, path), key=lambda pair: len(pair[0].value), default=None)
            if pair is None:
                return
            yield pair[0]
            node, path = pair[1], path[len(pair[0].value) :].removeprefix(".")
        elif isinstance(node, Sequence) and (item := _ITEM.match(path)) and int(item[1]) < len(node.items):
            node, path = node.items[int(item[1])], path[item.end() :].removeprefix(".")
            yield node
        else:
            return


def _entries(node: Mapping, path: str) -> Iterator[tuple[Node, Node]]:
    """The entries that `path` may begin with, those of merged mappings last."""
    for pair in node.pairs:
        if path == pair[0].value or path.startswith((f"{pair[0].value}.", f"{pair[0].value}[")):
            yield pair
    for key, value in node.pairs:
        if is_merge(key):
            merged = value.items if isinstance(value, Sequence) else [value]
            for inner in merged:
                target = inner.target if isinstance(inner, Alias) else inner
                if isinstance(target, Mapping):
                    yield from _entries(target, path)

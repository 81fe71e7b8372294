"""Where in a Container Linux Config an entry of the Ignition config made from it comes from.

`ct` looks for an Ignition path in the YAML tree with each key turned from snake_case to camelCase, and stops
where the path leaves the tree; aliases are not followed. So does this, with one difference: `ct` forgets that
generated units stand before the config's own, and places a finding about a unit too far down.
"""

from __future__ import annotations

from dataclasses import dataclass

from cl.transpiler.ignition.names import json_key
from cl.transpiler.report import Path, Position
from cl.transpiler.yamlnode import Alias, Mapping, Node, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Entries of the Ignition config that were made from a section as a whole.

    `units` names the section behind each generated unit ("" for the platform's own); they stand first.
    `update_file_at` is the index of update.conf among the files.
    """

    units: tuple[str, ...] = ()
    update_file_at: int = 0
    update_from: str = "update"


def source_path(path: Path, root: Node | None, generated: Generated) -> tuple[Path, Position, str | None]:
    """(path in the YAML, position, section it was generated from) for a path in the Ignition config."""
    section = None
    if path[:2] == ("systemd", "units") and len(path) > 2 and isinstance(index := path[2], int):
        own = index - len(generated.units)
        if own < 0:
            section = generated.units[index]
            path = path[:2]
        else:
            path = (*path[:2], own, *path[3:])
    elif path[:3] == ("storage", "files", generated.update_file_at):
        section, path = generated.update_from, path[:2]
    if path[:3] == ("ignition", "security", "tls"):
        path = path[:2]  # as ct, whose struct tags hide this level
    found, node = list[str | int](), root
    names: dict[str, str] = {}
    for element in path:
        step = _step(node, element, names)
        if step is None:
            break
        key, node = step
        found.append(key)
        names = {}
        if element == "contents" and path[:2] == ("storage", "files") and (remote := _remote(node)) is not None:
            # A remote file: Ignition's contents are what is below `remote`, and its source is called `url`.
            found.append("remote")
            node, names = remote, {"url": "source"}
    position = (node.line, node.column) if node is not None else None
    return tuple(found), position, section


def _step(node: Node | None, element: object, names: dict[str, str]) -> tuple[str | int, Node] | None:
    if isinstance(element, int):
        if isinstance(node, Sequence) and element < len(node.items):
            return element, node.items[element]
        return None
    if isinstance(node, Mapping):
        for key, value in reversed(node.pairs):
            if names.get(key.value, json_key(key.value)) == element:
                return key.value, value
    return None


def _remote(contents: Node) -> Mapping | None:
    """The mapping below `remote`, when it has a URL."""
    pair = contents.child("remote") if isinstance(contents, Mapping) else None
    remote = pair[1] if pair is not None else None
    if not isinstance(remote, Mapping):
        return None
    _, url = remote.child("url") or (None, None)
    if isinstance(url, Alias):
        url = url.target
    return remote if url is not None and url.value and url.tag != "!!null" else None

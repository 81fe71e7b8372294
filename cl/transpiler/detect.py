"""Which dialect a source is in, and its node tree: JSON and YAML are read by different parsers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from cl.transpiler.yamlnode import Mapping, Node, YamlError, compose


def is_ignition(text: str) -> bool:
    """True for a JSON object with a text `ignition.version`: an Ignition config, of whatever version."""
    if not text.lstrip(" \t\r\n\ufeff").startswith("{"):
        return False
    try:
        value = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    ignition = value.get("ignition")
    return isinstance(ignition, dict) and isinstance(ignition.get("version"), str)


def compose_source(text: str, fill: Callable[[str, int, int], str] | None, *, is_json: bool) -> Node | None:
    """The root node of a source, with `fill` as for `yamlnode.compose`. Raises YamlError."""
    if not is_json:
        return compose(text, fill)
    from cl.transpiler.jsonnode import compose_json

    return compose_json(text, fill)


def detect(root: Node | None) -> Literal["butane", "clc"]:
    """The dialect of a composed source: Butane configs have a top-level `variant`."""
    return "butane" if isinstance(root, Mapping) and root.child("variant") is not None else "clc"


def detect_text(source: str) -> Literal["butane", "clc", "ignition"]:
    """The dialect that "auto" means for a text."""
    if is_ignition(source):
        return "ignition"
    try:
        return detect(compose(source))
    except YamlError:
        return "clc"

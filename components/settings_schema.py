"""JSON Schema (2020-12) of a stack's file, for editors: `python -m components.settings_schema >schemas/flatcar.json`.

Made by reading settings: what asks for a value (`components.config.section`) says its name, type and bounds, and each
platform and store is read once. It asks less than a preview, which finds what is wrong with values and between them.
The descriptions are those of the component package's inputs, which have the same names.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from components.config.section import Section
from components.package import inputs
from components.platforms.registry import PLATFORMS
from components.settings.stack import PROJECT, read_settings

Schema = dict[str, Any]

_TEXT: Schema = {"type": ["string", "null"]}
_WORDS: Schema = {"type": ["string", "integer", "null"]}
_NUMBER: Schema = {"type": ["integer", "string", "null"], "pattern": "^[0-9]+$"}
_FLAG: Schema = {"enum": [True, False, "true", "false", None]}
_LIST: Schema = {"type": ["array", "null"]}
_MACHINE = "machine"
_NOWHERE = Path("/nonexistent")
_INPUTS = {"aws": "AwsSharedArgs", "digitalocean": "DigitalOceanSharedArgs", "store": "Bucket", "ssh": "Ssh"}
"""Classes of the package's inputs that describe what a stack has by another name, or for all its machines."""
_OF_A_STACK = {
    "files_dir": "The folder where `local` paths in configs start; `cl/files` by default.",
    "image": "QEMU: a file, a version of Flatcar, or a channel; the newest stable release by default.",
    "machine_files": "Files that hold more machines, each as `machines` does.",
    "machines": "The machines by name.",
    "machines.machine.config": "A file with a Butane config or a Container Linux Config.",
    "machines.machine.group": "The group in which the machine's turn comes (`rollout.groups`).",
    "machines.machine.stack": "The stack that it belongs to, of those in `stacks`.",
    "machines.machine.snippets": "Files with configs that are merged over it, in order.",
    "platform": "Where the machines run.",
    "rollout": "In which order, and how many at a time, machines are brought to a new config.",
    "rollout.batch": "How many machines a wave has at most: a count, or a percentage of all machines; 25% by default.",
    "rollout.canary": "How many machines of each config file go first; 1 by default, 0 for none.",
    "rollout.groups": "The order of groups; machines of different groups are never in one wave.",
    "rollout.max_failures": "How many machines may fail before a rollout ends: a count or a percentage; 0 by default.",
    "rollout.unreachable": "`skip`: a machine that never answers doesn't end a rollout; `fail`, the default: it does.",
    "rollout.max_unavailable": "How many machines of a wave may be away at once; 0 (the default): all of them.",
    "rollout.pause": "Seconds to wait between waves.",
    "secrets": "Values for `${name}` that are masked wherever they would be shown, and may be left unused.",
    "snippets": "Files with configs that are merged over each machine's own, in order.",
    "stacks": "Stacks that share this file, in the order in which they are brought up; each machine names its own.",
    "strict": "Whether a warning about a config is an error; true by default.",
    "variables": "Values for `${name}` in the configs of all machines.",
}
"""What the package's inputs have no word on, by path."""
_BY_ID = {"aws": {"aws": {"ami": {"id": "ami-0"}}}, "digitalocean": {"digitalocean": {"image": {"id": "1"}}}}
"""Settings of platforms whose images need no version."""
_OTHER_NAMES = {"from": "vantage", "import": "import_id"}
"""Keys that are no names in other languages."""


class _Noting(Section):
    """A section that notes in `noted` what it is asked for."""

    def __init__(self, key: str, values: Mapping[str, Any], problems: list[str], *, noted: Schema) -> None:
        super().__init__(key, values, problems)
        self._noted = noted
        noted.setdefault("type", ["object", "null"])
        noted.setdefault("properties", {})

    def _note(self, name: str, schema: Schema) -> None:
        self._noted["properties"].setdefault(name, {}).update(schema)

    def text(self, name: str, default: str = "", *, required: bool = False) -> str:
        self._note(name, {**_TEXT, **({"default": default} if default else {})})
        if required:
            self._noted.setdefault("required", []).append(name)
        return super().text(name, default, required=required)

    def integer(self, name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
        bounds = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}
        number = super().integer(name, default, minimum=minimum, maximum=maximum)
        self._note(name, bounds)
        return number

    def whole_number(self, name: str, default: int) -> int:
        self._note(name, {**_NUMBER, "default": default})
        return super().whole_number(name, default)

    def text_or_integer(self, name: str, default: str) -> str:
        text = super().text_or_integer(name, default)
        self._note(name, {**_WORDS, **({"default": default} if default else {})})
        return text

    def flag(self, name: str, default: bool) -> bool:
        self._note(name, {**_FLAG, "default": default})
        return super().flag(name, default)

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        chosen = super().choice(name, choices, default)
        self._noted["properties"][name] = {"enum": [*choices, None], "default": str(default)}
        return chosen

    def texts(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        self._note(name, {**_LIST, "items": {"type": "string", "minLength": 1}})
        return super().texts(name, default)

    def mapping_of_texts(self, name: str) -> dict[str, str]:
        self._note(name, {"type": ["object", "null"], "additionalProperties": {"type": ["string", "integer"]}})
        return super().mapping_of_texts(name)

    def section(self, name: str) -> Section:
        super().section(name)
        noted = self._noted["properties"].setdefault(name, {})
        return _Noting(self._full(name), self._values.get(name) or {}, self._problems, noted=noted)

    def sections(self, name: str) -> list[Section]:
        super().sections(name)
        self._note(name, _LIST)
        noted = self._noted["properties"][name].setdefault("items", {})
        return [_Noting(f"{self._full(name)}[0]", {}, self._problems, noted=noted)]

    def finish(self) -> None:
        self._noted["additionalProperties"] = False
        super().finish()


def settings_schema() -> Schema:
    """The schema of a stack's file: its `flatcar:` settings, on any platform. Others are left alone."""
    root: Schema = {}
    for platform in PLATFORMS:
        for store, own in ((store, own) for store in platform.stores for own in ({}, _BY_ID.get(platform.name, {}))):
            settings = own | {
                "platform": platform.name,
                "ssh": {"public_key": "ssh-ed25519 AAAA"},  # else one is made
                "store": {"kind": store},
                "machines": {_MACHINE: {"pull": {}}},
            }
            texts = {
                f"{PROJECT}:{name}": value if isinstance(value, str) else json.dumps(value)
                for name, value in settings.items()
            }
            noted: Schema = {}
            read_settings(texts, secret_keys=(), root=_NOWHERE, reader=partial(_Noting, noted=noted))
            _merge(root, noted)
    _describe(root, "", "", _documented())
    machines = root["properties"]["machines"]
    machines["additionalProperties"] = machines.pop("properties")[_MACHINE]
    root["properties"]["secrets"]["additionalProperties"]["type"].append("object")  # `secure: …`
    for schema in root["properties"].values():
        if "object" in schema.get("type", ()) or "array" in schema.get("type", ()):
            schema["type"].append("string")  # JSON, as `pulumi config set` without --path writes it
    known = {f"{PROJECT}:{name}": schema for name, schema in root["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a stack of Flatcar machines",
        "type": "object",
        "properties": {
            "config": {
                "description": "The stack's settings; those of this project begin with `flatcar:`.",
                "type": "object",
                "properties": dict(sorted(known.items())),
                "patternProperties": {f"^(?!{PROJECT}:)": {}},
                "additionalProperties": False,
            }
        },
    }


def _merge(into: Schema, more: Schema) -> None:
    """What one platform or store takes beside another; only what all require is required."""
    is_new = not into
    required = set(more.get("required", ())) & set(more.get("required", ()) if is_new else into.get("required", ()))
    for name, schema in more.get("properties", {}).items():
        _merge(into.setdefault("properties", {}).setdefault(name, {}), schema)
    if "items" in more:
        _merge(into.setdefault("items", {}), more["items"])
    if "enum" in more and "enum" in into:
        into["enum"] += [value for value in more["enum"] if value not in into["enum"]]
    for key, value in more.items():
        if key not in ("properties", "required", "items"):
            into.setdefault(key, list(value) if isinstance(value, list) else value)
    into.pop("required", None)
    if required:
        into["required"] = sorted(required)


def _describe(schema: Schema, path: str, of: str, documented: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
    """Give each property its description: that of its namesake in the class `of` of the package's inputs."""
    for name, inner in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        text, type_ = documented.get(of, {}).get(_OTHER_NAMES.get(name, name), ("", ""))
        text = _OF_A_STACK.get(here, text)
        if not path and name in _INPUTS:
            type_ = _INPUTS[name]
            text = text or documented[type_][""][0]
        if here == f"machines.{_MACHINE}":
            type_ = "MachineArgs"
        if text:
            inner["description"] = text
        _describe(inner.get("items", inner), here, type_, documented)


def _documented() -> dict[str, dict[str, tuple[str, str]]]:
    """Of each class of the package's inputs, by field, what is written below it and the class its values have.

    The field "" has the class's own text.
    """
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for node in ast.parse(Path(inputs.__file__).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields: dict[str, tuple[str, str]] = {}
        for base in node.bases:
            fields |= found.get(ast.unparse(base), {})
        fields[""] = ((ast.get_docstring(node) or "").replace("\n", " "), "")
        for field, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(field.target, ast.Name):
                names = {part.id for part in ast.walk(field.annotation) if isinstance(part, ast.Name)} & set(found)
                text = " ".join(str(ast.literal_eval(after.value)).split())
                fields[field.target.id] = (text, next(iter(names), ""))
        found[node.name] = fields
    return found


if __name__ == "__main__":
    json.dump(settings_schema(), sys.stdout, indent=2)
    print()

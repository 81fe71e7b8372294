"""The machines in the files that people write, the stack's own and those of `machine_files`: groups, and generations.

An edit changes the few characters that it has to, so that comments, anchors and layout stay as they are and the
difference is one line: a round trip through a YAML library would set the whole file anew, by its own taste. What the
edited text says is compared with what it should say before anything is written.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from cl.transpiler.report import did_you_mean
from components.config.places import stack_file
from components.settings.part import matching

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

IN_STACK = ("config", "flatcar:machines")
KEY = "generation"
_ALIAS = re.compile(r"\s*:\s*(\*[^\s,\[\]{}]+)")
_END_OF_LINE = re.compile(r"[ \t]*(#[^\r\n]*)?(?=\r?\n|\Z)")


class EditError(Exception):
    """A file can't be read or edited: why, and what to do by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesText:
    """A file with machines: its `name` from the project's folder on, and the keys that lead to them."""

    path: Path
    name: str
    way: tuple[str, ...]
    text: str

    @property
    def machines(self) -> dict[str, Any]:
        """The settings of the machines in it, by name."""
        return _at(_loaded(self.text, self.name), self.way)

    def with_raised(self, machine: str) -> MachinesText:
        """The file with the generation of one machine raised by one. Raises `EditError` where that is for a person."""
        generations, rest = _apart(self.text, self.name, self.way)
        wanted, text = generations | {machine: generations[machine] + 1}, self.text
        for name in [machine, *generations]:  # who shares its settings by an anchor keeps its own generation
            if _apart(text, self.name, self.way)[0].get(name) != wanted[name]:
                text = self._with(text, name, wanted[name])
        if _apart(text, self.name, self.way) != (wanted, rest):
            raise EditError(_by_hand(self.name, machine, wanted[machine]))
        return replace(self, text=text)

    def difference(self, edited: MachinesText) -> str:
        """Both texts, as `diff --unified` shows them."""
        before, after = (text.splitlines(keepends=True) for text in (self.text, edited.text))
        return "".join(difflib.unified_diff(before, after, self.name, self.name, n=2))

    def _with(self, text: str, machine: str, number: int) -> str:
        """The text with a generation of the machine's own."""
        by_hand = EditError(_by_hand(self.name, machine, number))
        machines = _node(text, self.way)
        key, value = next((pair for pair in machines if pair[0].value == machine), (None, None))
        if key is None or not isinstance(value, yaml.MappingNode):
            raise by_hand
        if (alias := _alias(text, key, value)) is not None:
            return f"{text[: alias.start(1)]}{{<<: {alias[1]}, {KEY}: {number}}}{text[alias.end(1) :]}"
        for own, scalar in value.value:
            if own.value == KEY:
                alias = _alias(text, own, scalar)
                start, end = alias.span(1) if alias else (scalar.start_mark.index, scalar.end_mark.index)
                return f"{text[:start]}{number}{text[end:]}"
        if not value.value:
            place, new = value.end_mark.index - 1, f"{KEY}: {number}"
        elif value.flow_style:
            place, new = value.value[0][0].start_mark.index, f"{KEY}: {number}, "
        else:
            indent, newline = " " * value.value[0][0].start_mark.column, "\r\n" if "\r\n" in text else "\n"
            ends = [end for pair in value.value if (end := _end_of_line(text, *pair)) is not None]
            if ends:
                place, new = ends[-1], f"{newline}{indent}{KEY}: {number}"
            else:
                place, new = value.value[0][0].start_mark.index, f"{KEY}: {number}{newline}{indent}"
        return text[:place] + new + text[place:]


def machine_texts(root: Path, stack: str) -> list[MachinesText]:
    """The files with machines of a stack of the project in `root`. Raises `EditError` for one that can't be read."""
    name = stack_file(root, stack)
    own = _read(root, name, IN_STACK)
    config = _loaded(own.text, name).get("config") or {}
    more = config.get("flatcar:machine_files") or []
    for key, value, form in (("machines", config.get("flatcar:machines") or {}, dict), ("machine_files", more, list)):
        if not isinstance(value, form):  # such as JSON in a text, by `pulumi config set`
            raise EditError(f"flatcar:{key} in {name} is in another form than YAML's own, and is left to you")
    return [own, *(_read(root, str(file), ()) for file in more)]


def file_settings(root: Path, stack: str) -> dict[str, Any]:
    """A stack's `rollout`, and its `machines` by name, as far as its files can be read."""
    try:
        texts = machine_texts(root, stack)
        config = _loaded(texts[0].text, texts[0].name).get("config") or {}
    except EditError:
        return {}
    machines = {name: settings for text in texts for name, settings in text.machines.items()}
    return {"rollout": config.get("flatcar:rollout"), "machines": machines}


def members(texts: Sequence[MachinesText], group: str) -> list[str]:
    """The names of a group's machines, sorted. Raises `EditError` for a group without any."""
    groups = {
        name: str(settings.get("group") or "")
        for text in texts
        for name, settings in text.machines.items()
        if isinstance(settings, dict)
    }
    found = sorted(name for name, its_group in groups.items() if its_group == group)
    if not found:
        raise EditError(f"no machine is in group {group}{_known(group, set(groups.values()) - {''})}")
    return found


def declared(texts: Sequence[MachinesText], names: Sequence[str]) -> list[str]:
    """The machines that names, and patterns among them, stand for. Raises `EditError` for one that stands for none."""
    known = {name for text in texts for name in text.machines}
    found, unknown = matching(names, known)
    for name in unknown:
        files = ", ".join(text.name for text in texts)
        raise EditError(f"{files} has no machine {name}{_known(name, known)}")
    return found


def raised(texts: Sequence[MachinesText], names: Sequence[str]) -> list[MachinesText]:
    """The files with the generations of machines raised by one. Raises `EditError` where that is for a person."""
    edited = list(texts)
    for name in declared(texts, names):
        edited = [text.with_raised(name) if name in text.machines else text for text in edited]
    return edited


def write(texts: Sequence[MachinesText]) -> None:
    """Write files. Raises `EditError`."""
    for text in texts:
        try:
            text.path.write_text(text.text, encoding="utf-8", newline="")
        except OSError as error:
            raise EditError(f"{text.name} can't be written: {error.strerror}") from None


def _known(name: str, known: Collection[str]) -> str:
    near = did_you_mean(name, known, 0.6)
    return f"; {near} " * bool(near) + "; " * (not near) + f"there are: {', '.join(sorted(known)) or 'none'}"


def _by_hand(name: str, machine: str, number: int) -> str:
    return (
        f"{name} is written in a way that can't be edited here: give {machine} {KEY}: {number} by hand, then `make up`"
    )


def _read(root: Path, name: str, way: tuple[str, ...]) -> MachinesText:
    path = root / name
    try:
        with path.open(encoding="utf-8", newline="") as file:  # its line ends stay
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise EditError(f"{os.path.normpath(name)} can't be read: {error}") from None
    return MachinesText(path=path, name=name, way=way, text=text)


def _loaded(text: str, name: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, yaml.CSafeLoader)  # a safe one
    except yaml.YAMLError as error:
        raise EditError(f"{name} is not YAML, or would not be after the edit: {error}") from None
    return document if isinstance(document, dict) else {}


def _at(document: dict[str, Any], way: Sequence[str]) -> dict[str, Any]:
    for key in way:
        document = document.get(key) or {}
        if not isinstance(document, dict):
            return {}
    return document


def _apart(text: str, name: str, way: Sequence[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """The generation of each machine, and all else that a file says."""
    document = copy.deepcopy(_loaded(text, name))
    machines, generations = _at(document, way), {}
    for machine, settings in machines.items():
        own = settings if isinstance(settings, dict) else {}
        number = own.get(KEY, 0)
        generations[machine] = number if isinstance(number, int) else 0
        machines[machine] = {key: value for key, value in own.items() if key != KEY}
    return generations, document


def _node(text: str, way: Sequence[str]) -> list[tuple[Any, Any]]:
    """The pairs of nodes of the machines; [] where they stand in another way."""
    node = yaml.compose(text, yaml.CSafeLoader)
    for name in way:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in pairs if key.value == name), None)
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _alias(text: str, key: Any, value: Any) -> re.Match[str] | None:
    """Where `*name` stands for a value, which is elsewhere then: before its key."""
    if value.start_mark.index > key.start_mark.index:
        return None
    return _ALIAS.match(text, key.end_mark.index)


def _end_of_line(text: str, key: Any, value: Any) -> int | None:
    """Where the line of a pair ends, comment included; None for a pair that takes more than one."""
    alias = _alias(text, key, value)
    end = alias.end() if alias else value.end_mark.index
    is_block = getattr(value, "style", None) in ("|", ">") or getattr(value, "flow_style", None) is False
    if (is_block and not alias) or "\n" in text[key.start_mark.index : end]:
        return None
    rest = _END_OF_LINE.match(text, end)
    return rest.end() if rest else None

"""The machines in the files that people write, the stack's own and those of `machine_files`: groups, and two settings.

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
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

IN_STACK = ("config", "flatcar:machines")
GENERATION, PINNED = "generation", "pinned"
_UNSET = {GENERATION: 0, PINNED: ""}
_ALIAS = re.compile(r"\s*:\s*(\*[^\s,\[\]{}]+)")
_END_OF_LINE = re.compile(r"[ \t]*(#[^\r\n]*)?(?=\r?\n|\Z)")


class EditError(Exception):
    """A file can't be read or edited: why, and what to do by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinesText:
    """A file with machines: its `name` from the project's folder on, and the keys that lead to them.

    Where several stacks share it, `stack` is the one whose machines are asked for; "" for those of all.
    """

    path: Path
    name: str
    way: tuple[str, ...]
    text: str
    stack: str = ""

    @property
    def machines(self) -> dict[str, Any]:
        """The settings of the machines in it, by name."""
        found = _at(_loaded(self.text, self.name), self.way)
        return {name: own for name, own in found.items() if not self.stack or _names(own, self.stack)}

    def values(self, key: str) -> dict[str, Any]:
        """What each machine has under `GENERATION` or `PINNED`."""
        return self._apart(self.text, key)[0]

    def with_values(self, key: str, changes: Mapping[str, Any]) -> MachinesText:
        """The file with other values under that key of the machines in `changes`; 0 or "" takes one out.

        Raises `EditError` where that is for a person. Reads the text anew after each edit alone: stacks may be large.
        """
        values, rest = now = self._apart(self.text, key)
        wanted, text = {**values, **changes}, self.text
        for name in [*changes, *values]:  # who shares its settings by an anchor keeps its own value
            edits = (self._without, self._with) if wanted[name] == _UNSET[key] else (self._with,)
            for edit in edits:
                if now[0].get(name) != wanted[name]:
                    text = edit(text, name, key, wanted[name])
                    now = self._apart(text, key)
        if now != (wanted, rest):
            raise EditError(_by_hand(self.name, key, changes))
        return replace(self, text=text)

    def difference(self, edited: MachinesText) -> str:
        """Both texts, as `diff --unified` shows them."""
        before, after = (text.splitlines(keepends=True) for text in (self.text, edited.text))
        return "".join(difflib.unified_diff(before, after, self.name, self.name, n=2))

    def _apart(self, text: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The value of each machine, and all else that a file says."""
        document = copy.deepcopy(_loaded(text, self.name))
        machines, values = _at(document, self.way), {}
        for machine, settings in machines.items():
            own = settings if isinstance(settings, dict) else {}
            value = own.get(key, _UNSET[key])
            values[machine] = value if isinstance(value, type(_UNSET[key])) else _UNSET[key]
            machines[machine] = {name: inner for name, inner in own.items() if name != key}
        return values, document

    def _settings(self, text: str, machine: str) -> tuple[Any, Any]:
        """The nodes of a machine's name and of its settings, which are None where they stand in another way."""
        key, value = next((pair for pair in _node(text, self.way) if pair[0].value == machine), (None, None))
        return key, value if isinstance(value, yaml.MappingNode) else None

    def _without(self, text: str, machine: str, key: str, _: Any) -> str:
        """The text without the machine's own value; as it is where there is none in a line, or a place, of its own."""
        name, settings = self._settings(text, machine)
        if settings is None or _alias(text, name, settings) is not None or len(settings.value) < 2:
            return text
        for number, (own, scalar) in enumerate(settings.value):
            if own.value != key:
                continue
            start, end = own.start_mark.index, _end_of_line(text, own, scalar)
            if not settings.flow_style and end is not None:
                start = text.rfind("\n", 0, start) + 1
                if not text[start : own.start_mark.index].strip():
                    return text[:start] + text[text.find("\n", end) + 1 or len(text) :]
            elif settings.flow_style and number:
                return text[: _end(text, *settings.value[number - 1])] + text[_end(text, own, scalar) :]
            elif settings.flow_style:
                return text[:start] + text[settings.value[1][0].start_mark.index :]
        return text

    def _with(self, text: str, machine: str, key: str, value: Any) -> str:
        """The text with a value of the machine's own."""
        new, written = f"{key}: {value or repr(value)}", str(value or repr(value))
        name, settings = self._settings(text, machine)
        if settings is None:
            raise EditError(_by_hand(self.name, key, {machine: value}))
        if (alias := _alias(text, name, settings)) is not None:
            return f"{text[: alias.start(1)]}{{<<: {alias[1]}, {new}}}{text[alias.end(1) :]}"
        pairs = settings.value
        for own, scalar in pairs:
            if own.value == key:
                alias = _alias(text, own, scalar)
                start, end = alias.span(1) if alias else (scalar.start_mark.index, scalar.end_mark.index)
                return f"{text[:start]}{written}{text[end:]}"
        if not pairs:
            place = settings.end_mark.index - 1
        elif settings.flow_style:
            place, new = pairs[0][0].start_mark.index, f"{new}, "
        else:
            indent, newline = " " * pairs[0][0].start_mark.column, "\r\n" if "\r\n" in text else "\n"
            ends = [end for pair in pairs if (end := _end_of_line(text, *pair)) is not None]
            if ends:
                place, new = ends[-1], f"{newline}{indent}{new}"
            else:
                place, new = pairs[0][0].start_mark.index, f"{new}{newline}{indent}"
        return text[:place] + new + text[place:]


def stacks_of(root: Path, stack: str) -> list[str]:
    """The stacks that share the file of this name, which is none of them itself; without such, the stack alone.

    Raises `EditError` for a file that can't be read.
    """
    text = _read(root, stack_file(root, stack), IN_STACK)
    start, _, name = stack.rpartition("/")
    stacks = _stacks(_loaded(text.text, text.name).get("config") or {})
    return [f"{start}/{one}" if start else one for one in stacks] if stacks and name not in stacks else [stack]


def _names(settings: Any, stack: str) -> bool:
    return isinstance(settings, dict) and settings.get("stack") == stack


def _stacks(config: dict[str, Any]) -> list[str]:
    stacks = config.get("flatcar:stacks")
    return [str(stack) for stack in stacks] if isinstance(stacks, list) else []


def machine_texts(root: Path, stack: str) -> list[MachinesText]:
    """The files with machines of a stack of the project in `root`. Raises `EditError` for one that can't be read."""
    name = stack_file(root, stack)
    own = _read(root, name, IN_STACK)
    config = _loaded(own.text, name).get("config") or {}
    more = config.get("flatcar:machine_files") or []
    for key, value, form in (("machines", config.get("flatcar:machines") or {}, dict), ("machine_files", more, list)):
        if not isinstance(value, form):  # such as JSON in a text, by `pulumi config set`
            raise EditError(f"flatcar:{key} in {name} is in another form than YAML's own, and is left to you")
    its = short if (short := stack.rpartition("/")[2]) in _stacks(config) else ""
    return [replace(text, stack=its) for text in (own, *(_read(root, str(file), ()) for file in more))]


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
    names = declared(texts, names)
    pins = pins_of(texts)
    if held := [name for name in names if pins[name]]:
        raise EditError(
            f"{', '.join(held)} is pinned to a former config, and generation has no effect on that; "
            f"first take the pin out: make rollback MACHINE={held[0]} TO=none"
        )
    return [
        text.with_values(GENERATION, {name: old + 1 for name, old in text.values(GENERATION).items() if name in names})
        for text in texts
    ]


def pins_of(texts: Sequence[MachinesText]) -> dict[str, str]:
    """What each machine is pinned to, "" for nothing."""
    return {name: file for text in texts for name, file in text.values(PINNED).items()}


def pinned(texts: Sequence[MachinesText], files: Mapping[str, str]) -> list[MachinesText]:
    """The files with each machine pinned to its file, "" for none. Raises `EditError` where that is for a person."""
    return [
        text.with_values(PINNED, {name: files[name] for name in text.values(PINNED) if name in files}) for text in texts
    ]


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


def _by_hand(name: str, key: str, changes: Mapping[str, Any]) -> str:
    do = " and ".join(
        f"give {machine} {key}: {value}" if value else f"take {key} out of {machine}"
        for machine, value in changes.items()
    )
    return f"{name} is written in a way that can't be edited here: {do} by hand, then `make up`"


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


def _end(text: str, key: Any, value: Any) -> int:
    """Where a pair ends."""
    alias = _alias(text, key, value)
    return alias.end() if alias else int(value.end_mark.index)


def _end_of_line(text: str, key: Any, value: Any) -> int | None:
    """Where the line of a pair ends, comment included; None for a pair that takes more than one."""
    alias, end = _alias(text, key, value), _end(text, key, value)
    is_block = getattr(value, "style", None) in ("|", ">") or getattr(value, "flow_style", None) is False
    if (is_block and not alias) or "\n" in text[key.start_mark.index : end]:
        return None
    rest = _END_OF_LINE.match(text, end)
    return rest.end() if rest else None

"""Several configs as one: each is translated on its own, then the Ignition configs are merged.

Spec 3 merges as Ignition does, and with it terraform-provider-ct: the later config wins, lists merge by key
(files, directories and links by path, units, drop-ins, users, groups by name, disks and file systems by device,
…), lists without a key are joined. Spec 2 appends, as Ignition 2 does: all lists are joined. The merged config
is checked once more, because valid configs may contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from cl.transpiler.gojson import Json
from cl.transpiler.report import Diagnostic, Findings, Path
from cl.transpiler.yamlnode import Node, NodeLocator


class Snippet(str):
    """A snippet's text with the name of its file, which the report shows: `Snippet(text, "users.yaml")`.

    A `str`, because a text without a name may stand wherever it may. What an operation makes of it is a plain text: it
    is handed on as it is.
    """

    __slots__ = ("filename",)
    filename: str

    def __new__(cls, text: str, filename: str) -> Self:
        """A text that knows where it came from."""
        made = super().__new__(cls, text)
        made.filename = filename
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One translated source: its name, its node tree (for positions), and its Ignition config."""

    filename: str
    root: Node | None
    config: dict[str, Json]


Merged = tuple[dict[str, Json] | None, tuple[Diagnostic, ...]]


def merge_parts(parts: Sequence[Part]) -> Merged:
    """The parts as one config, later ones over earlier ones; None and an error when they don't go together."""
    versions = [_version(part.config) for part in parts]
    second = [version.startswith("2.") for version in versions]
    if all(second):
        return _append([part.config for part in parts]), ()
    if any(second):
        odd = next(part for part, is_second in zip(parts, second, strict=True) if is_second != second[0])
        finding = Diagnostic(
            severity="error",
            path="$",
            message="a Container Linux Config and a Butane config don't merge: they make Ignition 2 and 3",
            hint='ask for spec "3", then a Container Linux Config becomes Ignition 3 as well',
            filename=odd.filename,
        )
        return None, (finding,)
    return _merge(parts, max(int(version.split(".")[1]) for version in versions))


def _version(config: dict[str, Json]) -> str:
    ignition: Any = config["ignition"]
    return str(ignition["version"])


def _append(configs: Sequence[Any]) -> Any:
    """Ignition 2's append: lists are joined, but `ignition.config` is the last one's and the version the first's."""
    out = configs[0]
    for config in configs[1:]:
        version, section = out["ignition"]["version"], config["ignition"]["config"]
        out = _joined(out, config)
        out["ignition"] = {**out["ignition"], "config": section, "version": version}
    return out


def _joined(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})  # as Go's struct fields are
        return {key: _joined(old[key], new[key]) if key in old and key in new else {**old, **new}[key] for key in keys}
    return [*old, *new] if isinstance(old, list) and isinstance(new, list) else new


def _merge(parts: Sequence[Part], spec: int) -> Merged:
    from cl.transpiler.ignition.convert import validate  # a part may have been converted from spec 2
    from cl.transpiler.ignition.v3_config import encode, find_duplicates, merge

    configs = [_structs(part, spec) for part in parts]
    merged = configs[0]
    for config in configs[1:]:
        merged = merge(merged, config, spec)
    findings = Findings()
    find_duplicates(merged, spec, findings)
    validate(merged, spec, findings)
    if not findings.is_fatal:
        return encode(merged, spec), ()
    return None, _located(findings, parts, _owners(configs, spec))


@lru_cache(maxsize=32)  # a fleet's machines share snippets
def _structs(part: Part, spec: int) -> Any:
    from cl.transpiler.ignition.v3_json import read

    return read(part.config, spec)


def _owners(configs: Sequence[Any], spec: int) -> dict[Path, tuple[int, Path]]:
    """Which part each path of the merged config comes from, and its path there."""
    from cl.transpiler.ignition.v3_config import Step, merge

    merged, owners = configs[0], dict[Path, tuple[int, Path]]()
    for number, config in enumerate(configs[1:], start=1):
        steps: list[Step] = []
        merged = merge(merged, config, spec, steps)
        now: dict[Path, tuple[int, Path]] = {}
        for from_child, source, target in steps:  # of two origins, the child's comes last
            now[target] = (number, source) if from_child else owners.get(source, (0, source))
        owners = now
    return owners


def _located(findings: Findings, parts: Sequence[Part], owners: dict[Path, tuple[int, Path]]) -> tuple[Diagnostic, ...]:
    out: list[Diagnostic] = []
    for entry, path in findings.entries():
        known = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in owners or not end)
        number, source = owners.get(known, (0, ()))
        part, one = parts[number], Findings()
        hint = entry.hint or "each source is valid on its own, but together they are not"
        one.add(entry.severity, (*source, *path[len(known) :]), entry.message, hint=hint)
        out.extend(one.located(NodeLocator(part.root), part.filename))
    return tuple(entry for entry in out if entry.severity == "error")

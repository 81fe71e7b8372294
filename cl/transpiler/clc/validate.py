"""What `ct` checks in a config before it converts it (its parse stage), in `ct`'s order and at its positions.

Depth first, in the order of the structs' fields: first the struct's own rule (when it fails, what is inside stays
unchecked), then the rule of each field and its value, last the keys that nothing knows. Aliases are followed
for values but not for positions and unknown keys, as in `ct`: a finding behind an alias stands at the alias.
Source: flatcar/ignition v0.36.2, config/validate/validate.go; ct v0.9.4, config/types/*.go.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from math import isinf, isnan
from typing import Any

from cl.transpiler.clc import schema
from cl.transpiler.clc.clusters import Cluster, Etcd, Flannel
from cl.transpiler.clc.hints import hint_for
from cl.transpiler.gotext import SPACE, is_duration, lower
from cl.transpiler.gourl import UrlError, parse_url
from cl.transpiler.report import Findings, Key, Path
from cl.transpiler.schema import Struct, struct_of
from cl.transpiler.yamlnode import Mapping, Node, Sequence

DEFAULT_FILE_MODE = 0o644
DEFAULT_DIRECTORY_MODE = 0o755

_DAYS = frozenset(("sun", "mon", "tue", "wed", "thu", "fri", "sat", "not-present"))
"""`not-present` is ct's own word for no day at all; it doesn't notice when a config says it."""
_TIME = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")
_WORDS = re.compile("[{0}]*([^{0}\n]+)[{0}]+([^{0}\n]+)".format(SPACE.replace("\n", "")))
"""Go's Sscanf("%s %s"): a line's end is no blank to it."""


def validate(config: schema.Config, root: Node | None, findings: Findings) -> None:
    """Add `ct`'s parse-stage findings about `config`, which was decoded from `root`."""
    _Walk(findings).struct(struct_of(schema.Config), config, root, ())


class _Walk:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def struct(self, struct: Struct, value: Any, node: Node | None, path: Path) -> None:
        own = _RULES.get(type(value))
        if own is not None and own(value, path, self._findings):
            return
        mapping = node if isinstance(node, Mapping) else None
        for name, key, inner, is_list, default in _fields_to_visit(struct):
            rule = _FIELD_RULES.get((struct.cls, name))
            if rule is not None:
                rule(value, (*path, key), self._findings)
            child = getattr(value, name)
            if inner is None or child is None or child is default:
                continue
            pair = mapping.child(key) if mapping is not None else None
            below = pair[1] if pair is not None else None
            if is_list:
                items = below.items if isinstance(below, Sequence) else []
                for index, item in enumerate(child):
                    self.struct(inner, item, items[index] if index < len(items) else None, (*path, key, index))
            else:
                self.struct(inner, child, below, (*path, key))
        if mapping is not None:
            self._unknown_keys(value, struct, mapping, path)

    def _unknown_keys(self, value: Any, struct: Struct, mapping: Mapping, path: Path) -> None:
        known = value.keys() if isinstance(value, Cluster) else struct.fields
        for key in {key.value: None for key, _ in mapping.pairs}:
            if key not in known:
                self._unknown_key(key, known, (*path, Key(key)), struct.cls)

    def _unknown_key(self, key: str, known: Iterable[str], path: Path, where: type[Any]) -> None:
        hint = hint_for(where, key, known)
        self._findings.warning(path, f"key {key!r} is not known here and has no effect", hint=hint)
        for name in known:
            if len(name) == len(key) and name.casefold() == key.casefold():
                self._findings.info(path, f"{name!r} differs from {key!r} in case alone, and case matters")


@cache
def _fields_to_visit(struct: Struct) -> tuple[tuple[str, str, Struct | None, bool, object], ...]:
    """(attribute, key, struct inside, is a list of them, default) of the fields that have a rule or a struct inside."""
    out = []
    defaults = {field.name: field.default for field in dataclasses.fields(struct.cls)}
    for field in struct.fields.values():
        inner = field.type.item.struct if field.type.item is not None else field.type.struct
        if inner is not None or (struct.cls, field.name) in _FIELD_RULES:
            out.append((field.name, field.key, inner, field.type.kind == "list", defaults[field.name]))
    return tuple(out)


# --- rules: of a struct (True stops the way down), and of a field (given the struct that has it) ------------------


def _check_version(config: schema.Config, path: Path, findings: Findings) -> None:
    if config.version != 0:
        findings.error(path, "version is undocumented and may only be 0", hint="leave the key out")


def _check_file_mode(file: schema.File, path: Path, findings: Findings) -> None:
    if file.mode is not None:
        return
    if file.append:
        findings.info(path, "no mode is given: 0644 is used if the file does not exist")
    else:
        findings.warning(path, "no mode is given for the file: 0644 is used", hint="add mode: 0644")


def _check_directory_mode(directory: schema.Directory, path: Path, findings: Findings) -> None:
    if directory.mode is None:
        findings.warning(path, "no mode is given for the directory: 0755 is used", hint="add mode: 0755")


def _check_contents(contents: schema.FileContents, path: Path, findings: Findings) -> bool:
    given = [bool(contents.remote.url), bool(contents.inline), bool(contents.local)]
    if sum(given) > 1:
        findings.error(path, "contents come from one of inline, local and remote.url, not from several")
    return sum(given) > 1


def _check_etcd(etcd: Etcd, path: Path, findings: Findings) -> bool:
    version = etcd.version or Etcd.usual
    at = (*path, "version")
    if version.before(2, 3, 0):
        findings.error(at, f"etcd {version} is older than 2.3.0, the oldest that can be set up")
    elif (version.major == 2 and version.minor > 3) or (version.major == 3 and version.minor > 5):
        newest = "2.3" if version.major == 2 else "3.5"
        findings.warning(at, f"etcd {version} is newer than known: only the options of {newest} are accepted")
    elif version.major > 3:
        findings.error(at, f"etcd {version} is newer than 3.5, the newest that can be set up")
    return False


def _check_flannel(flannel: Flannel, path: Path, findings: Findings) -> bool:
    if flannel.options.get("kube_subnet_mgr") and flannel.network_config:
        findings.error(path, "network_config and kube_subnet_mgr: true exclude each other")
        return True
    version = flannel.version
    if version is not None and version.before(0, 5, 0):
        findings.error((*path, "version"), f"flannel {version} is older than 0.5.0, the oldest that can be set up")
    elif version is not None and version.major == 0 and version.minor > 7:
        message = f"flannel {version} is newer than known: only the options of 0.7 are accepted"
        findings.warning((*path, "version"), message)
    if flannel.network_config and not _is_json_object(flannel.network_config):
        findings.error((*path, "network_config"), "network_config is not a JSON object")
    return False


def _is_json_object(text: str) -> bool:
    """What Go's encoding/json puts into a map: an object, or null."""

    def number(digits: str) -> float:
        if isinf(value := float(digits)) or isnan(value):
            raise ValueError(digits)
        return value

    try:
        value = json.loads(text, parse_constant=number, parse_int=number, parse_float=number)
    except (ValueError, RecursionError):
        return False
    return value is None or isinstance(value, dict)


def _check_update(update: schema.Update, path: Path, findings: Findings) -> bool:
    if lower(update.group) not in ("stable", "beta", "alpha") and not update.server:
        hint = "one of stable, beta, alpha, or a server that knows other groups"
        findings.warning(path, f"update group {update.group!r} is not known", hint=hint)
    try:
        parse_url(update.server)
    except UrlError as error:
        findings.error((*path, "server"), f"the update server is not a URL: {error}")
    return False


def _check_locksmith(locksmith: schema.Locksmith, path: Path, findings: Findings) -> bool:
    if bool(locksmith.window_start) != bool(locksmith.window_length):
        findings.error(path, "window_start and window_length go together")
        return True
    strategy = locksmith.reboot_strategy
    if strategy and lower(strategy) not in ("reboot", "etcd-lock", "off"):
        message = f"the reboot strategy is one of reboot, etcd-lock, off, not {strategy!r}"
        findings.error((*path, "reboot_strategy"), message)
    if locksmith.window_start:
        _check_window_start(locksmith.window_start, (*path, "window_start"), findings)
    if locksmith.window_length and not is_duration(locksmith.window_length):
        hint = "a duration like 1h30m"
        findings.error((*path, "window_length"), f"{locksmith.window_length!r} is not a length of time", hint=hint)
    return False


def _check_window_start(start: str, path: Path, findings: Findings) -> None:
    words = _WORDS.match(start)
    day, time = words.groups() if words else ("", start)
    if day and lower(day) not in _DAYS:
        hint = "one of sun, mon, tue, wed, thu, fri, sat"
        findings.error(path, f"{day!r} is not a day of the week", hint=hint)
    elif not _TIME.fullmatch(time):
        findings.error(path, f"{time!r} is not a time of day", hint="hours and minutes like 04:00")


_RULES: dict[type[Any], Callable[[Any, Path, Findings], bool]] = {
    schema.FileContents: _check_contents,
    Etcd: _check_etcd,
    Flannel: _check_flannel,
    schema.Update: _check_update,
    schema.Locksmith: _check_locksmith,
}
_FIELD_RULES: dict[tuple[type[Any], str], Callable[[Any, Path, Findings], None]] = {
    (schema.Config, "version"): _check_version,
    (schema.File, "mode"): _check_file_mode,
    (schema.Directory, "mode"): _check_directory_mode,
}

"""What goes wrong with a valid Ignition config when it is run again on a machine that lives.

Ignition and Butane check a config for a first boot. A config that re-provisions meets the disks and files of the
run before; the rules in here are about that. An error is about lost data or a machine that can't be reached any
more, a warning about the rest; `allow` takes a rule back where it is meant so.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cl.transpiler.detect import compose_source, is_ignition
from cl.transpiler.ignition.checks import CheckError, decode_data_url
from cl.transpiler.report import Diagnostic, Findings, Report, Severity
from cl.transpiler.variables import Variables
from cl.transpiler.yamlnode import Mapping as MappingNode
from cl.transpiler.yamlnode import Node
from cl.transpiler.yamlnode import Sequence as SequenceNode

ROOT_DEVICES = ("/dev/disk/by-partlabel/ROOT", "/dev/disk/by-label/ROOT")
"""The file system that re-provisioning replaces, or deletes most of."""

_UPDATE_CONF = ("/etc/flatcar/update.conf", "/etc/coreos/update.conf")
_STRATEGY = re.compile(r"^\s*REBOOT_STRATEGY\s*=", re.MULTILINE)


class Rule(StrEnum):
    """The rules by name, for `allow`."""

    KEPT = "kept"
    WIPE = "wipe"
    REMOTE = "remote"
    REPLACE = "replace"
    LOGIN = "login"
    REBOOT = "reboot"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rules have to know about the machine.

    `is_kept` tells of a whole path whether it survives the wipe. `ssh_user` is who logs in; None when the
    platform itself brings that user's keys. `managed_rollouts`: reboots are this program's business. `limit` is
    the largest config, in bytes, that `limit_of` (a store, a platform) takes. `root_is_kept`: something on ROOT has
    to survive the next run.
    """

    is_kept: Callable[[str], bool] = lambda _path: False
    root_is_kept: bool = False
    ssh_user: str | None = None
    managed_rollouts: bool = False
    limit: int | None = None
    limit_of: str = "the store"


def lint(
    config: dict[str, Any],
    situation: Situation,
    *,
    size: int = 0,
    allow: Collection[Rule] = (),
    sources: Sequence[tuple[str, str]] = (),
    variables: Mapping[str, str] | None = None,
) -> Report:
    """Findings about a decoded Ignition 3 config that is `size` bytes long as it is stored.

    Each has a hint with the way out, and names the rule. `allow` leaves rules out. Paths are those of the Ignition
    config. `sources` are the valid configs that it was made from, as (file name, text), later ones over earlier ones,
    with their `variables`: a finding about something that one of them names gets its line there. What sugar has
    made stands in the first source, without a line.
    """
    roots: list[tuple[str, Node | None]] | None = None
    out = []
    for finding in _findings(config, situation, size):
        if finding.rule in allow:
            continue
        if roots is None:
            roots = [(name, _root(text, variables)) for name, text in reversed(sources)]
        name, node = next(
            ((name, node) for name, root in roots if (node := _named(root, finding.subject))), (None, None)
        )
        out.append(
            Diagnostic(
                severity=finding.severity,
                path=f"$.{finding.path}" if finding.path else "$",
                message=finding.message,
                line=node.line if node else None,
                column=node.column if node else None,
                hint=f"{finding.hint}; if it is meant so: allow: [{finding.rule}]",
                filename=name or (sources[0][0] if sources else "<config>"),
            )
        )
    return Report(tuple(out), sources=tuple(sources))


Subject = tuple[str, str, str]
"""What a finding is about, as its source names it: section, keys, value; ("storage", "path", "/etc/motd")."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has found at `path` of the Ignition config."""

    rule: Rule
    severity: Severity
    path: str
    message: str
    hint: str
    subject: Subject | None = None


def _root(text: str, variables: Mapping[str, str] | None) -> Node | None:
    fill = Variables(variables).filler(Findings()) if variables is not None else None
    return compose_source(text, fill, is_json=is_ignition(text))


def _named(root: Node | None, subject: Subject | None) -> Node | None:
    """The value's node in the first mapping under the section that has it under one of the keys."""
    if subject is None or not isinstance(root, MappingNode):
        return None
    section, keys, value = subject
    pair = root.child(section)
    waiting = [pair[1]] if pair is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, MappingNode):
            for key in keys.split():
                pair = node.child(key)
                if pair is not None and pair[1].value == value:
                    return pair[1]
            waiting += [inner for _, inner in reversed(node.pairs)]
        elif isinstance(node, SequenceNode):
            waiting += reversed(node.items)
    return None


def _findings(config: dict[str, Any], situation: Situation, size: int) -> Iterator[Finding]:
    storage = config.get("storage", {})
    yield from _kept(storage, situation.is_kept)
    yield from _wipes(storage, situation.root_is_kept)
    yield from _remote(storage, config.get("ignition", {}))
    yield from _login(config, situation.ssh_user)
    if situation.managed_rollouts:
        yield from _reboots(config)
    if situation.limit is not None and size > situation.limit:
        message = f"the config has {size} bytes, {situation.limit_of} takes {situation.limit}"
        hint = "move large contents to a place that the machine fetches them from"
        yield Finding(Rule.SIZE, "error", "", message, hint)


def _kept(storage: dict[str, Any], is_kept: Callable[[str], bool]) -> Iterator[Finding]:
    """Ignition refuses to write contents over a file that is there, and does so after the wipe
    (coreos/ignition, internal/exec/stages/files/filesystemEntries.go). What is appended goes behind what is there.
    """
    for kind in ("files", "links"):
        for index, node in enumerate(storage.get(kind, [])):
            writes = kind == "links" or "source" in node.get("contents", {})
            where, subject = f"storage.{kind}.{index}", ("storage", "path", node["path"])
            if writes and not node.get("overwrite") and is_kept(node["path"]):
                message = f"{node['path']} survives the next run, and the config writes it: one of the two is lost"
                yield Finding(Rule.KEPT, "error", where, message, "set overwrite: true, or keep less", subject)
            elif not writes and node.get("append") and is_kept(node["path"]):
                message = f"{node['path']} survives the next run, and each run appends to it once more"
                hint = "write it whole, with contents and overwrite: true, or keep less"
                yield Finding(Rule.KEPT, "warning", where, message, hint, subject)


def _wipes(storage: dict[str, Any], root_is_kept: bool) -> Iterator[Finding]:
    for index, filesystem in enumerate(storage.get("filesystems", [])):
        device = filesystem["device"]
        if not filesystem.get("wipeFilesystem"):
            continue
        where, subject = f"storage.filesystems.{index}", ("storage", "device", device)
        if device not in ROOT_DEVICES:
            message = f"the file system on {device} is erased each time the config runs again"
            hint = "without wipe_filesystem, one that fits (format, label, UUID) is used as it is"
            yield Finding(Rule.WIPE, "error", where, message, hint, subject)
        elif root_is_kept:
            message = "ROOT is erased each time the config runs again, with all that was to be kept on it"
            hint = "leave wipe_filesystem to the lifecycle that formats ROOT"
            yield Finding(Rule.WIPE, "error", where, message, hint, subject)
    for index, disk in enumerate(storage.get("disks", [])):
        if disk.get("wipeTable"):
            message = f"the partition table of {disk['device']} is erased each time the config runs again"
            hint = "without wipe_table, partitions that fit are used as they are"
            subject = ("storage", "device", disk["device"])
            yield Finding(Rule.WIPE, "error", f"storage.disks.{index}", message, hint, subject)
    for index, luks in enumerate(storage.get("luks", [])):
        if luks.get("wipeVolume"):
            message = f"the encrypted volume {luks['name']} is erased each time the config runs again"
            subject = ("storage", "name", luks["name"])
            yield Finding(Rule.WIPE, "error", f"storage.luks.{index}", message, "leave wipe_volume out", subject)


def _remote(storage: dict[str, Any], ignition: dict[str, Any]) -> Iterator[Finding]:
    """What is fetched while Ignition runs is fetched after the wipe: if that fails, the machine waits in its initrd."""
    section = ignition.get("config", {})
    if section.get("replace", {}).get("source") is not None:
        message = "the config replaces itself by another one: what is checked here never runs, nor is it proven to run"
        hint = "point the machine at that config itself"
        subject: Subject = ("ignition", "source", section["replace"]["source"])
        yield Finding(Rule.REPLACE, "error", "ignition.config.replace", message, hint, subject)
    places = [(f"ignition.config.merge.{i}", resource) for i, resource in enumerate(section.get("merge", []))]
    for index, file in enumerate(storage.get("files", [])):
        places.append((f"storage.files.{index}.contents", file.get("contents", {})))
        places += [(f"storage.files.{index}.append.{i}", resource) for i, resource in enumerate(file.get("append", []))]
    for index, luks in enumerate(storage.get("luks", [])):
        places.append((f"storage.luks.{index}.keyFile", luks.get("keyFile", {})))
    for path, resource in places:
        source = resource.get("source") or ""
        if source and not source.lower().startswith("data:"):
            message = f"{_shown(source)} is fetched after the wipe: if it can't be, the machine stays down"
            hint = "put the contents into the config (local:, inline:)"
            subject = (path.partition(".")[0], "source url", source)
            yield Finding(Rule.REMOTE, "warning", path, message, hint, subject)


def _shown(source: str) -> str:
    """A URL without what may be secret in it."""
    return re.sub(r"//[^/@]*@", "//", source.partition("?")[0])


def _login(config: dict[str, Any], user: str | None) -> Iterator[Finding]:
    if user is None:
        return
    users = config.get("passwd", {}).get("users", [])
    has_keys = any(entry["name"] == user and entry.get("sshAuthorizedKeys") for entry in users)
    files = config.get("storage", {}).get("files", [])
    if not has_keys and not any(file["path"].startswith(f"/home/{user}/.ssh/") for file in files):
        message = f"{user} has no SSH key in the config: after the wipe nobody can log in"
        hint = f"give {user} ssh_authorized_keys"
        yield Finding(Rule.LOGIN, "error", "passwd.users", message, hint, ("passwd", "name", user))


def _reboots(config: dict[str, Any]) -> Iterator[Finding]:
    """Flatcar reboots after an update, by itself, unless it is told otherwise."""
    units = config.get("systemd", {}).get("units", [])
    masked = {unit["name"] for unit in units if unit.get("mask")}
    files = config.get("storage", {}).get("files", [])
    if masked & {"locksmithd.service", "update-engine.service"}:
        return
    if any(file["path"] in _UPDATE_CONF and _STRATEGY.search(_text(file)) for file in files):
        return
    message = "nothing says when the machine reboots after an update: it may do so in the middle of a rollout"
    hint = f"write REBOOT_STRATEGY=off into {_UPDATE_CONF[0]}"
    yield Finding(Rule.REBOOT, "warning", "storage.files", message, hint, ("storage", "path", _UPDATE_CONF[0]))


def _text(file: dict[str, Any]) -> str:
    """The contents of a text file of the config; "" when they are elsewhere."""
    contents = file.get("contents", {})
    try:
        data = decode_data_url(contents.get("source") or "")
        return (gzip.decompress(data) if contents.get("compression") == "gzip" else data).decode("utf-8", "replace")
    except (CheckError, OSError, EOFError, zlib.error):
        return ""

"""A readable, masked summary of an Ignition config, for previews; and what Pulumi's state has of it.

Decoded text per file instead of percent-encoded data URLs. A component has a digest of each entry as its own
properties: a preview names what changes, and the state holds no text of a config.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from cl.transpiler.gourl import without_secrets
from cl.transpiler.ignition.checks import decode_data_url
from components.payload.masking import MASK, with_shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.payload.fragments import IgnitionConfig

LONGEST_TEXT = 64 * 1024
SECTIONS = ("files", "directories", "links", "units", "users", "groups", "storage", "kernelArguments")
_DIGEST = re.compile(r"[0-9a-f]{16}")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_SECRET_FIELDS = frozenset({"passwordHash", "keyFile", "httpHeaders", "thumbprint", "custom"})
"""Fields that are masked whole, wherever they are; `custom` is clevis's, with a config of any pin."""


def summarize(config: IgnitionConfig, shown_as: Mapping[str, str]) -> dict[str, Any]:
    """The summary: `files`, `directories`, `links`, `units`, `users` as mappings by name, the rest as it is.

    `config` holds stand-ins for the values of secrets, and for those that aren't known yet: `shown_as` says what is
    shown for each. Password hashes, request headers, disk keys, Tang thumbprints, whole files that hold a private key,
    and files that only their owner may read are masked here.
    """
    storage = dict(config.get("storage", {}))
    systemd = dict(config.get("systemd", {}))
    passwd = dict(config.get("passwd", {}))
    summary: dict[str, Any] = {
        "files": {node["path"]: _file(node) for node in storage.pop("files", [])},
        "directories": {node["path"]: _node(node) for node in storage.pop("directories", [])},
        "links": {node["path"]: _link(node) for node in storage.pop("links", [])},
        "units": {unit["name"]: _unit(unit) for unit in systemd.pop("units", [])},
        "users": {user["name"]: _without_name(user) for user in passwd.pop("users", [])},
        "groups": {group["name"]: _without_name(group) for group in passwd.pop("groups", [])},
        "storage": storage,
        "kernelArguments": config.get("kernelArguments"),
    }
    return {name: with_shown(_masked(value), shown_as) for name, value in summary.items() if value}


def digests(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a summary with digests of their entries; what are digests already, or not known yet, stays."""
    found = {name: summary[name] for name in SECTIONS if summary.get(name) is not None}
    return {
        section: {name: digest(entry) for name, entry in entries.items()}
        if section not in ("storage", "kernelArguments") and isinstance(entries, dict)
        else digest(entries)
        for section, entries in found.items()
    }


def digest(entry: Any) -> Any:
    """What the state has of an entry of a summary: enough to tell it from another one."""
    if is_digest(entry) or not isinstance(entry, (str, dict, list, tuple)):
        return entry
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]


def is_digest(entry: Any) -> bool:
    """Whether this is what `digest` makes."""
    return isinstance(entry, str) and _DIGEST.fullmatch(entry) is not None


def _file(node: dict[str, Any]) -> dict[str, Any]:
    summary = _node(node)
    parts = [node["contents"]] if node.get("contents") else []
    secret = node.get("mode") is not None and node["mode"] & 0o077 == 0
    for name, resources in (("contents", parts), ("append", node.get("append", []))):
        if resources:
            summary[name] = MASK if secret else "".join(_content(resource) for resource in resources)
    return summary


def _node(node: dict[str, Any]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    if node.get("mode") is not None:
        summary["mode"] = f"{node['mode']:04o}"
    for name in ("user", "group"):
        owner = node.get(name) or {}
        if owner:
            summary[name] = str(owner.get("name", owner.get("id")))
    return summary or {"mode": "default"}


def _link(node: dict[str, Any]) -> str:
    return ("hard link to " if node.get("hard") else "") + str(node.get("target", ""))


def _unit(unit: dict[str, Any]) -> dict[str, Any]:
    summary = {name: value for name, value in unit.items() if name not in {"name", "dropins"}}
    if unit.get("dropins"):
        summary["dropins"] = {dropin["name"]: dropin.get("contents", "") for dropin in unit["dropins"]}
    return summary


def _without_name(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "name"}


def _content(resource: dict[str, Any]) -> str:
    source = resource.get("source") or ""
    if source and not source.startswith("data:"):
        return "from " + without_secrets(source)
    try:
        data = decode_data_url(source, resource.get("compression")) if source else b""
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return f"binary, {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"
    except ValueError as error:
        return f"not decodable: {error}"
    if "\0" in text or len(text) > LONGEST_TEXT:
        return f"{len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}"
    return text


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if name in _SECRET_FIELDS and inner else _masked(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    return MASK if isinstance(value, str) and _PRIVATE_KEY.search(value) else value

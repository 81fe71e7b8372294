"""A readable, masked summary of an Ignition config, for `pulumi preview --diff` and for state.

Decoded text per file instead of percent-encoded data URLs; what is secret is masked. A component that has this as its
own properties shows a line-by-line diff under each changed file, and leaves unchanged ones out.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.lifecycle import IgnitionConfig

MASK = "[masked]"
LONGEST_TEXT = 64 * 1024
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")
_SECRET_FIELDS = frozenset({"passwordHash", "keyFile", "httpHeaders", "thumbprint"})


def summarize(config: IgnitionConfig, secrets: Sequence[str] = ()) -> dict[str, Any]:
    """The summary: `files`, `directories`, `links`, `units`, `users` as mappings by name, the rest as it is.

    `secrets` are the literal values of the stack's secrets; wherever one occurs, it is masked. So are password hashes,
    request headers, disk keys, whole files that hold a private key, and files that only their owner may read.
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
    present = tuple(filter(None, secrets))
    return {name: _masked(value, present) for name, value in summary.items() if value}


def decode_data_url(source: str, compression: str | None = None) -> bytes:
    """The bytes of a `data:` URL (RFC 2397), decompressed. Raises ValueError when it is not one."""
    head, comma, body = source.partition(",")
    if not head.startswith("data:") or not comma:
        raise ValueError("not a data URL")
    data = unquote_to_bytes(body)
    try:
        if head.endswith(";base64"):
            data = base64.b64decode(data, validate=True)
        return gzip.decompress(data) if compression == "gzip" else data
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from error


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
        address = urlsplit(source)
        return "from " + urlunsplit(
            address._replace(query="…" if address.query else "", netloc=address.netloc.split("@")[-1])
        )
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


def _masked(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {
            name: MASK if name in _SECRET_FIELDS and inner else _masked(inner, secrets) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_masked(inner, secrets) for inner in value]
    if not isinstance(value, str):
        return value
    if _PRIVATE_KEY.search(value):
        return MASK
    for secret in secrets:
        value = value.replace(secret, MASK)
    return value

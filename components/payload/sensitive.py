"""What in an Ignition config should not be readable by others, beside the secret variables that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from cl.transpiler.ignition.checks import CheckError, decode_data_url

if TYPE_CHECKING:
    from components.payload.fragments import IgnitionConfig
    from components.payload.masking import StandIns

PRIVATE_KEY = b"PRIVATE KEY-----"


def sensitive_parts(config: IgnitionConfig, masked: IgnitionConfig | None) -> list[str]:
    """Names of files and units that hold a private key (PEM, OpenSSH), and `passwordHash of USER`; in order.

    The names are those in `masked`, which is the same config without secret values; by number when there is none.
    Raises `pulumi.RunError` for contents that can't be decompressed, which Ignition would only notice on the machine.
    """
    found = []
    for number, file in enumerate(config.get("storage", {}).get("files", [])):
        contents = [file.get("contents", {}), *file.get("append", [])]
        name = _name(masked, "storage", "files", number, "path")
        try:
            if any(_holds_key(part) for part in contents):
                found.append(name)
        except CheckError:  # which shows the first bytes
            raise pulumi.RunError(f"{name}: the contents are not compressed with gzip, as the config says") from None
    for number, unit in enumerate(config.get("systemd", {}).get("units", [])):
        texts = [unit.get("contents"), *(part.get("contents") for part in unit.get("dropins", []))]
        if any(PRIVATE_KEY.decode() in text for text in texts if text):
            found.append(_name(masked, "systemd", "units", number, "name"))
    for number, user in enumerate(config.get("passwd", {}).get("users", [])):
        if user.get("passwordHash"):
            found.append("passwordHash of " + _name(masked, "passwd", "users", number, "name"))
    return found


def readable_secrets(masked: IgnitionConfig | None, stand_ins: StandIns) -> dict[str, str]:
    """The names of the secrets in files that every user may read (0644 by default), and in units, by their places.

    Places are such as `storage.files.0`; a folder that the config closes to others hides what is in it.
    """
    if masked is None or not stand_ins.values:
        return {}
    named = stand_ins.shown_as({name: name for name in stand_ins.values})
    storage = masked.get("storage", {})
    closed = ["/root/"]
    closed += [f"{node['path']}/" for node in storage.get("directories", []) if not node.get("mode", 0o755) & 1]
    texts = {}
    for number, file in enumerate(storage.get("files", [])):
        if file.get("mode", 0o644) & 0o004 and not file["path"].startswith(tuple(closed)):
            parts = [file.get("contents", {}), *file.get("append", [])]
            texts[f"storage.files.{number}"] = "".join(_text(part) for part in parts)
    for number, unit in enumerate(masked.get("systemd", {}).get("units", [])):
        parts = [unit.get("contents"), *(part.get("contents") for part in unit.get("dropins", []))]
        texts[f"systemd.units.{number}"] = "".join(filter(None, parts))
    found = {place: next((named[word] for word in named if word in text), "") for place, text in texts.items()}
    return {place: name for place, name in found.items() if name}


def _text(part: dict[str, Any]) -> str:
    source = part.get("source") or ""
    if not source.startswith("data:"):
        return ""
    try:
        return decode_data_url(source, part.get("compression")).decode("utf-8", "replace")
    except CheckError:  # told by `sensitive_parts`
        return ""


def _name(masked: IgnitionConfig | None, section: str, kind: str, number: int, key: str) -> str:
    entries = (masked or {}).get(section, {}).get(kind, [])
    return str(entries[number][key]) if number < len(entries) else f"{section}.{kind}.{number}"


def _holds_key(part: dict[str, Any]) -> bool:
    source = part.get("source") or ""
    return source.startswith("data:") and PRIVATE_KEY in decode_data_url(source, part.get("compression"))

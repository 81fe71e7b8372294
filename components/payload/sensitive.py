"""What in an Ignition config should not be readable by others, beside the secret variables that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi

from cl.transpiler.ignition.checks import CheckError, decode_data_url

if TYPE_CHECKING:
    from components.payload.fragments import IgnitionConfig

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


def _name(masked: IgnitionConfig | None, section: str, kind: str, number: int, key: str) -> str:
    entries = (masked or {}).get(section, {}).get(kind, [])
    return str(entries[number][key]) if number < len(entries) else f"{section}.{kind}.{number}"


def _holds_key(part: dict[str, Any]) -> bool:
    source = part.get("source") or ""
    return source.startswith("data:") and PRIVATE_KEY in decode_data_url(source, part.get("compression"))

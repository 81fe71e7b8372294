"""What in an Ignition config should not be readable by others, beside the secret variables that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.summary import decode_data_url

if TYPE_CHECKING:
    from components.lifecycle import IgnitionConfig

PRIVATE_KEY = b"PRIVATE KEY-----"


def sensitive_parts(config: IgnitionConfig) -> list[str]:
    """Names of files and units that hold a private key (PEM, OpenSSH), and `passwordHash of USER`; in order."""
    found = []
    for file in config.get("storage", {}).get("files", []):
        contents = [file.get("contents", {}), *file.get("append", [])]
        if any(_holds_key(part) for part in contents):
            found.append(str(file["path"]))
    for unit in config.get("systemd", {}).get("units", []):
        texts = [unit.get("contents"), *(part.get("contents") for part in unit.get("dropins", []))]
        if any(PRIVATE_KEY.decode() in text for text in texts if text):
            found.append(str(unit["name"]))
    users = config.get("passwd", {}).get("users", [])
    return found + [f"passwordHash of {user['name']}" for user in users if user.get("passwordHash")]


def _holds_key(part: dict[str, Any]) -> bool:
    source = part.get("source") or ""
    return source.startswith("data:") and PRIVATE_KEY in decode_data_url(source, part.get("compression"))

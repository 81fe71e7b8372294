"""Names of keys: Ignition's JSON has them in camelCase, the structs and Butane in snake_case."""

from __future__ import annotations


def json_key(key: str) -> str:
    """`size_mib` as sizeMiB, `http_proxy` as httpProxy."""
    if key.endswith("_mib"):
        return json_key(key[:-4]) + "MiB"
    first, *rest = key.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)

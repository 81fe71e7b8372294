"""Spec 3 configs as what they mean: sources decoded, what says nothing left out, the version aside."""

from __future__ import annotations

import gzip
from typing import Any

from cl.transpiler.ignition.checks import decode_data_url


def plain(config: Any) -> Any:
    """A config to compare with another: how contents are encoded, and which 3.x it is, doesn't matter."""
    if isinstance(config, list):
        return [plain(item) for item in config]
    if not isinstance(config, dict):
        return config
    config = {key: value for key, value in config.items() if key != "version"}
    source = config.get("source")
    if isinstance(source, str) and source.startswith("data:"):
        data = decode_data_url(source)
        if config.get("compression") == "gzip" and data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
            del config["compression"]
        elif config.get("compression") == "":
            del config["compression"]
        config["source"] = data
    cleaned = {key: plain(value) for key, value in config.items()}
    return {key: value for key, value in cleaned.items() if value not in ({}, [], None)}

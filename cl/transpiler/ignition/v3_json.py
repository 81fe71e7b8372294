"""Ignition 3 configs from JSON, with the strictness of Go's encoding/json, which Ignition reads them with."""

from __future__ import annotations

import json
import re
from typing import Any

from cl.transpiler.ignition import v3
from cl.transpiler.ignition.decode import Object, decode, pairs_of
from cl.transpiler.report import Findings
from cl.transpiler.schema import struct_of

_SURROGATE = re.compile("[\ud800-\udfff]")


class NotAnIgnitionConfigError(ValueError):
    """The text is no JSON, or a value in it has the wrong type; `str()` says where."""


def parse(text: str) -> Any:
    """The JSON values in a text. Raises NotAnIgnitionConfigError."""

    def refuse(constant: str) -> Any:
        raise NotAnIgnitionConfigError(f"no JSON: {constant} is no number")

    try:
        return _with_unicode_only(json.loads(text, parse_constant=refuse, object_pairs_hook=Object))
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise NotAnIgnitionConfigError(f"no JSON: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise NotAnIgnitionConfigError(f"no JSON: {error}") from None


def _with_unicode_only(value: Any) -> Any:
    """Half of a surrogate pair, or a byte that is no UTF-8, becomes U+FFFD, as in Go."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_with_unicode_only(item) for item in value]
    if isinstance(value, Object):
        return Object([(_with_unicode_only(key), _with_unicode_only(item)) for key, item in value.pairs])
    return value


def members(document: Any, key: str) -> list[Any]:
    """All values of a key, which encoding/json takes in any spelling and as often as it comes: the last one counts."""
    if not isinstance(document, dict):
        return []
    return [value for name, value in pairs_of(document) if name.casefold() == key.casefold()]


def versions(document: Any) -> list[Any]:
    """What stands as `ignition.version`, as `members` gives it."""
    return [version for ignition in members(document, "ignition") for version in members(ignition, "version")]


def read(document: Any, spec: int) -> v3.Config:
    """The structs of an Ignition 3.`spec` config given as parsed JSON. Raises NotAnIgnitionConfigError."""
    if not all(isinstance(version, (str, type(None))) for version in versions(document)):
        raise NotAnIgnitionConfigError("ignition.version is no text")
    findings = Findings()
    config: v3.Config = decode(struct_of(v3.Config, spec), document, findings)
    for entry, _ in findings.entries():
        where = entry.path.removeprefix("$").removeprefix(".")
        raise NotAnIgnitionConfigError(f"{where}: {entry.message}" if where else entry.message)
    return config

"""Ignition 3 configs from JSON, with the strictness of Go's encoding/json, which Ignition reads them with."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, cast

from cl.transpiler.ignition import v3
from cl.transpiler.ignition.names import json_key
from cl.transpiler.schema import Field, Noun, Type, noun_of

_SURROGATE = re.compile("[\ud800-\udfff]")
_INT64 = range(-(2**63), 2**63)


class NotAnIgnitionConfigError(ValueError):
    """The text is no JSON, or a value in it has the wrong type; `str()` says where."""


def parse(text: str) -> Any:
    """The JSON values in a text. Raises NotAnIgnitionConfigError."""

    def refuse(constant: str) -> Any:
        raise NotAnIgnitionConfigError(f"no JSON: {constant} is no number")

    try:
        return _with_unicode_only(json.loads(text, parse_constant=refuse))
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
    if isinstance(value, dict):
        return {_with_unicode_only(key): _with_unicode_only(item) for key, item in value.items()}
    return value


def member(document: Any, key: str) -> Any:
    """The value of a key, which encoding/json finds in any spelling when the exact one is missing."""
    if not isinstance(document, dict):
        return None
    if key in document:
        return document[key]
    return next((value for name, value in document.items() if name.casefold() == key.casefold()), None)


def read(document: Any, spec: int) -> v3.Config:
    """The nouns of an Ignition 3.`spec` config given as parsed JSON. Raises NotAnIgnitionConfigError."""
    ignition = member(document, "ignition")
    if isinstance(ignition, dict) and not isinstance(member(ignition, "version"), (str, type(None))):
        raise NotAnIgnitionConfigError("ignition.version is no text")
    return cast(v3.Config, _noun(noun_of(v3.Config, spec), document, "the config"))


def _noun(noun: Noun, document: Any, where: str) -> object:
    if document is None:
        return noun.cls()
    if not isinstance(document, dict):
        raise NotAnIgnitionConfigError(f"{where} is no object")
    exact, folded = _keys(noun)
    values = {}
    for key, value in document.items():
        field = exact.get(key) or folded.get(key.casefold())
        if field is not None and value is not None:
            values[field.name] = _value(field.type, value, f"{where}: {key}")
    return noun.cls(**values)


@cache
def _keys(noun: Noun) -> tuple[dict[str, Field], dict[str, Field]]:
    """The fields by key, and by key in any spelling."""
    exact = {json_key(key): field for key, field in noun.fields.items()}
    return exact, {key.casefold(): field for key, field in exact.items()}


def _value(kind: Type, value: Any, where: str) -> Any:
    if kind.item is not None:
        if not isinstance(value, list):
            raise NotAnIgnitionConfigError(f"{where} is no list")
        return tuple(_item(kind.item, item, f"{where}[{index}]") for index, item in enumerate(value))
    if kind.noun is not None:
        return _noun(kind.noun, value, where)
    fits = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool) and value in _INT64,
    }
    if not fits[kind.kind]:
        raise NotAnIgnitionConfigError(f"{where} is not {kind.describe()}")
    return value


def _item(kind: Type, value: Any, where: str) -> Any:
    return ("" if kind.noun is None else kind.noun.cls()) if value is None else _value(kind, value, where)

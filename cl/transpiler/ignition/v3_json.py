"""Ignition 3 configs from JSON, with the strictness of Go's encoding/json, which Ignition reads them with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from cl.transpiler.ignition import v3
from cl.transpiler.ignition.names import json_key
from cl.transpiler.schema import Field, Noun, Type, noun_of

_SURROGATE = re.compile("[\ud800-\udfff]")
_INT64 = range(-(2**63), 2**63)


class NotAnIgnitionConfigError(ValueError):
    """The text is no JSON, or a value in it has the wrong type; `str()` says where."""


class _Object(dict[str, Any]):
    """A JSON object; `pairs` has what stands under a key that comes again, too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def parse(text: str) -> Any:
    """The JSON values in a text. Raises NotAnIgnitionConfigError."""

    def refuse(constant: str) -> Any:
        raise NotAnIgnitionConfigError(f"no JSON: {constant} is no number")

    try:
        return _with_unicode_only(json.loads(text, parse_constant=refuse, object_pairs_hook=_Object))
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
    if isinstance(value, _Object):
        return _Object([(_with_unicode_only(key), _with_unicode_only(item)) for key, item in value.pairs])
    return value


def _pairs(document: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return document.pairs if isinstance(document, _Object) else document.items()


def members(document: Any, key: str) -> list[Any]:
    """All values of a key, which encoding/json takes in any spelling and as often as it comes: the last one counts."""
    if not isinstance(document, dict):
        return []
    return [value for name, value in _pairs(document) if name.casefold() == key.casefold()]


def versions(document: Any) -> list[Any]:
    """What stands as `ignition.version`, as `members` gives it."""
    return [version for ignition in members(document, "ignition") for version in members(ignition, "version")]


def read(document: Any, spec: int) -> v3.Config:
    """The nouns of an Ignition 3.`spec` config given as parsed JSON. Raises NotAnIgnitionConfigError."""
    if not all(isinstance(version, (str, type(None))) for version in versions(document)):
        raise NotAnIgnitionConfigError("ignition.version is no text")
    return cast(v3.Config, _noun(noun_of(v3.Config, spec), document, "the config", None))


def _noun(noun: Noun, document: Any, where: str, old: Any) -> object:
    """The noun in an object. `old` is what an earlier object under the same key has given: it is filled further."""
    if document is None:
        return noun.cls()
    if not isinstance(document, dict):
        raise NotAnIgnitionConfigError(f"{where} is no object")
    exact, folded = _keys(noun)
    values = {} if old is None else {field.name: getattr(old, field.name) for field in exact.values()}
    for key, value in _pairs(document):
        field = exact.get(key) or folded.get(key.casefold())
        if field is None:
            continue
        if value is not None:
            values[field.name] = _value(field.type, value, f"{where}: {key}", values.get(field.name))
        elif field.type.optional or field.type.item is not None:
            values.pop(field.name, None)
    return noun.cls(**values)


@cache
def _keys(noun: Noun) -> tuple[dict[str, Field], dict[str, Field]]:
    """The fields by key, and by key in any spelling."""
    exact = {json_key(key): field for key, field in noun.fields.items()}
    return exact, {key.casefold(): field for key, field in exact.items()}


def _value(kind: Type, value: Any, where: str, old: Any) -> Any:
    if kind.item is not None:
        if not isinstance(value, list):
            raise NotAnIgnitionConfigError(f"{where} is no list")
        before = [*(old or ()), *[None] * len(value)]
        return tuple(_item(kind.item, item, f"{where}[{i}]", before[i]) for i, item in enumerate(value))
    if kind.noun is not None:
        return _noun(kind.noun, value, where, old)
    fits = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool) and value in _INT64,
    }
    if not fits[kind.kind]:
        raise NotAnIgnitionConfigError(f"{where} is not {kind.describe()}")
    return value


def _item(kind: Type, value: Any, where: str, old: Any) -> Any:
    if value is not None:
        return _value(kind, value, where, old)
    return old if old is not None else "" if kind.noun is None else kind.noun.cls()

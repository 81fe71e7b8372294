"""Ignition configs that stand as text in a Butane config (`ignition.config.merge[].inline`), and their checks.

Butane reads them with Go's encoding/json and looks for its findings' paths in the *outer* config: so a finding
has the path inside the inner config, and the place of the nearest thing that the outer one has under that path.
"""

from __future__ import annotations

import json
from typing import Any, cast

from cl.transpiler.gotext import VersionError, parse_version
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.v3_checks import validate
from cl.transpiler.ignition.v3_config import find_duplicates, nested_nouns
from cl.transpiler.report import Findings, Key, Path
from cl.transpiler.schema import Noun, Type, noun_of

_INT64 = range(-(2**63), 2**63)


class NotAnIgnitionConfigError(ValueError):
    """The text is no JSON, or a value in it has the wrong type; `str()` says where."""


def check_config(text: str, path: Path, findings: Findings, spec: int) -> None:
    """Report what is wrong with the Ignition config in the `inline` of the resource at `path`."""
    try:
        document = _parse(text)
        config = read(document, spec)
    except NotAnIgnitionConfigError as error:
        # butane says it a second time, at line 1 column 1, where nothing of it is.
        findings.error((*path, "inline"), f"this is no Ignition config: {error}")
        return
    version = _version(document)
    if version is not None and version != v3.version_text(spec):
        message = f"the config is not checked: its version is not {v3.version_text(spec)}"
        findings.warning((*path, "version"), message)
        return
    inner = Findings()
    if version is None:
        inner.error(("ignition", "version"), "the version is missing or no semantic version")
    validate(config, spec, inner)
    find_duplicates(config, spec, inner)
    for entry, where in inner.entries():
        camel = tuple(v3.json_key(element) if isinstance(element, str) else element for element in where)
        findings.add(entry.severity, camel, entry.message, hint=entry.hint)
    _unused_keys(noun_of(v3.Config, spec), document, (), findings)


def _parse(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise NotAnIgnitionConfigError(f"no JSON: {constant} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
        raise NotAnIgnitionConfigError(f"no JSON: {reason}") from None
    except (ValueError, RecursionError) as error:
        raise NotAnIgnitionConfigError(f"no JSON: {error}") from None


def _version(document: Any) -> str | None:
    """The version as Go prints it, None when it is missing or none."""
    ignition = _member(document, "ignition")
    version = _member(ignition, "version")
    try:
        return str(parse_version(version)) if isinstance(version, str) else None
    except VersionError:
        return None


def _member(document: Any, key: str) -> Any:
    """The value of a key, which encoding/json finds in any spelling when the exact one is missing."""
    if not isinstance(document, dict):
        return None
    if key in document:
        return document[key]
    return next((value for name, value in document.items() if name.casefold() == key.casefold()), None)


def read(document: Any, spec: int) -> v3.Config:
    """The nouns of an Ignition 3.`spec` config given as parsed JSON. Raises NotAnIgnitionConfigError."""
    ignition = _member(document, "ignition")
    if isinstance(ignition, dict) and not isinstance(_member(ignition, "version"), (str, type(None))):
        raise NotAnIgnitionConfigError("ignition.version is no text")
    return cast(v3.Config, _noun(noun_of(v3.Config, spec), document, "the config"))


def _noun(noun: Noun, document: Any, where: str) -> object:
    if document is None:
        return noun.cls()
    if not isinstance(document, dict):
        raise NotAnIgnitionConfigError(f"{where} is no object")
    known = {v3.json_key(key).casefold(): field for key, field in noun.fields.items()}
    values = {}
    for key, value in document.items():
        field = known.get(key.casefold())
        if field is not None and value is not None:
            values[field.name] = _value(field.type, value, f"{where}: {key}")
    return noun.cls(**values)


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


def _unused_keys(noun: Noun, document: Any, path: Path, findings: Findings) -> None:
    if not isinstance(document, dict):
        findings.warning(path, "the place of findings beneath this can't be told")
        return
    known = {v3.json_key(key) for key in noun.fields} | ({"version"} if path == ("ignition",) else set())
    for key in document:
        if key not in known:
            findings.warning((*path, Key(key)), f"the inline config has a key {key!r}, which nothing reads")
    for name, many, inner in nested_nouns(noun):
        key = v3.json_key(name)
        if key not in document:
            continue
        value = document[key]
        for index, item in enumerate(value if many and isinstance(value, list) else ()):
            _unused_keys(inner, item, (*path, key, index), findings)
        if not many:
            _unused_keys(inner, value, (*path, key), findings)

"""Configs written in Python: the same checks as for YAML, with the Python path of the field as the position."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path as FilePath
from typing import Any

from cl.transpiler.butane.decode import find_version
from cl.transpiler.butane.pipeline import translate_config
from cl.transpiler.butane.schema import Butane
from cl.transpiler.gojson import Json
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import Struct, Type

_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # U+DC80 to U+DCFF stand for single bytes
_OF_OUTPUTS = "what is known later goes into a snippet in YAML, as ${name}, and is given by variables"
_PYTHON = {"str": str, "int": int, "uint": int, "bool": bool}


def translate_code(config: Butane, files_dir: FilePath | None, findings: Findings) -> dict[str, Json] | None:
    """The Ignition config of a config written in Python, or None when `findings` are fatal.

    A value of the wrong type is an error; a field that the config's version doesn't have is a warning.
    """
    found = Findings()
    version = find_version(str(config.variant), str(config.version), found)
    translated = None
    if version is not None:
        _check_struct(version.struct, config, (), found)
        if not found.is_fatal:
            translated = translate_config(config, version, files_dir, found)
    for entry, path in found.entries():
        findings.add_at(entry.severity, python_path(path), entry.message, hint=entry.hint)
    return translated


def python_path(path: Path) -> str:
    """`("storage", "files", 0, "mode")` as `storage.files[0].mode`."""
    text = "".join(f"[{element}]" if isinstance(element, int) else f".{element}" for element in path)
    return text.removeprefix(".") or "$"


def _check_struct(struct: Struct, value: Any, path: Path, findings: Findings) -> None:
    if not isinstance(value, struct.cls):
        findings.error(path, f"expected {struct.cls.__name__}, found {type(value).__name__}")
        return
    known = {field.name: field for field in struct.fields.values()}
    for attribute in dataclasses.fields(struct.cls):
        inner = getattr(value, attribute.name)
        where = (*path, attribute.name)
        if (field := known.get(attribute.name)) is None:
            if inner != attribute.default:
                findings.warning(where, "this version does not have the field: it has no effect")
        elif inner is not None or not field.type.optional:
            _check_value(field.type, inner, where, findings)


def _check_value(kind: Type, value: Any, path: Path, findings: Findings) -> None:
    if kind.struct is not None:
        _check_struct(kind.struct, value, path, findings)
    elif kind.item is not None:
        if not isinstance(value, (list, tuple)):
            findings.error(path, f"expected a list or tuple, found {type(value).__name__}")
            return
        for index, item in enumerate(value):
            _check_value(kind.item, item, (*path, index), findings)
    elif isinstance(value, str) and _LONE_SURROGATE.search(value):
        findings.error(path, "the text holds characters that are not Unicode")
    elif type(value) is not _PYTHON[kind.kind] and not (kind.kind == "str" and isinstance(value, str)):
        hint = _OF_OUTPUTS if hasattr(value, "apply") else None
        findings.error(path, f"expected {kind.describe()}, found {type(value).__name__}", hint=hint)

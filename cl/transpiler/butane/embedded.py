"""Ignition configs that stand as text in a Butane config (`ignition.config.merge[].inline`), and their checks.

Butane reads them with Go's encoding/json and looks for its findings' paths in the *outer* config: so a finding
has the path inside the inner config, and the position of the nearest thing that the outer one has under that path.
"""

from __future__ import annotations

from typing import Any

from cl.transpiler.gotext import VersionError, parse_version
from cl.transpiler.ignition import v3
from cl.transpiler.ignition.names import json_key
from cl.transpiler.ignition.v3_checks import validate
from cl.transpiler.ignition.v3_config import find_duplicates, nested_structs
from cl.transpiler.ignition.v3_json import NotAnIgnitionConfigError, parse, read, versions
from cl.transpiler.report import Findings, Key, Path
from cl.transpiler.schema import Struct, struct_of


def check_config(text: str, path: Path, findings: Findings, spec: int) -> None:
    """Report what is wrong with the Ignition config in the `inline` of the resource at `path`."""
    try:
        document = parse(text)
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
        camel = tuple(json_key(element) if isinstance(element, str) else element for element in where)
        findings.add(entry.severity, camel, entry.message, hint=entry.hint)
    _unused_keys(struct_of(v3.Config, spec), document, (), findings)


def _version(document: Any) -> str | None:
    """The version as Go prints it, None when it is missing or none."""
    given = [version for version in versions(document) if version is not None]
    try:
        return str(parse_version(given[-1])) if given else None
    except VersionError:
        return None


def _unused_keys(struct: Struct, document: Any, path: Path, findings: Findings) -> None:
    if not isinstance(document, dict):
        findings.warning(path, "the place of findings beneath this can't be told")
        return
    known = {json_key(key) for key in struct.fields} | ({"version"} if path == ("ignition",) else set())
    for key in document:
        if key not in known:
            findings.warning((*path, Key(key)), f"the inline config has a key {key!r}, which nothing reads")
    for name, many, inner in nested_structs(struct):
        key = json_key(name)
        if key not in document:
            continue
        value = document[key]
        for index, item in enumerate(value if many and isinstance(value, list) else ()):
            _unused_keys(inner, item, (*path, key, index), findings)
        if not many:
            _unused_keys(inner, value, (*path, key), findings)

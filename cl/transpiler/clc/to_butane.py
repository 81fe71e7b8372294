"""The way out of Container Linux Configs: the same machine as a Butane config (flatcar 1.0.0).

Sugar is expanded into the units and files that it makes, data URLs become inline text, and the comments of the
source stand where what they are about now stands. The one module that imports ruamel.yaml: it writes the text.
"""

from __future__ import annotations

import dataclasses
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarint import ScalarInt
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken

from cl.transpiler import clc
from cl.transpiler.clc.comments import Comment, read_comments
from cl.transpiler.clc.platforms import PLATFORMS
from cl.transpiler.clc.source_map import Generated
from cl.transpiler.dialect import Source
from cl.transpiler.ignition import convert, v2, v3
from cl.transpiler.ignition.checks import CheckError, decode_data_url
from cl.transpiler.report import Findings, Path, Report
from cl.transpiler.variables import names_in
from cl.transpiler.yamlnode import Node, NodeLocator, YamlError, compose, resolve

Tree = str | int | bool | CommentedMap | CommentedSeq
Comments = dict[Path, list[str]]
"""Lines to write before the entry at a path; those of () come last of all."""

_METADATA = frozenset(name for names in PLATFORMS.values() for name in names.values())
_HEAD = {"variant": "flatcar", "version": "1.0.0"}
_FIRST = ("variant", "version", "name", "path", "device", "label", "number")
"""Keys that come before the others of their mapping."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`text`: the Butane config, None when `report` is fatal."""

    text: str | None
    report: Report


def to_butane(
    source: str,
    *,
    filename: str = "<config>",
    files_dir: FilePath | None = None,
    platform: str = "",
    strict: bool = False,
) -> Rewritten:
    """The Container Linux Config `source` as Butane; local files are written into it.

    Never raises for bad input. What spec 3 can't say is an error in the report, as with `spec="3"`.
    """
    findings, root, text = Findings(), None, None
    try:
        root = compose(source)
        text = _rewrite(source, root, files_dir, platform, findings)
    except YamlError as error:
        position = (error.line, error.column or 1) if error.line is not None else None
        findings.error((), error.message, position=position)
    entries = findings.located(NodeLocator(root), filename)
    report = Report(entries, sources=((filename, source),), strict=strict)
    return Rewritten(None if report.is_fatal else text, report)


def _rewrite(
    source: str, root: Node | None, files_dir: FilePath | None, platform: str, findings: Findings
) -> str | None:
    found = clc.read(Source(root=root, files_dir=files_dir, platform=platform), findings)
    if found is None:
        return None
    config, generated = found
    refused = Findings()
    converted = convert.convert(config, refused, oem=False)
    clc.map_findings(refused, root, generated, findings)
    if converted is None:
        return None
    tree = CommentedMap(_HEAD | _tree(converted))
    comments = _placed(read_comments(source, root), tree, generated, config)
    for section, path in _origins(tree, generated):
        comments.setdefault(path, []).insert(0, f"# made from {section or 'the platform'}")
    return _about_metadata(written := _written(tree, comments)) + written


def _about_metadata(text: str) -> str:
    """Comment lines about dynamic data, which is no variable of this program's."""
    names = sorted(names_in(text) & _METADATA)
    if not names:
        return ""
    shown = ", ".join(f"${{{name}}}" for name in names)
    return (
        f"# {shown}: filled in on the machine, from /run/metadata/flatcar (coreos-metadata.service).\n"
        f"# `butane` takes them as they stand; in `pulumi up` ${{…}} is a variable: write $${{{names[0]}}}.\n"
    )


# --- the tree ------------------------------------------------------------------------------------------------


def _tree(struct: Any, *, inline: bool = True) -> CommentedMap:
    """What is set in a spec 3 struct, by Butane's keys, which are the structs' attributes."""
    if isinstance(struct, v3.Resource):
        return _resource(struct, inline)
    inline = inline and not isinstance(struct, v3.ConfigSection)  # butane wants configs of its own version there
    out = CommentedMap()
    names = [field.name for field in dataclasses.fields(struct)]
    for name in sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)):
        value = getattr(struct, name)
        if isinstance(value, (tuple, list)):
            if value:
                out[name] = CommentedSeq(_text(v) if isinstance(v, str) else _tree(v, inline=inline) for v in value)
        elif dataclasses.is_dataclass(value):
            if inner := _tree(value, inline=inline):
                out[name] = inner
        elif value is not None and not (name == "number" and value == 0):
            out[name] = _text(value) if isinstance(value, str) else _octal(value) if name == "mode" else value
    return out


def _octal(mode: int) -> int:
    """0644 as YAML 1.1 has it and everybody writes it; for ruamel.yaml a decimal with a zero in front."""
    digits = f"0{mode:o}" if mode else "0"
    shown: int = ScalarInt(int(digits), width=len(digits))
    return shown


def _resource(resource: v3.Resource, inline: bool) -> CommentedMap:
    """A source; with `inline`, a data URL that holds text, and nothing else to be true of it, as that text."""
    out = CommentedMap()
    text = _inline(resource) if inline else None
    if text is not None:
        out["inline"] = _text(text)
        return out
    if resource.source is not None:
        out["source"] = _text(resource.source)
    if resource.compression is not None:
        out["compression"] = _text(resource.compression)
    if resource.verification.hash is not None:
        out["verification"] = CommentedMap(hash=_text(resource.verification.hash))
    return out


def _inline(resource: v3.Resource) -> str | None:
    source = resource.source or ""
    if not source.startswith("data:") or resource.compression or resource.verification.hash:
        return None
    try:
        return decode_data_url(source).decode("utf-8")
    except (CheckError, UnicodeDecodeError):
        return None


# --- comments ------------------------------------------------------------------------------------------------


def _placed(found: list[Comment], tree: CommentedMap, generated: Generated, config: v2.Config) -> Comments:
    """The comments by the path in `tree` that they stand before; without one, behind everything."""
    comments: Comments = {}
    for comment in found:
        path = _existing(_butane_path(comment.path, generated, config), tree) if comment.path is not None else None
        comments.setdefault(path or (), []).append(comment.text)
    return comments


_RENAMED = {"append": "merge", "enable": "enabled", "size": "size_mib", "start": "start_mib", "url": "source"}


def _butane_path(path: Path, generated: Generated, config: v2.Config) -> Path:
    """Where a path of the CLC, which has become `config`, went."""
    section = path[0] if path else ""
    if section in generated.units:
        return ("systemd", "units", generated.units.index(str(section)))
    if section in ("update", "locksmith"):
        return ("storage", "files", generated.update_file_at)
    if path[:2] == ("systemd", "units") and len(path) > 2 and isinstance(path[2], int):
        path = (*path[:2], path[2] + len(generated.units), *path[3:])
    path = convert.path_in_v3(path, config)
    if path[:2] == ("systemd", "units"):
        return tuple(map(_renamed, path))
    if path[:2] == ("storage", "files") and path[3:4] == ("contents",):
        below = tuple(_renamed(name) for name in path[4:] if name != "remote")
        return (*path[:4], *("inline" if name == "local" else name for name in below))
    if path[:2] in (("ignition", "config"), ("storage", "disks")):
        return tuple(map(_renamed, path))
    return path


def _renamed(name: Any) -> Any:
    return _RENAMED.get(name, name)


def _existing(path: Path, tree: CommentedMap) -> Path:
    """The part of `path` that there is in the tree."""
    node: Tree = tree
    for depth, name in enumerate(path):
        inside = name in node if isinstance(node, dict) else isinstance(node, list) and int(str(name)) < len(node)
        if not inside:
            return path[:depth]
        node = node[name]  # type: ignore[index]  # a key of a mapping, an index of a list
    return path


def _origins(tree: CommentedMap, generated: Generated) -> list[tuple[str, Path]]:
    """(section, path) of everything that a section was expanded into."""
    out: list[tuple[str, Path]] = [
        (section, ("systemd", "units", index)) for index, section in enumerate(generated.units)
    ]
    update: Path = ("storage", "files", generated.update_file_at)
    return [*out, (generated.update_from, update)] if _existing(update, tree) == update else out


# --- the text ------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./@%+$=(){}-]*(?:[ :][A-Za-z0-9_./@%+$=(){}-]+)*")
_LINE = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff\t]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off"))
"""Texts that other readers of YAML take for booleans."""


def _text(text: str) -> str:
    """A text in the style that it is written in; bytes that aren't UTF-8 become U+FFFD, as in Go's JSON."""
    styled: str = DoubleQuotedScalarString(_SURROGATE.sub("\ufffd", text))
    if "\n" in text:
        if text[0] not in " \n" and all(map(_LINE.fullmatch, text.split("\n"))):
            styled = LiteralScalarString(text)
    elif _PLAIN.fullmatch(text) and text.lower() not in _WORDS and resolve("", text)[0] == "!!str":
        styled = text
    return styled


def _written(tree: CommentedMap, comments: Comments) -> str:
    """The tree as a YAML document with a newline at its end."""
    for path, lines in comments.items():
        _comment(tree, path, lines)
    yaml, out = YAML(pure=True), io.StringIO()
    yaml.width = sys.maxsize
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(tree, out)
    return out.getvalue() + "".join(f"{line}\n" for line in comments.get((), []))


def _comment(tree: CommentedMap, path: Path, lines: list[str]) -> None:
    """Put the lines before the entry at a path; before the item of a list, when it is the first in that."""
    parents: list[Any] = [tree]
    for name in path[:-1]:
        parents.append(parents[-1][name])
    while len(path) > 1 and isinstance(parents[-2], CommentedSeq) and path[-1] == next(iter(parents[-1])):
        parents.pop()
        path = path[:-1]
    if path:
        mark = CommentMark(2 * (len(path) - 1))
        above = parents[-1].ca.items.setdefault(path[-1], [None, None, None, None])
        above[1] = [*(above[1] or []), *(CommentToken(f"{line}\n", mark, None) for line in lines)]

"""A tree of values as YAML a person would write: block style, literal blocks for texts of several lines."""

from __future__ import annotations

import json
import re

from cl.transpiler.report import Path
from cl.transpiler.yamlnode import resolve

Tree = str | int | bool | list["Tree"] | dict[str, "Tree"]
Comments = dict[Path, list[str]]
"""Lines to write before the entry at a path; those of () come last of all."""

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./@%+$=(){}-]*(?:[ :][A-Za-z0-9_./@%+$=(){}-]+)*")
_BLOCK = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff\t]+")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_OCTAL = re.compile(r"0[0-7]+")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off"))
"""Texts that other readers of YAML take for booleans."""


def write_yaml(tree: dict[str, Tree], comments: Comments) -> str:
    """The tree as a YAML document with a newline at its end."""
    lines: list[str] = []
    _mapping(tree, (), comments, lines)
    lines += comments.get((), [])
    return "\n".join(lines) + "\n"


def _mapping(mapping: dict[str, Tree], path: Path, comments: Comments, lines: list[str], pad: str = "") -> None:
    for key, value in mapping.items():
        here = (*path, key)
        lines.extend(f"{pad}{comment}" for comment in comments.get(here, ()))
        _entry(f"{pad}{key}:", value, here, comments, lines, pad)


def _entry(head: str, value: Tree, path: Path, comments: Comments, lines: list[str], pad: str) -> None:
    if isinstance(value, dict) and value:
        lines.append(head)
        _mapping(value, path, comments, lines, f"{pad}  ")
    elif isinstance(value, list) and value:
        lines.append(head)
        for index, item in enumerate(value):
            _item(item, (*path, index), comments, lines, f"{pad}  ")
    else:
        first, *rest = _scalar(value, path)
        lines.append(f"{head} {first}")
        lines.extend(f"{pad}  {line}" if line else "" for line in rest)


def _item(item: Tree, path: Path, comments: Comments, lines: list[str], pad: str) -> None:
    lines.extend(f"{pad}{comment}" for comment in comments.get(path, ()))
    if not isinstance(item, dict) or not item:
        _entry(f"{pad}-", item, path, comments, lines, pad)
        return
    inside: list[str] = []
    _mapping(item, path, comments, inside, f"{pad}  ")
    first = next(index for index, line in enumerate(inside) if not line.lstrip().startswith("#"))
    lines.extend(inside[:first])
    lines.append(f"{pad}- {inside[first][len(pad) + 2 :]}")
    lines.extend(inside[first + 1 :])


def _scalar(value: Tree, path: Path) -> list[str]:
    """The lines of a scalar; an empty mapping or list in flow style."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if not isinstance(value, str):
        return [json.dumps(value)]
    if path[-1] == "mode" and _OCTAL.fullmatch(value):
        return [value]
    if "\n" in value:
        return _lines(value)
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS and resolve("", value)[0] == "!!str"
    return [value] if plain else [_quoted(value)]


def _quoted(text: str) -> str:
    """In double quotes, which YAML shares with JSON; bytes that aren't UTF-8 become U+FFFD, as in Go's JSON."""
    text = _SURROGATE.sub("\ufffd", text)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _lines(text: str) -> list[str]:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    if not body or body[0] in " \n" or not all(_BLOCK.fullmatch(line) for line in body.split("\n") if line):
        return [_quoted(text)]
    mark = "|-" if ends == 0 else "|" if ends == 1 else "|+"
    return [mark, *body.split("\n"), *[""] * (ends - 1)]

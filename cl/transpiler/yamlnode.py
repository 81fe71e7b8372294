"""YAML text to a tree of nodes with their positions, as Go's yaml.v3 reads it.

`ct` and `butane` read YAML with gopkg.in/yaml.v3, so what a scalar *is* depends on three things: its text,
its explicit tag, and the type of the field it goes into (`schema` does that last part). This module does the
first two: `compose` gives the tree of the first document, `resolve` says what yaml.v3 makes of a scalar.
The C parser (libyaml 0.2.5, which yaml.v3 is a port of) produces the events; its marks become 1-based positions.
It is the one that comes with PyYAML: ruamel's is older and refuses `[http://a]`, a colon inside a flow list.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from math import inf, nan
from typing import Any

from yaml.error import MarkedYAMLError, YAMLError  # type: ignore[import-untyped]
from yaml.events import (  # type: ignore[import-untyped]
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.reader import ReaderError  # type: ignore[import-untyped]

from cl.transpiler.libyaml import Mending, as_given, look_ahead, mended, start_parser
from cl.transpiler.report import Key, Locator, Path

MAX_DEPTH = 10_000
"""Deepest nesting read, as in yaml.v3."""

_LONG_TAG = "tag:yaml.org,2002:"


class YamlError(Exception):
    """The text is not YAML, or not YAML that can be read; `line` and `column` are 1-based or None."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class Node:
    """A position in the text. `tag` is yaml.v3's short form (`!!str`, `!!int`, `!!map`, `!custom`)."""

    __slots__ = ("column", "line", "tag")
    value = ""
    """yaml.v3 gives every node a text; only scalars and aliases have one that isn't empty."""

    def __init__(self, line: int, column: int, tag: str) -> None:
        self.line, self.column, self.tag = line, column, tag


class Scalar(Node):
    """`value` is the source text after unquoting; `plain` means neither quoted nor tagged nor a block scalar."""

    __slots__ = ("plain", "value")

    def __init__(self, line: int, column: int, tag: str, value: str, plain: bool) -> None:
        self.line, self.column, self.tag = line, column, tag  # not by way of super(): most nodes are made here
        self.value, self.plain = value, plain


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, line: int, column: int, tag: str) -> None:
        super().__init__(line, column, tag)
        self.items: list[Node] = []


class Mapping(Node):
    """`pairs` in source order, duplicates and merge keys included."""

    __slots__ = ("_children", "pairs")

    def __init__(self, line: int, column: int, tag: str) -> None:
        super().__init__(line, column, tag)
        self.pairs: list[tuple[Node, Node]] = []
        self._children: dict[str, tuple[Node, Node]] | None = None

    def child(self, key: str) -> tuple[Node, Node] | None:
        """The (key, value) nodes whose key has this text; the last one of several."""
        if self._children is None:
            self._children = {pair[0].value: pair for pair in self.pairs}
        return self._children.get(key)


class Alias(Node):
    """A reference `*value` to the node `target`. Positions inside the target are not positions of the alias."""

    __slots__ = ("target", "value")

    def __init__(self, line: int, column: int, value: str, target: Node) -> None:
        super().__init__(line, column, "")
        self.value, self.target = value, target


def is_merge(node: Node) -> bool:
    """True for the merge key `<<`."""
    return node.tag == "!!merge" and node.value == "<<" and isinstance(node, Scalar)


def compose(text: str, fill: Callable[[str, int, int], str] | None = None) -> Node | None:
    """The root node of the first document of `text`, or None when there is no document.

    `fill(value, line, column)` may replace the text of each scalar value (not of keys) before its type is
    resolved; what it returns never turns into a null.

    Raises YamlError when the text isn't YAML.
    """
    try:
        return mended(text, partial(_read, fill=fill))
    except UnicodeEncodeError as error:
        raise YamlError("the text holds characters that are not Unicode", *_position(text, error.start)) from None
    except MarkedYAMLError as error:
        raise _explained(error, text) from None
    except ReaderError as error:
        message = f"the text is not UTF-8: {error.reason}" if "UTF-8" in error.reason else error.reason
        byte = f" (0x{error.character:02x})" if error.character >= 0 else ""
        raise YamlError(message + byte, *_position_of_byte(text, error.position)) from None
    except YAMLError as error:  # pragma: no cover — PyYAML's base class: its parser raises the two above
        raise YamlError(str(error).splitlines()[0]) from None


def _explained(error: MarkedYAMLError, text: str) -> YamlError:
    """What libyaml found, in words for who has written the text."""
    mark, begin, message = error.problem_mark, error.context_mark, error.problem
    if message == "found character that cannot start any token":
        first = text.removeprefix("\ufeff")[mark.index : mark.index + 1]
        message = f"{first!r} can't begin a text: put the text in quotes"
        if first == "\t":
            message = "a tab can't stand here: YAML is indented with spaces"
    if begin is not None and begin.line < mark.line:
        message += f" ({error.context} that begins in line {begin.line + 1})"
    return YamlError(message, mark.line + 1, mark.column + 1)


_Fill = Callable[[str, int, int], str] | None


def _read(text: str, mending: Mending, fill: _Fill) -> Node | None:
    """`compose` with the parser's own errors."""
    parser = start_parser(text)
    root, end = _compose(as_given(parser.get_event, mending), fill)
    if text[end:].strip():
        look_ahead(text, end)
    return root


def _position(text: str, index: int) -> tuple[int, int]:
    line = text.count("\n", 0, index)
    return line + 1, index - (text.rfind("\n", 0, index) + 1) + 1


def _position_of_byte(text: str, offset: object) -> tuple[int, int]:
    index = len(
        text.encode("utf-8", "surrogateescape")[: offset if isinstance(offset, int) else 0].decode("utf-8", "ignore")
    )
    return _position(text, index)


def _compose(next_event: Callable[[], Any], fill: _Fill) -> tuple[Node | None, int]:
    """The root of the first document and where it ends, by characters.

    Works without recursion, so that deep nesting is an error and not a crash.
    """
    anchors: dict[str, Node] = {}
    stack: list[Sequence | Mapping] = []
    keys: list[Node | None] = []  # the pending key of each mapping on the stack
    root: Node | None = None
    flow = 0  # how deep in flow collections
    while (event := next_event()) is not None:
        kind = type(event)
        node: Node
        if kind is ScalarEvent:
            is_filled = fill is not None and (not stack or keys[-1] is not None or type(stack[-1]) is Sequence)
            node = _scalar(event, fill if is_filled else None)
            if flow and "?" in event.value and not event.style:
                raise YamlError("in a flow list or mapping a text with a ? needs quotes", node.line, node.column)
        elif kind is MappingStartEvent or kind is SequenceStartEvent:
            node = _collection(event, Mapping if kind is MappingStartEvent else Sequence)
            flow += bool(event.flow_style)
        elif kind is AliasEvent:
            node = _alias(event, anchors)
        elif kind is MappingEndEvent or kind is SequenceEndEvent:
            stack.pop()
            keys.pop()
            flow -= flow > 0
            continue
        elif kind is DocumentEndEvent:
            return root, event.start_mark.index
        elif kind is DocumentStartEvent and event.version == (1, 2):  # which libyaml takes as well
            raise YamlError("found incompatible YAML document", event.start_mark.line + 1, event.start_mark.column + 1)
        else:
            continue
        anchor = None if kind is AliasEvent else event.anchor
        if anchor:
            anchors[anchor] = node
        if not stack:
            root = node
        else:
            parent = stack[-1]
            if isinstance(parent, Sequence):
                parent.items.append(node)
            elif (key := keys[-1]) is None:
                keys[-1] = node
            else:
                parent.pairs.append((key, node))
                keys[-1] = None
        if isinstance(node, (Sequence, Mapping)):
            if len(stack) >= MAX_DEPTH:
                raise YamlError(f"nested more than {MAX_DEPTH} levels deep", node.line, node.column)
            stack.append(node)
            keys.append(None)
    return root, sys.maxsize


def _short(tag: str) -> str:
    return "!!" + tag[len(_LONG_TAG) :] if tag.startswith(_LONG_TAG) else tag


def _scalar(event: Any, fill: _Fill) -> Scalar:
    mark, value, plain = event.start_mark, event.value, not event.style
    line, column = mark.line + 1, mark.column + 1
    filled = False
    if fill is not None and "${" in value:
        value, filled = fill(value, line, column), True
    tag = event.tag
    if tag and tag != "!":
        tag, plain = _short(tag), False
    elif not plain or value[:1] not in _TYPED:
        tag = "!!str"
    else:
        tag = _guess("", value)[0]
        if filled and tag == "!!null":
            tag = "!!str"
    return Scalar(line, column, tag, value, plain)


def _collection(event: Any, kind: type[Mapping | Sequence]) -> Mapping | Sequence:
    mark, tag = event.start_mark, event.tag
    default = "!!map" if kind is Mapping else "!!seq"
    return kind(mark.line + 1, mark.column + 1, _short(tag) if tag and tag != "!" else default)


def _alias(event: Any, anchors: dict[str, Node]) -> Alias:
    mark = event.start_mark
    target = anchors.get(event.anchor)
    if target is None:
        raise YamlError(f"unknown anchor '{event.anchor}' referenced", mark.line + 1, mark.column + 1)
    return Alias(mark.line + 1, mark.column + 1, event.anchor, target)


class TagError(ValueError):
    """A scalar's text doesn't fit its explicit tag, as in `!!int x`."""


_KEYWORDS: dict[str, tuple[str, object]] = {
    **dict.fromkeys(("true", "True", "TRUE"), ("!!bool", True)),
    **dict.fromkeys(("false", "False", "FALSE"), ("!!bool", False)),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("!!null", None)),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), ("!!float", nan)),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), ("!!float", inf)),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), ("!!float", -inf)),
    "<<": ("!!merge", "<<"),
}
_TYPED = frozenset(("", *"+-.yYnNtTfFoO~0123456789<"))
"""First characters of the plain texts that may be something else than texts."""
_RESOLVABLE = frozenset(("", "!!str", "!!bool", "!!int", "!!float", "!!null", "!!timestamp"))
_INT = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|([1-9][0-9]*|0))")
_SIGN_INSIDE = re.compile(r"0b([-+][01]+)|0o([-+][0-7]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DOT_FLOAT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:(?:[Tt](\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?(?:Z|[-+]\d\d:\d\d))"
    r"|(?: (\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,]\d+)?))?"
)
_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def resolve(tag: str, text: str) -> tuple[str, object]:
    """What yaml.v3's `resolve` makes of a scalar: (tag, value).

    `tag` is the explicit or already known short tag, empty for a plain scalar. Raises TagError when the text
    can't be of that tag. Timestamps keep their text as value: no field of ours has that type.
    """
    if tag not in _RESOLVABLE:
        return tag, text
    found, value = ("!!str", text) if tag == "!!str" else _guess(tag, text)
    if tag in ("", "!!str", found):
        return found, value
    if tag == "!!float" and found == "!!int" and isinstance(value, int) and -(2**63) <= value < 2**63:
        return "!!float", float(value)
    raise TagError(f"cannot read {text!r} as {tag}")


def _guess(tag: str, text: str) -> tuple[str, object]:
    first = text[:1]
    if first in _TYPED:
        if (keyword := _KEYWORDS.get(text)) is not None:
            return keyword
        if first == ".":
            if _DOT_FLOAT.fullmatch(text):
                return "!!float", float(text)
        elif first in "+-0123456789":
            return _number(tag, text)
    return "!!str", text


def _number(tag: str, text: str) -> tuple[str, object]:
    if tag in ("", "!!timestamp") and _is_timestamp(text):
        return "!!timestamp", text
    plain = text.replace("_", "")
    if (integer := _integer(plain)) is not None:
        return "!!int", integer
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        return ("!!float", value) if abs(value) != inf else ("!!str", text)
    if (signed := _SIGN_INSIDE.fullmatch(plain)) is not None:  # yaml.v3 reads 0b-1 as -1
        return "!!int", int(signed[1], 2) if signed[1] else int(signed[2], 8)
    return "!!str", text


def _integer(plain: str) -> int | None:
    """strconv.ParseInt(plain, 0, 64), else ParseUint: a leading 0 means octal."""
    match = _INT.fullmatch(plain)
    if match is None:
        return None
    sign, hexadecimal, binary, octal, decimal = match.groups()
    if decimal is not None:
        value = int(decimal) if len(decimal) < 21 else 2**64
    elif octal is not None:
        value = int(octal, 8)
    else:
        value = int(hexadecimal, 16) if hexadecimal is not None else int(binary, 2)
    if sign == "-":
        value = -value
    limit = 2**63 if sign else 2**64  # ParseUint takes no sign
    return value if -(2**63) <= value < limit else None


def _is_timestamp(text: str) -> bool:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return False
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if not (1 <= month <= 12 and 1 <= day <= _DAYS[month]):
        return False
    if month == 2 and day == 29 and (year % 4 or (year % 100 == 0 and year % 400)):
        return False
    hour, minute, second = (match[4], match[5], match[6]) if match[4] else (match[7], match[8], match[9])
    return hour is None or (int(hour) < 24 and int(minute) < 60 and int(second) < 60)


class NodeLocator(Locator):
    """Finds a path in a node tree; where the path leaves the tree, the deepest node that it reached."""

    def __init__(self, root: Node | None) -> None:
        self._root = root

    def __call__(self, path: Path) -> tuple[int, int] | None:
        node = self._root
        if node is None:
            return None
        for element in path:
            step = _step(node, element)
            if step is None:
                break
            node = step
        return node.line, node.column


def _step(node: Node, element: str | int | Key) -> Node | None:
    if isinstance(element, int):
        return node.items[element] if isinstance(node, Sequence) and element < len(node.items) else None
    if not isinstance(node, Mapping):
        return None
    pair = node.child(element.name if isinstance(element, Key) else element)
    if pair is None:
        return None
    return pair[0] if isinstance(element, Key) else pair[1]

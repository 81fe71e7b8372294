"""JSON text to the same nodes with positions that `yamlnode` makes of YAML, so that findings name lines here too."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from math import isinf

from cl.transpiler.gojson import Json
from cl.transpiler.yamlnode import Mapping, Node, Scalar, Sequence, YamlError

Fill = Callable[[str, int, int], str]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f\udc80-\udcff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, as in the escape \\ud800 alone; Go reads U+FFFD."""
_WORDS = {"true": "!!bool", "false": "!!bool", "null": "!!null"}
_MAX_DEPTH = 200


def compose_json(text: str, fill: Fill | None = None) -> Node:
    """The root node of a JSON text. Of a key that is given twice, both pairs are kept.

    `fill(value, line, column)` may replace the text of each string value, not of keys.

    Raises YamlError when the text isn't JSON.
    """
    reader = _Reader(text, fill)
    root = reader.value(0)
    reader.end()
    return root


class _Reader:
    def __init__(self, text: str, fill: Fill | None) -> None:
        self._text, self._at, self._fill = text, 0, fill
        self._lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def _position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def _fail(self, message: str) -> YamlError:
        return YamlError(message, *self._position(self._at))

    def _next(self) -> str:
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def end(self) -> None:
        if self._next():
            raise self._fail("something follows the end of the JSON text")

    def value(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise self._fail(f"nested more than {_MAX_DEPTH} levels deep")
        first = self._next()
        line, column = self._position(self._at)
        if first == "{":
            return self._mapping(Mapping(line, column, "!!map"), depth)
        if first == "[":
            return self._sequence(Sequence(line, column, "!!seq"), depth)
        if first == '"':
            text = self._string()
            return Scalar(line, column, "!!str", self._fill(text, line, column) if self._fill else text, False)
        word = next((word for word in _WORDS if self._text.startswith(word, self._at)), None)
        if word is not None:
            self._at += len(word)
            return Scalar(line, column, _WORDS[word], word, True)
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            raise self._fail("expected a JSON value")
        if isinf(float(match[0])):
            raise self._fail("a number is too large")
        self._at = match.end()
        return Scalar(line, column, "!!float" if match[1] or match[2] else "!!int", match[0], True)

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise self._fail(
                "a JSON string is not closed, or holds a control character, a wrong escape or what is not UTF-8"
            )
        self._at = match.end()
        return _SURROGATE.sub("\ufffd", json.loads(match[0]))

    def _mapping(self, node: Mapping, depth: int) -> Mapping:
        for _ in self._items("}"):
            if self._next() != '"':
                raise self._fail("expected a key in double quotes")
            line, column = self._position(self._at)
            key = Scalar(line, column, "!!str", self._string(), False)
            if self._next() != ":":
                raise self._fail("expected a colon")
            self._at += 1
            node.pairs.append((key, self.value(depth + 1)))
        return node

    def _sequence(self, node: Sequence, depth: int) -> Sequence:
        for _ in self._items("]"):
            node.items.append(self.value(depth + 1))
        return node

    def _items(self, close: str) -> _Items:
        self._at += 1
        return _Items(self, close)

    def more(self, close: str, first: bool) -> bool:
        """True when another item comes; moves behind the comma or the closing bracket."""
        found = self._next()
        if found == close and first:
            self._at += 1
            return False
        if first:
            return True
        if found not in (",", close):
            raise self._fail(f"expected a comma or {close}")
        self._at += 1
        return found == ","


class _Items:
    """Counts the items of a collection while they are read."""

    def __init__(self, reader: _Reader, close: str) -> None:
        self._reader, self._close, self._count = reader, close, 0

    def __iter__(self) -> _Items:
        return self

    def __next__(self) -> int:
        if not self._reader.more(self._close, self._count == 0):
            raise StopIteration
        self._count += 1
        return self._count


def to_value(node: Node) -> Json:
    """The JSON value of a node; of a key given twice, the last one."""
    if isinstance(node, Mapping):
        return {key.value: to_value(value) for key, value in node.pairs}
    if isinstance(node, Sequence):
        return [to_value(item) for item in node.items]
    if node.tag == "!!str":
        return node.value
    value: Json = json.loads(node.value)
    return value

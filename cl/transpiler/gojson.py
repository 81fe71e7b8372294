"""JSON as Go's encoding/json writes it: the bytes of `ct` and `butane`, character for character."""

from __future__ import annotations

import json
import re

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

_GO_ESCAPES = re.compile("[<>&\u2028\u2029\udc80-\udcff]")


def dumps(value: Json, *, indent: int | None = None) -> str:
    """`value` in one line without spaces, or indented; keys keep their order; no trailing newline.

    Go escapes `<`, `>`, `&`, U+2028 and U+2029 and writes all other text raw. Bytes that aren't UTF-8
    (surrogates, from a !!binary value) become U+FFFD, as in Go.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)
    return _GO_ESCAPES.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return "\\ufffd" if "\udc80" <= character <= "\udcff" else f"\\u{ord(character):04x}"

"""libyaml, so that it reads what yaml.v3 reads, and as far.

yaml.v3 is a port of libyaml that differs in details; what is found here of those differences is about the text as a
whole. What differs in single events and scalars is in `yamlnode`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from yaml.cyaml import CParser  # type: ignore[import-untyped]
from yaml.error import Mark  # type: ignore[import-untyped]
from yaml.events import ScalarEvent  # type: ignore[import-untyped]
from yaml.scanner import ScannerError  # type: ignore[import-untyped]
from yaml.tokens import BlockEndToken  # type: ignore[import-untyped]

_T = TypeVar("_T")
_MAX_JOINTS = 100
_PRIVATE_USE = range(0xE000, 0xF900)


def mended(text: str, read: Callable[[str, str, list[int]], _T]) -> _T:
    """What `read(text, joint, joints)` gives for a text that libyaml can read.

    It refuses `[a:,b]`, a colon at the end of a text in a flow list or mapping; for yaml.v3 the colon belongs to the
    text. So a character is put behind each such colon: `joint`, at the indexes `joints`.
    """
    joint = next((chr(code) for code in _PRIVATE_USE if chr(code) not in text), "")
    joints: list[int] = []
    while True:
        try:
            return read(text, joint, joints)
        except ScannerError as error:
            if error.problem != "found unexpected ':'" or len(joints) == _MAX_JOINTS:
                raise
            joints.append(error.problem_mark.index + 1)
            at = joints[-1] + text.startswith("\ufeff")  # the parser doesn't count a byte order mark
            text = text[:at] + joint + text[at:]


def start_parser(text: str) -> Any:
    """A parser at the beginning of a text. Raises UnicodeEncodeError for one that can't be in a file."""
    return CParser(_Chunks(text))


class _Chunks:
    """The bytes of a text, as many at a time as yaml.v3 reads: it doesn't see what is wrong further on."""

    def __init__(self, text: str) -> None:
        self._data, self._at, self._kept = text.encode("utf-8", "surrogateescape"), 0, 0

    def read(self, _size: int) -> bytes:
        """The next chunk. A character that it cuts off stays in the reader's buffer and takes room there."""
        data, end = self._data, self._at + _CHUNK - self._kept
        chunk = data[self._at : end]
        self._at, self._kept = end, 0
        while self._kept < 3 and end - self._kept < len(data) and data[end - self._kept] & 0xC0 == 0x80:
            self._kept += 1
        return chunk


_CHUNK = 512


def without_joints(next_event: Callable[[], Any], joint: str, joints: list[int]) -> Callable[[], Any]:
    """Events of a text without what `mended` has put into it; there is a document, and none is asked for after it."""

    def next_without() -> Any:
        event = next_event()
        mark = event.start_mark
        before = sum(mark.index - mark.column <= at < mark.index for at in joints)
        event.start_mark = Mark(mark.name, mark.index, mark.line, mark.column - before, None, None)
        if type(event) is ScalarEvent:
            event.value = event.value.replace(joint, "")
        return event

    return next_without


def look_ahead(text: str, end: int) -> None:
    """Scan what yaml.v3 scans before it is content with the first document: the token at its end and two more."""
    parser = start_parser(text)
    left = 3
    while left and (token := parser.get_token()) is not None:
        left -= token.start_mark.index >= end and type(token) is not BlockEndToken

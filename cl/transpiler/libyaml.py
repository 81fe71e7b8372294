"""libyaml, so that it reads what yaml.v3 reads, and as far.

yaml.v3 is a port of libyaml that differs in details; what is found here of those differences is about the text as a
whole. What differs in single events and scalars is in `yamlnode`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from yaml.cyaml import CParser  # type: ignore[import-untyped]
from yaml.error import Mark  # type: ignore[import-untyped]
from yaml.events import ScalarEvent  # type: ignore[import-untyped]
from yaml.scanner import ScannerError  # type: ignore[import-untyped]
from yaml.tokens import BlockEndToken  # type: ignore[import-untyped]

_T = TypeVar("_T")
_MAX_JOINTS = 100
_PRIVATE_USE = range(0xE000, 0xF900)
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Mending:
    """What was done to a text: `joint` was put in at the indexes `joints`, `mark` stands for byte order marks."""

    joint: str
    joints: list[int]
    mark: str


def mended(text: str, read: Callable[[str, Mending], _T]) -> _T:
    """What `read` gives for a text that libyaml can read as yaml.v3 does.

    libyaml refuses `[a:,b]`, a colon at the end of a text in a flow list or mapping; for yaml.v3 the colon belongs to
    the text. So a character is put behind each such colon. And it takes a byte order mark anywhere for nothing, which
    yaml.v3 does at the very beginning only: another character takes its place. Comments that follow one on a line of
    its own may be indented by tabs in yaml.v3; here they get spaces.
    """
    unused = (chr(code) for code in _PRIVATE_USE if chr(code) not in text)
    mending = Mending(next(unused, ""), [], next(unused, "") if _BOM in text[1:] else "")
    if mending.mark:
        text = text[:1] + text[1:].replace(_BOM, mending.mark)
    while True:
        try:
            return read(text, mending)
        except ScannerError as error:
            if (spaced := _with_spaces(text, error)) != text:
                text = spaced
                continue
            if error.problem != "found unexpected ':'" or len(mending.joints) == _MAX_JOINTS:
                raise
            mending.joints.append(error.problem_mark.index + 1)
            at = mending.joints[-1] + text.startswith(_BOM)  # the parser doesn't count a byte order mark
            text = text[:at] + mending.joint + text[at:]


def _with_spaces(text: str, error: ScannerError) -> str:
    """The text with spaces for the tabs before the comments from the error on, where yaml.v3 takes them."""
    at = error.problem_mark.index + text.startswith(_BOM)
    start = text.rfind("\n", 0, at) + 1
    if text[at : at + 1] != "\t" or not _COMMENT_ABOVE.search(text, max(0, start - _LOOKAHEAD), start):
        return text
    comments = _COMMENTS.match(text, start)
    if comments is None:
        return text
    return text[:start] + _INDENT.sub(lambda match: " " * len(match[0]), comments[0]) + text[comments.end() :]


_COMMENT_ABOVE = re.compile(r"^[ \t]*#[^\n]*\n[ \t\r\n]*\Z", re.MULTILINE)
_COMMENTS = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*#")
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
_LOOKAHEAD = 4096


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


def as_given(next_event: Callable[[], Any], mending: Mending) -> Callable[[], Any]:
    """Events of a text without what `mended` has done to it; there is a document, and none is asked for after it."""
    if not mending.joints and not mending.mark:
        return next_event

    def next_as_given() -> Any:
        event = next_event()
        if event is None:
            return None
        mark = event.start_mark
        before = sum(mark.index - mark.column <= at < mark.index for at in mending.joints)
        event.start_mark = Mark(mark.name, mark.index, mark.line, mark.column - before, None, None)
        if type(event) is ScalarEvent:
            if mending.joints:
                event.value = event.value.replace(mending.joint, "")
            if mending.mark:
                event.value = event.value.replace(mending.mark, _BOM)
        return event

    return next_as_given


def look_ahead(text: str, end: int) -> None:
    """Scan what yaml.v3 scans before it is content with the first document: the token at its end and two more.

    Of the last of them yaml.v3 sees no more than the token itself; libyaml reads on, to see if it is a key.
    """
    parser, left, last = start_parser(text), 3, end
    while left:
        try:
            token = parser.get_token()
        except ScannerError as error:
            if left == 1 and _is_behind_token(error, text, last):
                return
            raise
        if token is None:
            return
        last = token.end_mark.index
        left -= token.start_mark.index >= end and type(token) is not BlockEndToken


_BETWEEN_TOKENS = re.compile(r"(?:[ \t\r\n\x85\u2028\u2029]|(?<=\s)#[^\n]*)*")


def _is_behind_token(error: ScannerError, text: str, last: int) -> bool:
    """Whether an error is about something behind the token that follows the one that ends at `last`."""
    if error.context == "while scanning a simple key":
        return True
    start = next(_BETWEEN_TOKENS.finditer(text, last)).end()
    at: int = (error.context_mark or error.problem_mark).index
    return at > start

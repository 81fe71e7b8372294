"""The comments of a YAML text, and what each is about: the entry behind it on its line, or the next one below.

They are read by libyaml's marks. A round trip of ruamel.yaml would keep those of a text as it is; but its entries move
here, it loses comments above a `---` and in an empty document, and it refuses texts that yaml.v3 reads.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

from yaml.events import DocumentEndEvent, ScalarEvent  # type: ignore[import-untyped]

from cl.transpiler.libyaml import mended, start_parser
from cl.transpiler.report import Path
from cl.transpiler.yamlnode import Mapping, Node, Sequence

_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#[^\n]*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Comment:
    """`text` with its #. `path` is that of the entry it is about, None when nothing follows it."""

    text: str
    path: Path | None


def read_comments(text: str, root: Node | None) -> list[Comment]:
    """The comments of a text that `compose` made `root` of, in order."""
    if root is None:
        return [Comment(match[0].rstrip(), None) for match in _COMMENT.finditer(text)]
    text, mark, spans, document_end = mended(text, lambda text, mending: (text, mending.mark, *_scalars(text)))
    ends = [end for _, end in spans]
    entries = sorted(_entries(root))
    lines = [line for line, _, _ in entries]
    found = []
    for match in _COMMENT.finditer(text, 0, document_end):
        at = bisect_left(ends, match.start() + 1)
        if at < len(spans) and spans[at][0] <= match.start():
            continue  # inside a scalar
        line = text.count("\n", 0, match.start()) + 1
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        # On a line of its own a comment is about what follows; behind an entry, about that entry.
        index = bisect_left(lines, line)
        path = entries[index][2] if index < len(entries) else None
        if before.strip() and (index >= len(entries) or lines[index] != line):
            path = entries[index - 1][2] if index else None
        comment = match[0].rstrip()
        found.append(Comment(comment.replace(mark, "\ufeff") if mark else comment, path))
    return found


def _scalars(text: str) -> tuple[list[tuple[int, int]], int]:
    """(start, end) of each scalar of the first document, by characters, and where the document ends."""
    parser, spans = start_parser(text), []
    while type(event := parser.get_event()) is not DocumentEndEvent:
        if isinstance(event, ScalarEvent):
            start = event.start_mark.index
            if event.style in ("|", ">"):  # the rest of its first line may hold a comment
                start = text.find("\n", start)
            spans.append((start, event.end_mark.index))
    return spans, event.start_mark.index


def _entries(root: Node) -> list[tuple[int, int, Path]]:
    """(line, depth, path) of each key and list item, where it begins."""
    out: list[tuple[int, int, Path]] = []
    waiting: list[tuple[Node, Path]] = [(root, ())]
    while waiting:
        node, path = waiting.pop()
        inside: list[tuple[Node, Node, str | int]] = []
        if isinstance(node, Mapping):
            inside = [(key, value, key.value) for key, value in node.pairs]
        elif isinstance(node, Sequence):
            inside = [(item, item, index) for index, item in enumerate(node.items)]
        for begins, value, name in inside:
            out.append((begins.line, len(path) + 1, (*path, name)))
            waiting.append((value, (*path, name)))
    return out

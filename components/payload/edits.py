"""What was edited in a config, as text: for a preview, on a computer that knows what the config was before.

Pulumi's state has a digest of each entry of a summary, not its text. The texts of the last update lie in a file beside
the machines, mode 0600 and masked; a text counts only where it has the digest that the state has.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from components.commands.files import write_atomically
from components.config.local_files import machines_dir
from components.payload.changes import BY_NAME, WHOLE
from components.payload.summary import digest, is_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    Summary = Mapping[str, Any]

AROUND = 2
"""Lines that are shown around what was edited."""
MOST_LINES = 60
"""That are shown of one config's edits."""


def remember(machine: str, summary: Summary) -> None:
    """Note what an update makes of `machine`. A computer on which that fails shows no text."""
    path, text = _path(machine), json.dumps(summary)
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError:
        return


def edits(machine: str, old: Summary, new: Summary) -> list[str]:
    """What was edited between the properties of `machine` in the state and a summary, a line each.

    Without the text before, a changed entry is named alone.
    """
    before, lines = _remembered(machine), list[str]()
    for title, section, name in _entries(old, new):
        was, now = _entry(old, section, name), _entry(new, section, name)
        if digest(was) == digest(now):
            continue
        # an earlier version had texts in the state
        text = _entry(before, section, name) if is_digest(was) else was
        if digest(text) == digest(was):
            lines += [title, *_difference(_lines(text), _lines(now))]
        else:
            lines.append(f"{title}: what it was before is not known on this computer")
    left = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"… and {left} lines more"] if left > 0 else lines


def _entries(old: Summary, new: Summary) -> Iterator[tuple[str, str, str | None]]:
    """What to call each entry of two summaries, its section, and its name in that."""
    for section, word in BY_NAME.items():
        before, after = old.get(section) or {}, new.get(section) or {}
        if isinstance(before, dict) and isinstance(after, dict):
            for name in dict.fromkeys([*before, *after]):
                yield word + name, section, name
    for section in ("storage", "kernelArguments"):
        yield WHOLE[section], section, None


def _entry(summary: Summary, section: str, name: str | None) -> Any:
    found = summary.get(section)
    return found if name is None or found is None else found.get(name)


def _remembered(machine: str) -> Summary:
    try:
        found: dict[str, Any] = json.loads(_path(machine).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _path(machine: str) -> Path:
    return machines_dir() / ".shown" / f"{machine}.json"


def _difference(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """What is left out between two edits is one line."""
    for number, line in enumerate(difflib.unified_diff(old, new, n=AROUND, lineterm="")):
        if number < 2:
            continue  # the names of two files
        if not line.startswith("@@"):
            yield f"  {line[0]} {line[1:]}".rstrip()
        elif number > 2:
            yield "    …"


def _lines(value: Any) -> list[str]:
    """An entry of a summary as text: contents as they are, of all else a line for each value."""
    if isinstance(value, dict):
        return [line for name, inner in sorted(value.items()) for line in _named(str(name), inner)]
    if isinstance(value, list):
        return [line for inner in value for line in _named("-", inner)]
    return [] if value is None else str(value).splitlines()


def _named(name: str, value: Any) -> list[str]:
    if name in ("contents", "append") and isinstance(value, str):
        return value.splitlines()
    if isinstance(value, list) and not any(isinstance(inner, (dict, list)) for inner in value):
        value = ", ".join(map(str, value))
    label = name if name == "-" else f"{name}:"
    if isinstance(value, (dict, list)) or (isinstance(value, str) and "\n" in value):
        return [label, *(f"  {line}" for line in _lines(value))]
    return [f"{label} {value}"]

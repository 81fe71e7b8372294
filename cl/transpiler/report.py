"""Findings about a config: what is wrong, where, and what to do about it.

A check knows only the logical *path* of what it looks at; `Findings.located` adds line and column at the
end, from the node tree of the source. Nothing in here knows a rule of any dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Key:
    """A path element that means the mapping's key itself instead of its value."""

    name: str


Position = tuple[int, int] | None
"""(line, column), 1-based, or None."""

PathElement = str | int | Key
Path = tuple[PathElement, ...]


def render_path(path: Path) -> str:
    """`("storage", "files", 0, "mode")` as `$.storage.files.0.mode`, the form butane prints."""
    return "$" + "".join(f".{element.name if isinstance(element, Key) else element}" for element in path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding.

    `path` is logical (`$.storage.files.0.mode`, list indexes as numbers); `line` and `column` are 1-based,
    or None where the finding has no position in a source text. `message` states the rule, lower case, no full
    stop; `hint` says what to do. `filename` names the source that the position is in.
    """

    severity: Severity
    path: str
    message: str
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    filename: str = "<config>"

    def one_line(self, *, with_path: bool = True) -> str:
        """The finding as one line: `error at $.a.b, line 3 col 5: message`."""
        position = f"line {self.line} col {self.column}" if self.line is not None else ""
        path = self.path if with_path and (self.path != "$" or position) else ""
        at = f" at {', '.join(filter(None, (path, position)))}" if path or position else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.severity}{at}: {self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one config, in the order in which the checks ran.

    `unreadable` says why a Butane source is no config at all: a value of the wrong type, an unknown version. butane
    ends with that as a line of its own, outside of its report; so it isn't among `entries` either, but a finding
    like them everywhere else. `sources` maps a file name to its text; the pretty form quotes lines from it.
    """

    entries: tuple[Diagnostic, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    strict: bool = False
    unreadable: tuple[Diagnostic, ...] = ()

    def __iter__(self) -> Iterator[Diagnostic]:
        yield from self.entries
        yield from self.unreadable

    @property
    def is_fatal(self) -> bool:
        """True when at least one entry is an error, or, if `strict`, when there is any entry."""
        return any(self.strict or entry.severity == "error" for entry in self)

    def render(self, *, pretty: bool = True, color: bool = False) -> str:
        """The report as text, without a trailing newline; empty when there is nothing to say.

        `pretty` quotes the source line with a mark under the position; otherwise each entry is one line.
        """
        if not pretty:
            lines = [entry.one_line() for entry in self.entries]
            return "\n".join(lines + [entry.one_line(with_path=False) for entry in self.unreadable])
        texts = {name: text.splitlines() for name, text in self.sources}
        return "\n\n".join(_pretty(entry, texts.get(entry.filename, []), color) for entry in self)

    def annotations(self) -> Iterator[str]:
        """Each entry as a workflow command, which GitHub shows at its line of a pull request.

        Source: docs.github.com, workflow commands, "Setting an error message"; actions/toolkit has the escapes.
        """
        for entry in self:
            places = {"file": entry.filename, "line": entry.line, "col": entry.column}
            where = ",".join(
                f"{name}={_escaped(str(value), ':,')}" for name, value in places.items() if value is not None
            )
            text = "\n".join(filter(None, [entry.message, entry.hint and f"hint: {entry.hint}"]))
            yield f"::{_COMMANDS[entry.severity]} {where}::{_escaped(text)}"


_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def _escaped(text: str, more: str = "") -> str:
    return re.sub(rf"[%\r\n{more}]", lambda match: f"%{ord(match[0]):02X}", text)


_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "info": "\x1b[1;36m"}


def _pretty(entry: Diagnostic, lines: list[str], color: bool) -> str:
    paint, reset = (_COLORS[entry.severity], "\x1b[0m") if color else ("", "")
    path = f" [{entry.path}]" if entry.path != "$" else ""
    out = [f"{paint}{entry.severity}{reset}: {entry.message}{path}"]
    if entry.line is not None:
        column = entry.column or 1
        out.append(f"  --> {entry.filename}:{entry.line}:{column}")
        out.extend(_quote(lines, entry.line, column, paint, reset))
    else:
        out.append(f"  --> {entry.filename}")
    if entry.hint:
        out.append(f"   = hint: {entry.hint}")
    return "\n".join(out)


def _quote(lines: list[str], line: int, column: int, paint: str, reset: str) -> list[str]:
    """The source line with its neighbour above and a mark under the token at `column`."""
    if not 1 <= line <= len(lines):
        return []
    width = len(str(line))
    out = [f"{number:>{width}} | {lines[number - 1]}" for number in range(max(1, line - 1), line + 1)]
    text = lines[line - 1]
    token = text[column - 1 :].split(None, 1)
    length = len(token[0].rstrip(",]}")) or 1 if token and not text[column - 1 : column].isspace() else 1
    lead = "".join("\t" if c == "\t" else " " for c in text[: column - 1])
    out.append(f"{'':>{width}} | {lead}{paint}{'^' * length}{reset}")
    return out


class Findings:
    """The growing list of findings while a config is being looked at; paths only, no positions yet."""

    def __init__(self) -> None:
        self._entries: list[tuple[Diagnostic, Path]] = []

    def add(
        self, severity: Severity, path: Path, message: str, *, hint: str | None = None, position: Position = None
    ) -> None:
        """Record a finding at `path`. `position` is (line, column), for findings that no path leads to."""
        line, column = position if position is not None else (None, None)
        where = render_path(path)
        entry = Diagnostic(severity=severity, path=where, message=message, line=line, column=column, hint=hint)
        self._entries.append((entry, path))

    def add_at(self, severity: Severity, where: str, message: str, *, hint: str | None = None) -> None:
        """Record a finding whose position is known by a text alone, as in a config written in Python."""
        self._entries.append((Diagnostic(severity=severity, path=where, message=message, hint=hint), ()))

    def error(self, path: Path, message: str, *, hint: str | None = None, position: Position = None) -> None:
        self.add("error", path, message, hint=hint, position=position)

    def warning(self, path: Path, message: str, *, hint: str | None = None, position: Position = None) -> None:
        self.add("warning", path, message, hint=hint, position=position)

    def info(self, path: Path, message: str, *, hint: str | None = None, position: Position = None) -> None:
        self.add("info", path, message, hint=hint, position=position)

    def extend(self, others: Findings) -> None:
        """Add the findings of another list."""
        self._entries.extend(others._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_fatal(self) -> bool:
        return any(entry.severity == "error" for entry, _ in self._entries)

    def entries(self) -> Iterable[tuple[Diagnostic, Path]]:
        return tuple(self._entries)

    def located(self, locate: Locator, filename: str) -> tuple[Diagnostic, ...]:
        """The entries with line and column filled in by `locate(path)` where they have none yet."""
        out = []
        for entry, path in self._entries:
            if entry.line is None and (position := locate(path)) is not None:
                entry = replace(entry, line=position[0], column=position[1])
            out.append(replace(entry, filename=filename))
        return tuple(out)


class Locator:
    """Finds the position of a path. The base class knows none; `yamlnode.NodeLocator` reads a node tree."""

    def __call__(self, path: Path) -> tuple[int, int] | None:
        return None


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """A hint that names the known word nearest to `word`, or None when none is near (hcl's idea, 15 lines).

    `cutoff` is how alike they have to be: 1 is the same.
    """
    import difflib  # only needed once something is wrong

    folded = {name.casefold(): name for name in known}
    near = folded.get(word.casefold())
    if near is None:
        close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=cutoff)
        near = folded[close[0]] if close else None
    return f"did you mean {near!r}?" if near is not None else None

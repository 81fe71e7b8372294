"""Secrets are masked where they enter: what is shown of a config comes from one in which words stand for their values.

A config that uses secrets is made twice, with their values and with stand-ins of the same shape. The first is for the
machine. Reports, summaries and names are taken from the second, in which no secret has ever been, and what stands for
one is replaced by what is shown for it. So there is nothing to find again in a text that was cut, quoted or encoded.

Imported by `machine_config`, `summary` and `wanted_config`.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from cl.transpiler import Diagnostic, Report
from cl.transpiler.detect import compose_source, is_ignition
from cl.transpiler.variables import names_in
from cl.transpiler.yamlnode import YamlError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

MASK = "[masked]"
"""What a summary shows for a secret's value."""
_ADDRESS = re.compile(r"(?:https?|s3|gs|tftp)://|data:,|/")

_HARD_TO_TRY = 64
"""In bits: so many values can't be tried out (of SHA-512, as config ids are, 10^9 a second are)."""
_CLASSES = (("[a-z]", 26), ("[A-Z]", 26), ("[0-9]", 10), ("[^a-zA-Z0-9]", 32))

Locators = dict[tuple[str, int, int], tuple[str, ...]]
"""The names of the variables that a value uses, by the value's file name, line and column."""


@dataclass(frozen=True, slots=True)
class StandIns:
    """What stands for the values of secrets, by their names. Empty where nothing secret is used."""

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> StandIns:
        """Words that no config holds, each of which passes for its secret in most places."""
        return cls({name: _stand_in(name, value) for name, value in secrets.items()})

    def shown_as(self, shown: Mapping[str, str]) -> dict[str, str]:
        """What is shown for each text that stands for a secret, longer ones first; `shown` has that by name."""
        texts = {text: shown[name] for name, value in self.values.items() for text in (value, _word(name))}
        return dict(sorted(texts.items(), key=lambda item: -len(item[0])))


def _word(name: str) -> str:
    return "secret" + hashlib.sha256(name.encode()).hexdigest()[:12]


def _stand_in(name: str, value: str) -> str:
    word = _word(name)
    if re.fullmatch(r"0|[1-9][0-9]*", value):
        return str(10**9 + int(word[-6:], 16))
    if "\n" in value:
        return f"#{word}\n#{word}" + "\n" * value.endswith("\n")  # comments: fine as a unit, or as lines of one
    address = _ADDRESS.match(value)
    return (address[0] if address else "") + word


def is_guessable(secret: str) -> bool:
    """Whether all values of this length, of the kinds of characters in it, can be tried out against a hash."""
    alphabet = sum(size for kind, size in _CLASSES if re.search(kind, secret))
    return len(secret) * math.log2(alphabet or 1) < _HARD_TO_TRY


def with_shown(value: Any, shown_as: Mapping[str, str]) -> Any:
    """A JSON value with what is shown for each stand-in, in keys as well; two keys that become one stay apart."""
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, inner in value.items():
            name = with_shown(key, shown_as)
            free = next(free for n in count(1) if (free := name if n == 1 else f"{name} ({n})") not in out)
            out[free] = with_shown(inner, shown_as)
        return out
    if isinstance(value, list):
        return [with_shown(inner, shown_as) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return shown_as.get(str(value), value)
    if isinstance(value, str):
        for text, shown in shown_as.items():
            value = value.replace(text, shown)
    return value


def locators(sources: Sequence[tuple[str, str]], names: Collection[str]) -> Locators:
    """The values in `sources`, file names and texts, that use one of these variables."""
    found: Locators = {}
    for filename, text in sources if names else ():

        def note(value: str, line: int, column: int, filename: str = filename) -> str:
            used = names_in(value)
            if here := tuple(name for name in names if name in used):
                found[filename, line, column] = here
            return value

        with contextlib.suppress(YamlError):  # the transpiler reports it
            compose_source(text, note, is_json=is_ignition(text))
    return found


def without(report: Report, at: Locators) -> Report:
    """`report` without what is found in these values."""

    def kept(entries: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
        return tuple(entry for entry in entries if (entry.filename, entry.line, entry.column) not in at)

    return replace(report, entries=kept(report.entries), unreadable=kept(report.unreadable))


def masked_report(real: Report, masked: Report, stand_ins: StandIns, at: Locators) -> Report:
    """What may be shown of `real`, the report on a config with its secrets.

    It is what `masked`, the report on the config with stand-ins, says at the same position as well, in its words, with
    `${name}` for the value. Of anything else no more is shown than its position, and which secrets are used there.
    """
    if not stand_ins.values:
        return real
    shown_as = stand_ins.shown_as({name: f"${{{name}}}" for name in stand_ins.values})
    known: dict[object, list[Diagnostic]] = {}
    for entry in masked:
        known.setdefault(_position(entry), []).append(entry)

    def shown(entry: Diagnostic) -> Diagnostic:
        for other in known.get(_position(entry), ()):
            if _pattern(other.message, shown_as).fullmatch(entry.message):
                hint = with_shown(other.hint, shown_as)
                path, message = with_shown(other.path, shown_as), with_shown(other.message, shown_as)
                return replace(other, path=path, message=message, hint=hint)
        names = at.get((entry.filename, entry.line or 0, entry.column or 0), tuple(stand_ins.values))
        values = ", ".join(f"${{{name}}}" for name in names)
        return Diagnostic(
            severity=entry.severity,
            path="$",
            message=f"something is wrong here that can't be told without the value of {values}",
            line=entry.line,
            column=entry.column,
            hint="a secret's value is never shown: see what is said with a value there that is no secret",
            filename=entry.filename,
        )

    return replace(real, entries=tuple(map(shown, real.entries)), unreadable=tuple(map(shown, real.unreadable)))


def _position(entry: Diagnostic) -> tuple[object, ...]:
    return entry.severity, entry.filename, entry.line, entry.column


def _pattern(message: str, texts: Collection[str]) -> re.Pattern[str]:
    """What says the same with other values for these texts."""
    parts = re.split("|".join(map(re.escape, texts)), message)
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)

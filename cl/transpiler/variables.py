"""`${name}` in a config's values, filled in after parsing: lines stay the user's and nothing can break out of
its scalar. `$${` stands for a literal `${`; a shell's `$VAR` and `$(…)` and systemd's `%i` need no doubling.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from cl.transpiler.report import Findings, did_you_mean

_PLACEHOLDER = re.compile(r"\$?\$\{([^{}\n]*)\}|\$\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def names_in(text: str) -> frozenset[str]:
    """The names of the variables whose placeholders stand in a text."""
    found = (match[1] for match in _PLACEHOLDER.finditer(text) if not match[0].startswith("$$"))
    return frozenset(name for name in found if _NAME.fullmatch(name))


class Variables:
    """The variables of one transpilation, and which of them its sources have used. `others` are names for hints."""

    def __init__(self, values: Mapping[str, str], others: Collection[str] = ()) -> None:
        self._values, self._others = values, others
        self.used: set[str] = set()

    def filler(self, findings: Findings) -> Filler:
        return Filler(self, findings)

    def lookup(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None:
            self.used.add(name)
        return value

    def named_in(self, text: str) -> tuple[tuple[str, str], ...]:
        """The variables whose placeholder stands somewhere in a text, with their values, by name."""
        return tuple((name, self._values[name]) for name in sorted(names_in(text) & self._values.keys()))

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._values, *self._others)

    def may_all_be_used(self) -> None:
        """Count all as used: a source that can't be read may name any of them."""
        self.used.update(self._values)

    def report_unused(self, findings: Findings) -> None:
        """An error for each variable that no source has used: a misspelt name must not go unnoticed."""
        for name in self._values:
            if name not in self.used:
                hint = f"write ${{{name}}} where it belongs, or drop it"
                findings.error((), f"variable {name!r} is not used", hint=hint)


class Filler:
    """Fills the scalars of one source; unknown names become findings at their line and column."""

    def __init__(self, variables: Variables, findings: Findings) -> None:
        self._variables, self._findings = variables, findings

    def __call__(self, value: str, line: int, column: int) -> str:
        def fill(match: re.Match[str]) -> str:
            if match[0].startswith("$$"):
                return match[0][1:]
            name = match[1]
            if _NAME.fullmatch(name) and (known := self._variables.lookup(name)) is not None:
                return known
            hint = did_you_mean(name, self._variables.names) or "write $${ for a literal ${"
            self._findings.error((), f"variable {name!r} is not known", hint=hint, position=(line, column))
            return match[0]

        return _PLACEHOLDER.sub(fill, value)

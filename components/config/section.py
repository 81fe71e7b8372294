"""Typed getters over a mapping from stack config that collect every problem instead of stopping at the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cl.transpiler.report import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Section:
    """One mapping of the stack config, called `key` in messages; problems go to the list shared by all sections.

    Each getter returns the value, or its default when the value is missing or wrong: the caller goes on, and fails
    at the end if there are problems. A getter also makes its name known; `finish` reports the names nobody asked for.
    """

    def __init__(self, key: str, values: Mapping[str, Any], problems: list[str]) -> None:
        self.key = key
        self._values = values
        self._problems = problems
        self._known: set[str] = set()

    def problem(self, name: str, text: str) -> None:
        """Record that the value called `name` (or "" for the section itself) is wrong."""
        self._problems.append(f"{self._full(name)}: {text}")

    def value_problems(self, problems: Iterable[tuple[str, str]]) -> None:
        """Record what is wrong with values, by name; where a getter has refused one, nobody wrote what is there."""
        refused = {problem.partition(": ")[0] for problem in self._problems}
        for name, text in problems:
            if self._full(name) not in refused:
                self.problem(name, text)

    def text(self, name: str, default: str = "", *, required: bool = False) -> str:
        """A string, not empty when `required`."""
        value = self._take(name)
        if value is None or value == "":
            if required:
                self.problem(name, "is missing")
            return default
        if not isinstance(value, str):
            self.problem(name, f"has to be a string, not {_kind(value)}; put it in quotes")
            return default
        return value

    def integer(self, name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
        """A whole number within its bounds."""
        value = self.whole_number(name, default)
        if self._values.get(name) is not None and (wrong := bounds_problem(value, minimum, maximum)) is not None:
            self.problem(name, wrong)
            return default
        return value

    def whole_number(self, name: str, default: int) -> int:
        """Any whole number; its bounds are looked at where it is used."""
        value = self._take(name)
        if value is None:
            return default
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value)  # `pulumi config set` without --path stores strings
        if not isinstance(value, int) or isinstance(value, bool):
            self.problem(name, f"has to be a whole number, not {_kind(value)}")
            return default
        return value

    def text_or_integer(self, name: str, default: str) -> str:
        """A string, or a whole number as it is written."""
        if isinstance(self._values.get(name), int) and not isinstance(self._values[name], bool):
            return str(self._take(name))
        return self.text(name, default)

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""
        value = self._take(name)
        if value is None:
            return default
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            self.problem(name, f"has to be true or false, not {_kind(value)}")
            return default
        return value

    def choice(self, name: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`."""
        value = self.text(name, default)
        if (wrong := choice_problem(value, choices)) is not None:
            self.problem(name, wrong)
            return default
        return value

    def texts(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(name)
        if value is None:
            return tuple(default)
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            self.problem(name, "has to be a list of strings")
            return tuple(default)
        return tuple(value)

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """A list of strings, None where it isn't set."""
        texts = self.texts(name)
        return None if self._values.get(name) is None else texts

    def mapping_of_texts(self, name: str) -> dict[str, str]:
        """A mapping of names to strings; whole numbers are taken as they are written."""
        value = self._take(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.problem(name, f"has to be a mapping of names to strings, not {_kind(value)}")
            return {}
        texts = {}
        for inner, item in value.items():
            if isinstance(item, bool) or not isinstance(item, str | int):
                self.problem(f"{name}.{inner}", f"has to be a string, not {_kind(item)}; put it in quotes")
            else:
                texts[inner] = str(item)
        return texts

    def section(self, name: str) -> Section:
        """The mapping called `name`; empty when missing."""
        value = self._take(name)
        if value is not None and not isinstance(value, dict):
            self.problem(name, f"has to be a mapping, not {_kind(value)}")
            value = None
        return Section(self._full(name), value or {}, self._problems)

    def sections(self, name: str) -> list[Section]:
        """The list of mappings called `name`."""
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.problem(name, "has to be a list of mappings")
            return []
        return [Section(f"{self._full(name)}[{index}]", item, self._problems) for index, item in enumerate(value)]

    def has(self, name: str) -> bool:
        """Whether anything is set, be it of another shape; empty values are as good as missing."""
        return bool(self._take(name))

    def names(self) -> tuple[str, ...]:
        """The names that the mapping holds, in order."""
        return tuple(self._values)

    def finish(self) -> None:
        """Report each name that no getter has asked for."""
        for name in self._values:
            if name not in self._known:
                self.problem(name, f"is not a known key{meant(name, sorted(self._known))}")

    def _take(self, name: str) -> Any:
        self._known.add(name)
        return self._values.get(name)

    def _full(self, name: str) -> str:
        separator = "" if not name else ":" if ":" not in self.key else "."
        return f"{self.key}{separator}{name}"


def bounds_problem(value: int, minimum: int, maximum: int | None = None) -> str | None:
    """What is wrong with a number that has to be within these bounds, or None."""
    if minimum <= value and (maximum is None or value <= maximum):
        return None
    return f"has to be at least {minimum}" if maximum is None else f"has to be {minimum} to {maximum}"


def choice_problem(value: str, choices: Sequence[str]) -> str | None:
    """What is wrong with a text that has to be one of `choices`, or None."""
    if value in choices:
        return None
    return f"has to be one of {', '.join(choices)}, not {value!r}{meant(value, choices)}"


def meant(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, else a list of the few there are, else ""."""
    near = did_you_mean(name, known, cutoff=0.6)
    return f"; {near}" if near else f"; known are {', '.join(known)}" if known else ""


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), type(value).__name__)

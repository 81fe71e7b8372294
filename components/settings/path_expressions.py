r"""Expressions over whole paths that mean the same here and in GNU find's `-regextype egrep`. Pure.

Python's `re` and find disagree: `\d` is a digit in one and the letter d in the other, `(?:a)` a group or a question
mark. What is read here is what find takes in the same way in both locales that it may have on a machine, C and C.UTF-8
(findutils 4.9; the tests ask the real one):

    characters   every printable one stands for itself, but for \ . [ ( ) { * + ? | ^ $
    \            in front of a punctuation mark, but for \< \> \` \' : that character
    .            any character, a newline and / as well
    [abc0-9]     one of these; [^…] any other, / as well. ASCII, no \; ] comes first, - first or last; [:digit:],
                 [:xdigit:]
    ( | )        one of several; each may be empty
    * + ? {m} {m,} {m,n} {,n}    behind a character, a bracket or a group; one of them alone, or *?, which is *

An expression is about the whole path, so there are no anchors. One difference is left, about characters outside of
ASCII in a *path*: C takes each byte for a character, C.UTF-8 none that is not UTF-8. A path matches here when it does
in either.

The matcher follows all ways at once (Thompson): its time is the path's length times the expression's.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

MAX_SIZE = 500
"""How many characters an expression may have, repetitions written out. find takes more, and minutes for some of it."""
MAX_DEPTH = 50
"""How many groups may lie in one another."""

_REPEATS = "*+?{"
_BOUNDS = re.compile(r"\{([0-9]{0,5})(?:(,)([0-9]{0,5}))?\}")
_CLASSES = {"digit": "0123456789", "xdigit": "0123456789abcdefABCDEF"}
_INSTEAD = {
    "d": "write [0-9]", "D": "write [^0-9]", "w": "write [A-Za-z0-9_]", "W": "write [^A-Za-z0-9_]",
    "s": "write the space itself", "S": "write [^ ]", "n": "a path's newline can't be written",
    "alpha": "write [A-Za-z]", "alnum": "write [A-Za-z0-9]", "lower": "write [a-z]", "upper": "write [A-Z]",
    "space": "write the space itself", "blank": "write the space itself",
}  # fmt: skip


class ExpressionError(ValueError):
    """Why a text is no expression: `holds …: what to write instead`."""


@dataclass(frozen=True, slots=True)
class _Any:
    """One character: one of `members`, or with `negated` every other one. `at` is its place in the text."""

    members: frozenset[str]
    negated: bool
    at: int

    def takes(self, character: str) -> bool:
        # half a surrogate pair is a byte that is not UTF-8
        return not "\ud800" <= character <= "\udfff" and (character in self.members) is not self.negated


@dataclass(frozen=True, slots=True)
class _Chain:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    branches: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """`most` None: any number of times."""

    part: _Node
    least: int
    most: int | None


_Node = _Any | _Chain | _Choice | _Repeat


@dataclass(frozen=True, slots=True)
class _Program:
    """What the matcher runs. A step takes a character and goes on with the next step, or is a fork to other steps."""

    steps: tuple[_Any | tuple[int, ...], ...]

    def closure(self, starts: list[int]) -> set[int]:
        """The steps that take a character, or the end (`len(steps)`), which can be reached without taking any."""
        seen: set[int] = set()
        while starts:
            step = starts.pop()
            if step in seen:
                continue
            seen.add(step)
            if step < len(self.steps) and isinstance(fork := self.steps[step], tuple):
                starts.extend(fork)
        return {step for step in seen if step == len(self.steps) or not isinstance(self.steps[step], tuple)}

    def matches(self, text: str) -> bool:
        """Whether it takes all of the text."""
        now = self.closure([0])
        for character in text:
            now = self.closure([step + 1 for step in now if self._takes(step, character)])
            if not now:
                return False
        return len(self.steps) in now

    def _at(self, step: int) -> _Any | tuple[int, ...]:
        return self.steps[step] if step < len(self.steps) else ()

    def _takes(self, step: int, character: str) -> bool:
        return isinstance(taker := self._at(step), _Any) and taker.takes(character)

    def useless(self) -> int | None:
        """The place in the text of the first character that no path can have there, None when there is none.

        A path is what find prints for all but `/` itself: names, each behind one `/`, and none of them `.` or `..`.
        """
        moves: dict[tuple[int, str], set[tuple[int, str]]] = {}
        fresh = [(step, "") for step in self.closure([0])]
        while fresh:
            state = fresh.pop()
            if state in moves:
                continue
            step, seen = state
            taker = self._at(step)
            after = {_NEXT[seen].get(kind) for kind in "/.x" if isinstance(taker, _Any) and _takes_kind(taker, kind)}
            moves[state] = {(to, name) for name in after if name for to in self.closure([step + 1])}
            fresh.extend(moves[state])
        useful = {(len(self.steps), "name")} & set(moves)
        if not useful:
            last = max((taker.at for taker in self.steps if isinstance(taker, _Any)), default=0)
            stuck = {step for (step, _), nexts in moves.items() if not nexts}
            return min((taker.at for step in stuck if isinstance(taker := self._at(step), _Any)), default=last)
        before: dict[tuple[int, str], set[tuple[int, str]]] = {}
        for state, nexts in moves.items():
            for to in nexts:
                before.setdefault(to, set()).add(state)
        open_states = list(useful)
        while open_states:
            added = before.get(open_states.pop(), set()) - useful
            useful |= added
            open_states.extend(added)
        alive = {
            taker.at for step, _ in useful if step < len(self.steps) and isinstance(taker := self.steps[step], _Any)
        }
        dead = {taker.at for taker in self.steps if isinstance(taker, _Any)} - alive
        return min(dead, default=None)


_NEXT = {
    "": {"/": "/"},
    "/": {".": ".", "x": "name"},
    ".": {".": "..", "x": "name"},
    "..": {".": "name", "x": "name"},
    "name": {"/": "/", ".": "name", "x": "name"},
}
"""How far a path is, and what follows: behind a slash, in a name that is `.` or `..` so far, in any other name."""


def _takes_kind(taker: _Any, kind: str) -> bool:
    if kind != "x":
        return taker.takes(kind)
    return taker.negated or bool(taker.members - {"/", "."})


def expression_problem(expression: str) -> str | None:
    """Why this is no expression, with what to write instead (`holds …`), or None."""
    if not expression.replace("\t", "").isprintable():
        return "holds a character that can't be printed"
    try:
        _program(expression)
    except ExpressionError as error:
        return str(error)
    return None


def matches(expression: str, path: str) -> bool:
    """Whether the whole path matches. Raises `ExpressionError`."""
    if _program(expression).matches(path):
        return True
    return not path.isascii() and _program(_bytes(expression)).matches(_bytes(path))


def useless_part(expression: str) -> str | None:
    """The rest of an expression from the first character on that no path can have there; None when there is none.

    Raises `ExpressionError`.
    """
    at = _program(expression).useless()
    return None if at is None else expression[at:]


def has_choice_outside_groups(expression: str) -> bool:
    """Whether a `|` stands outside of every group. Raises `ExpressionError`."""
    return isinstance(_Reader(expression).read(), _Choice)


def _bytes(text: str) -> str:
    """A text as the C locale sees it, each byte a character."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


@functools.lru_cache(maxsize=4096)
def _program(expression: str) -> _Program:
    steps: list[_Any | tuple[int, ...]] = []
    _compile(_Reader(expression).read(), steps)
    return _Program(tuple(steps))


def _compile(node: _Node, steps: list[_Any | tuple[int, ...]]) -> None:
    match node:
        case _Any():
            _add(steps, node)
        case _Chain(parts):
            for part in parts:
                _compile(part, steps)
        case _Choice(branches):
            fork = len(steps)
            _add(steps)
            starts, ends = [], []
            for branch in branches:
                starts.append(len(steps))
                _compile(branch, steps)
                ends.append(len(steps))
                _add(steps)
            steps[fork] = tuple(starts)
            for end in ends:
                steps[end] = (len(steps),)
        case _Repeat(part, least, most):
            for _ in range(least):
                size = len(steps)
                _compile(part, steps)
                if len(steps) == size:
                    break  # nothing, however often
            forks = []
            for _ in range((most or 0) - least if most is not None else 1):
                forks.append(len(steps))
                _add(steps)
                _compile(part, steps)
            if most is None:
                _add(steps, (forks[0],))
            for fork in forks:
                steps[fork] = (fork + 1, len(steps))


def _add(steps: list[_Any | tuple[int, ...]], step: _Any | tuple[int, ...] = ()) -> None:
    """With one fork or jump for each character at the most there would be twice as many steps; so it has room."""
    if len(steps) == 3 * MAX_SIZE:
        raise ExpressionError(f"is too large: {MAX_SIZE} characters at the most, with repetitions written out")
    steps.append(step)


class _Reader:
    """Reads one expression, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> _Node:
        """All of it."""
        node = self._choice()
        if self._at < len(self._text):
            raise ExpressionError(r"has a ) without its (: write \) for the character")
        return node

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> _Node:
        branches = [self._chain()]
        while self._next() == "|":
            self._at += 1
            branches.append(self._chain())
        return _Choice(tuple(branches)) if len(branches) > 1 else branches[0]

    def _chain(self) -> _Node:
        parts: list[_Node] = []
        while self._next() not in ("", "|", ")"):
            if self._next() in _REPEATS:
                raise ExpressionError(rf"repeats nothing at {self._rest()}: write \{self._next()} for the character")
            parts.append(self._repeated(self._atom()))
        return _Chain(tuple(parts))

    def _repeated(self, part: _Node) -> _Node:
        sign = self._next()
        if not sign or sign not in _REPEATS:
            return part
        if isinstance(part, _Any) and not self._text[self._at - 1].isascii():
            character = self._text[self._at - 1]
            raise ExpressionError(f"repeats {character!r}, of which find may repeat the last byte: write ({character})")
        if sign == "{":
            least, most = self._bounds()
        else:
            self._at += 1
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
            if sign == "*" and self._next() == "?":
                self._at += 1  # as few as possible, of a whole path: the same
        if self._next() and self._next() in _REPEATS:
            raise ExpressionError(f"repeats a repetition at {self._rest()}: write one of * + ? {{m,n}} alone")
        return _Repeat(part, least, most)

    def _bounds(self) -> tuple[int, int | None]:
        found = _BOUNDS.match(self._text, self._at)
        if found is None or not (found[1] or found[3]):
            raise ExpressionError(
                rf"has no bounds such as {{2}} or {{1,3}} at {self._rest()}: write \{{ for the character"
            )
        least = int(found[1] or 0)
        most = least if not found[2] else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise ExpressionError(f"has bounds that are the wrong way round: {found[0]}")
        if max(least, most or 0) > MAX_SIZE:
            raise ExpressionError(f"repeats more than {MAX_SIZE} times: {found[0]}")
        self._at = found.end()
        return least, most

    def _atom(self) -> _Node:
        at, character = self._at, self._next()
        self._at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return self._bracket(at)
            case ".":
                return _Any(frozenset(), True, at)
            case "^" | "$":
                raise ExpressionError(
                    rf"holds {character!r}: leave it out, whole paths are meant; for the character write \{character}"
                )
            case "\\":
                return _Any(frozenset(self._escaped()), False, at)
        return _Any(frozenset(character), False, at)

    def _group(self) -> _Node:
        if self._next() == "?":
            raise ExpressionError(
                f"holds '{self._rest(3, back=1)}', which find does not know: write ( … ), it has no other groups"
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"has more than {MAX_DEPTH} groups in one another")
        node = self._choice()
        if self._next() != ")":
            raise ExpressionError(r"has a ( without its ): write \( for the character")
        self._at += 1
        self._depth -= 1
        return _Chain((node,)) if isinstance(node, _Any) else node

    def _escaped(self) -> str:
        character = self._next()
        self._at += 1
        if not character:
            raise ExpressionError(r"ends with a backslash: write \\ for the character")
        if character in "<>`'" or character.isalnum() or not character.isascii():
            instead = _INSTEAD.get(character, "leave it out, or name the characters in [ ]")
            raise ExpressionError(f"holds '\\{character}', which find takes otherwise: {instead}")
        return character

    def _bracket(self, at: int) -> _Any:
        negated = self._next() == "^"
        self._at += negated
        members: set[str] = set()
        first = self._at
        while self._next() != "]" or self._at == first:
            members |= self._members(first)
        self._at += 1
        return _Any(frozenset(members), negated, at)

    def _members(self, first: int) -> set[str]:
        """One character, range or class in brackets."""
        text, at = self._text, self._at
        character = self._next()
        if not character:
            raise ExpressionError(r"has a [ without its ]: write \[ for the character")
        if not character.isascii():
            raise ExpressionError(f"holds {character!r} in [ ], which find may take for bytes: write ({character}|…)")
        if character == "\\":
            raise ExpressionError(r"holds a \ in [ ], where it stands for itself: " + self._without_backslash())
        if text[at : at + 2] in ("[.", "[=", "[:"):
            return self._class()
        self._at += 1
        if text[at + 1 : at + 2] != "-" or text[at + 2 : at + 3] in ("]", ""):
            if character == "-" and at != first and text[at + 1 : at + 2] != "]":
                raise ExpressionError("has a '-' within [ ]: put it first or last")
            return {character}
        last = text[at + 2]
        self._at += 2
        if not character < last or not last.isascii() or {character, last} & set("-[]\\"):
            raise ExpressionError(f"has a range {character}-{last} in [ ]: write one such as 0-9, a-z, A-Z")
        return {chr(code) for code in range(ord(character), ord(last) + 1)}

    def _without_backslash(self) -> str:
        following = self._text[self._at + 1 : self._at + 2]
        if following in _INSTEAD:
            return _INSTEAD[following]
        return "leave it out, ] comes first and - last" if following else "leave it out"

    def _class(self) -> set[str]:
        found = re.compile(r"\[:([a-z]*):\]").match(self._text, self._at)
        if found is None or found[1] not in _CLASSES:
            name = found[1] if found else ""
            what = found[0] if found else self._text[self._at : self._at + 2]
            raise ExpressionError(f"holds '{what}' in [ ]: {_INSTEAD.get(name, 'name the characters')}")
        self._at = found.end()
        return set(_CLASSES[found[1]])

    def _rest(self, length: int = 12, *, back: int = 0) -> str:
        start = self._at - back
        return self._text[start : start + length]

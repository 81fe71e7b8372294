"""Text as Go prints and reads it: quoted strings, semantic versions, durations."""

from __future__ import annotations

import re
from dataclasses import dataclass

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go's unicode.IsSpace and fmt take for blank, to stand between the brackets of a regular expression."""

_SHORT = {
    "\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_VERSION_NUMBER = re.compile(r"[+-]?[0-9]+")
_IDENTIFIER = re.compile(r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*")
_DURATION = r"[+-]?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)"
_DURATION_PART = r"([0-9]*)\.?([0-9]*)(ns|us|µs|μs|ms|s|m|h)"
_NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip


def quote(text: str) -> str:
    """`text` as fmt's %q: in double quotes, printable Unicode as it is, the rest escaped.

    Bytes that aren't UTF-8 (surrogates, from a !!binary value) become `\\xNN`.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    if (short := _SHORT.get(character)) is not None:
        return short
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def lower(text: str) -> str:
    """`text` as strings.ToLower: each character by itself, bytes that aren't UTF-8 (surrogates) as U+FFFD."""
    if text.isascii():
        return text.lower()
    return "".join("\ufffd" if "\udc80" <= character <= "\udcff" else character.lower()[0] for character in text)


class VersionError(ValueError):
    """The text is not a semantic version; `str()` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A semantic version as coreos/go-semver v0.3.0 reads and prints it."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    metadata: str = ""

    def __str__(self) -> str:
        tail = (f"-{self.prerelease}" if self.prerelease else "") + (f"+{self.metadata}" if self.metadata else "")
        return f"{self.major}.{self.minor}.{self.patch}{tail}"

    def before(self, major: int, minor: int, patch: int) -> bool:
        """True when this version comes before the release `major.minor.patch`."""
        mine, other = (self.major, self.minor, self.patch), (major, minor, patch)
        return mine < other or (mine == other and self.prerelease != "")


def parse_version(text: str) -> Version:
    """Raises VersionError when `text` is not MAJOR.MINOR.PATCH with, at most, a pre-release and metadata."""
    rest, _, metadata = text.partition("+")
    rest, _, prerelease = rest.partition("-")
    parts = rest.split(".", 2)
    if len(parts) != 3:
        raise VersionError(f"{text!r} is not a version of the form 1.2.3")
    for name, identifier in (("pre-release", prerelease), ("metadata", metadata)):
        if identifier and not _IDENTIFIER.fullmatch(identifier):
            raise VersionError(f"the {name} {identifier!r} holds more than letters, digits, dashes and dots")
    for part in parts:
        if not _VERSION_NUMBER.fullmatch(part) or not _fits(part):
            raise VersionError(f"{part!r} in the version {text!r} is not a number")
    major, minor, patch = map(int, parts)
    return Version(major=major, minor=minor, patch=patch, prerelease=prerelease, metadata=metadata)


def _fits(number: str) -> bool:
    digits = number.lstrip("+-").lstrip("0")
    return len(digits) < 20 and int(digits or "0") < 2**63 + number.startswith("-")


def is_duration(text: str) -> bool:
    """True for what Go's time.ParseDuration accepts: `1h30m`, `.5h`, `-1h`, `0`."""
    if not re.fullmatch(_DURATION, text):
        return False
    total = 0
    for whole, fraction, unit in re.findall(_DURATION_PART, text):
        scale = _NANOSECONDS[unit]
        whole, fraction = whole.lstrip("0"), fraction[:19]
        if len(whole) > 19:
            return False
        total += int(whole or 0) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    return total < 2**63 or (total == 2**63 and text.startswith("-"))

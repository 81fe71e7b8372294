"""Sizes of partitions: `512MiB`, `1GiB512MiB`, `.5GB`. Source: alecthomas/units (2021), ParseBase2Bytes."""

from __future__ import annotations

import re

_PART = re.compile(r"([0-9]*)(\.?)([0-9]*)([^.0-9]*)")
_PREFIXES = ("", "K", "M", "G", "T", "P", "E")
_BINARY = {f"{prefix}{'iB' if prefix else 'B'}": 1024.0**power for power, prefix in enumerate(_PREFIXES)}
_SHORT = {f"{prefix}B": 1024.0**power for power, prefix in enumerate(_PREFIXES)}
_MIB = 1024 * 1024
_INT_LIMIT = (2**63 - 10) // 10


class SizeError(ValueError):
    """The text is not a size; `str()` says why."""


def parse_size(text: str) -> int | None:
    """`text` in MiB; None for an empty text. Raises SizeError.

    One or more groups of a number and a unit without spaces; KiB and KB mean the same, but not in one text.
    """
    if not text:
        return None
    try:
        size = _parse(text, _BINARY)
    except SizeError:
        size = _parse(text, _SHORT)
    if size < 0:
        raise SizeError(f"the size {text!r} is negative")
    if size % _MIB:
        raise SizeError(f"the size {text!r} is not a whole number of MiB, the finest there is")
    return size // _MIB


def _parse(text: str, units: dict[str, float]) -> int:
    rest = text[1:] if text[0] in "+-" else text
    if rest == "0":
        return 0
    total, at = 0.0, 0
    while at < len(rest) or not rest:
        match = _PART.match(rest, at)
        if match is None or not (match[1] or match[3]):
            raise SizeError(f"{text!r} is not a size: a number and a unit like 512MiB")
        whole, _, fraction, unit = match.groups()
        if unit not in units:
            raise SizeError(f"{text!r} is not a size: {unit!r} is not a unit like MiB or GB")
        scale = 1.0
        for _ in fraction:
            scale *= 10
        total += (_digits(whole, text) + _digits(fraction, text) / scale) * units[unit]
        at = match.end()
    if text[0] == "-":
        total = -total
    if not -(2.0**63) <= total <= 2.0**63:
        raise SizeError(f"the size {text!r} is too large")
    return int(total) if total < 2.0**63 else -(2**63)  # as Go's conversion overflows


def _digits(digits: str, text: str) -> float:
    """Digits as Go reads them into 64 bits. Raises SizeError when there are too many."""
    value = 0
    for digit in digits:
        if value >= _INT_LIMIT:
            raise SizeError(f"{text!r} is not a size: too many digits")
        value = value * 10 + int(digit)
    return float(value)

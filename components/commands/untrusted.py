"""What a machine says, before anything else sees it: made printable, and values of the form that they have to have.

A machine may be in other hands. Nothing that it sends may steer a terminal, grow without end, or stop the program.
Standard library only.
"""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST_LINE = 4096
"""Characters of a line that are shown; the rest of it is left out."""
_BOOT_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_CONFIG_ID = re.compile(r"[0-9A-Za-z._-]{1,200}")
_HOST_KEY = re.compile(r"[a-z0-9@.-]{1,64} [A-Za-z0-9+/]{1,4000}={0,2}")
_VERSION = re.compile(r"[0-9A-Za-z.+_~:-]{1,64}")
_WORD = re.compile(r"[a-z-]{1,32}")


class _WithoutUnprintable(dict[int, "int | None"]):
    """For `str.translate`, which needs no more memory than the text: everything that can't be printed is left out."""

    def __missing__(self, code: int) -> int | None:
        self[code] = code if chr(code).isprintable() else None
        return self[code]


def printable(text: str) -> str:
    """A line without what would steer the terminal that shows it."""
    text = text.expandtabs() if "\t" in text and len(text) <= LONGEST_LINE else text
    return text if text.isprintable() else text.translate(_WithoutUnprintable())


def shortened(text: str, longest: int = LONGEST_LINE) -> str:
    """A line that is no longer than `longest` characters, with a mark where something was left out."""
    return text if len(text) <= longest else text[: longest - 2] + " …"


def boot_id(text: str) -> str:
    """A boot id; "" for anything that can't be one."""
    return _fitting(_BOOT_ID, text)


def config_id(text: str) -> str:
    """A config id, or another version's stamp; "" for anything that can't be one."""
    return _fitting(_CONFIG_ID, text)


def host_key(text: str) -> str:
    """A public key as `TYPE BASE64`; "" for anything that can't be one."""
    return _fitting(_HOST_KEY, text)


def version(text: str) -> str:
    """A version of an operating system; "" for anything that can't be one."""
    return _fitting(_VERSION, text)


def word(text: str) -> str:
    """systemd's word for a state; "" for anything that can't be one."""
    return _fitting(_WORD, (text.split() or [""])[0])


def number(text: str, *, below: int) -> int | None:
    """A number from 0 on and below `below`; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < below else None


def json_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object; {} for anything that is none, nested without end included."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _fitting(form: re.Pattern[str], text: str) -> str:
    text = text.strip()
    return text if form.fullmatch(text) else ""

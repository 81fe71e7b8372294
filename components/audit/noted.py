"""The last audit of each machine, in a file on this computer beside the machines' own, for `status`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.commands.environment import machines_folder
from components.commands.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "audit.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What one look at a machine has found: `at` is when (seconds since 1970), `drift` how much, `trouble` why it could
    not be looked at ("" when it was), `history` the lines that the machine keeps of its re-runs."""

    at: float
    drift: int
    trouble: str
    config_id: str
    os_version: str
    history: tuple[str, ...]


def note(stack: str, found: Mapping[str, Noted]) -> None:
    """Remember what was found on machines of a stack; other machines' notes stay. Raises OSError."""
    path = _path(stack)
    path.parent.mkdir(parents=True, exist_ok=True)
    notes: dict[str, Any] = {**_read(path), **{name: _fields(noted) for name, noted in found.items()}}
    write_atomically(path, json.dumps(notes))


def noted(stack: str) -> dict[str, Noted]:
    """The last look at each machine of a stack that was looked at from this computer."""
    notes = {}
    for name, fields in _read(_path(stack)).items():
        try:
            notes[name] = Noted(**{**fields, "history": tuple(map(str, fields["history"]))})
        except (TypeError, KeyError):  # of another version
            continue
    return notes


def now(*, drift: int, trouble: str, config_id: str, os_version: str, history: tuple[str, ...]) -> Noted:
    """What a look has found that ends now."""
    return Noted(
        at=time.time(), drift=drift, trouble=trouble, config_id=config_id, os_version=os_version, history=history
    )


def _fields(noted: Noted) -> dict[str, Any]:
    return {name: getattr(noted, name) for name in Noted.__slots__}


def _path(stack: str) -> Path:
    return machines_folder(stack.rpartition("/")[2]) / FILE


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}

"""Lifecycles: what happens to a machine when its config changes, and what is kept.

| lifecycle  | what goes                       | what stays                                                            |
|------------|---------------------------------|-----------------------------------------------------------------------|
| `reset`    | all of ROOT but the kept paths  | kept paths, SSH host keys, machine id, other file systems             |
| `live`     | what is declared no more        | the rest of ROOT, and no reboot; where that can't be, as `reset`      |
| `reformat` | all of ROOT                     | SSH host keys, machine id, other file systems                         |
| `flag`     | nothing: old files stay behind  | everything; new units stay disabled, as presets are not applied again |
| `replace`  | the machine, when a new one runs | what is not in the machine: reserved addresses                       |
| `ignore`   | nothing                         | everything: the change waits in the object, and is told as pending    |

Switching from one to another changes no machine by itself. A machine's object keeps its address for the machine's life.
One that `replace` makes has an object of its own, at an address with its config's id; going back to an in-place
lifecycle, it keeps that address, and another config is written there.
What is kept, and how paths are matched: `keep`.
"""

from __future__ import annotations

from enum import StrEnum


class Lifecycle(StrEnum):
    """What happens to a machine when its config changes."""

    RESET = "reset"
    LIVE = "live"
    REFORMAT = "reformat"
    FLAG = "flag"
    REPLACE = "replace"
    IGNORE = "ignore"

    @property
    def is_in_place(self) -> bool:
        """Whether the config is run again on the same machine."""
        return self in (Lifecycle.RESET, Lifecycle.LIVE, Lifecycle.REFORMAT, Lifecycle.FLAG)

    @property
    def resets(self) -> bool:
        """Whether a reboot wipes ROOT but for what is kept."""
        return self in (Lifecycle.RESET, Lifecycle.LIVE)

"""How the program that `pulumi up` runs hears what its Commands do, while they run. Standard library only.

Pulumi repeats in the error of a Command all that it printed: progress on stderr would stand before the cause of a
failure, once more. So the program follows a file, which it has locked, and each Command adds its lines to that. Where
nobody has locked it, as when a Command's program is run by hand, progress goes to stderr.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING

from components.commands.environment import own_folder

if TYPE_CHECKING:
    from pathlib import Path


class Follower:
    """The program's end: the lines that Commands have added since the last look. One for each stack at a time."""

    def __init__(self, stack: str) -> None:
        """`stack` is `ORGANIZATION/PROJECT/STACK`. Raises OSError where the file can't be made, or another has it."""
        path = _place(stack)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        self._rest = b""

    def lines(self) -> list[tuple[str, str]]:
        """(machine, text) of each new line."""
        data = self._rest
        while part := os.read(self._fd, 1 << 16):
            data += part
        *whole, self._rest = data.split(b"\n")
        found = []
        for line in whole:
            with contextlib.suppress(ValueError):
                machine, text = json.loads(line)
                found.append((str(machine), str(text)))
        return found


class Followed:
    """A Command's end, if somebody follows. `owner` is `ORGANIZATION/PROJECT/STACK/MACHINE`, "" for none."""

    def __init__(self, owner: str) -> None:
        stack, _, self._machine = owner.rpartition("/")
        self._fd = _open(_place(stack)) if stack else None

    def __bool__(self) -> bool:
        return self._fd is not None

    def add(self, text: str) -> None:
        """One line for the follower, in one write: those of other Commands don't get into it."""
        if self._fd is not None:
            with contextlib.suppress(OSError):  # a full disk is no reason to stop
                os.write(self._fd, json.dumps([self._machine, text]).encode() + b"\n")


def _place(stack: str) -> Path:
    return own_folder() / (stack.replace("/", ".") + ".progress")


def _open(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return fd
    except OSError:
        pass
    os.close(fd)
    return None

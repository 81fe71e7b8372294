"""Following a machine's console where a file on this computer has it. A machine may write anything there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.qemu.state import is_running
from components.commands.untrusted import LONGEST_LINE, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL_BYTES = 65_536
LOOK_SECONDS = 0.2


def follow_console(file: Path, say: Callable[[str], None]) -> None:
    """Tell the end of a console's file, then each line as it comes, printable; until the machine is off."""
    position, rest = max(0, file.stat().st_size - TAIL_BYTES), b""
    skips = position > 0
    while True:
        was_on = is_running(file.parent)
        data = _read(file, position)
        if data is None:  # another file, or emptied: a machine that was made anew
            position, rest = 0, b""
            continue
        position += len(data)
        *lines, rest = (rest + data).split(b"\n")
        if skips and lines:
            del lines[0]  # the second half of one
            skips = False
        for line in lines:
            say(_shown(line))
        rest = rest[: 4 * LONGEST_LINE]  # of a line without end
        if not data and not was_on:
            if rest:
                say(_shown(rest))
            return
        if not data:
            time.sleep(LOOK_SECONDS)


def _read(file: Path, position: int) -> bytes | None:
    try:
        with file.open("rb") as console:
            if position > console.seek(0, os.SEEK_END):
                return None
            console.seek(position)
            return console.read(TAIL_BYTES)
    except FileNotFoundError:
        return b""


def _shown(line: bytes) -> str:
    return shortened(printable(line.decode("utf-8", "replace").rstrip("\r")))

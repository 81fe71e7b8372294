"""`python -m bench.recording`: what an operator sees on a terminal of 80 x 24, as text, into docs/recording.txt.

Three loopback machines (stand-ins, which boot in seconds), real `pulumi` and SSH: a preview, the change in waves, and
one that fails its health check and rolls back.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import tempfile
import termios
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from bench.rollout import made_stack
from loopback.fleet import running_fleet
from toolchain.places import LOCAL_STACK, ROOT, exports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi

OUTPUT = ROOT / "docs" / "recording.txt"
COLUMNS, ROWS = 80, 24
UP = ("up", "--yes", "--skip-preview")
_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b.|([\r\n])|([^\x1b\r\n])")
_CONFIG_ID = re.compile(r'"([0-9a-f]{12})[0-9a-f]{116}"')


def main() -> None:
    """Record, and write the text."""
    os.environ.update(exports(LOCAL_STACK))
    parts = ["`python -m bench.recording`: a terminal of 80 x 24, three loopback machines (stand-ins)\n"]
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_fleet(Path(scratch, "fleet"), ["db", "web", "worker"]) as fleet,
    ):
        stack = made_stack(Path(scratch), fleet)
        for machine in fleet.machines.values():
            machine.seconds_down = 3.0
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.write(stack.directory, "/etc/two")
        parts.append(_part("pulumi preview", _screens(stack, "preview")[-1:]))
        screens = _screens(stack, *UP)
        parts.append(_part("pulumi up: in the middle, and its end", [screens[len(screens) // 2], screens[-1]]))
        fleet.write(stack.directory, "/etc/sick")
        screens = _screens(stack, *UP)
        parts.append(_part("pulumi up: one that fails", [screens[len(screens) // 2], screens[-1]]))
    OUTPUT.write_text("\n".join(parts))


def _part(title: str, screens: list[str]) -> str:
    return "\n".join([f"== {title} " + "=" * (COLUMNS - len(title) - 4), *screens])


def _screens(stack: Pulumi, *arguments: str) -> list[str]:
    """All that the terminal showed, one text for each time that it was drawn anew."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    argv = ["pulumi", *arguments, "--stack", stack.stack, "--color=never"]
    env = {**stack.environment(), "TERM": "xterm"}
    written = b""
    with subprocess.Popen(argv, cwd=stack.directory, env=env, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(ours, 65536):
                written += part
    os.close(ours)
    home = str(stack.home)
    return [_wrapped(screen.replace(home, "~/.pulumi")) for screen in _drawn(written.decode("utf-8", "replace"))]


def _drawn(text: str) -> Iterator[str]:
    """The screen whenever the cursor goes up, and at the end: of what Pulumi sends, all that moves it."""
    rows, row, column = [""], 0, 0
    for match in _TOKEN.finditer(text):
        number, command, control, letter = match.groups()
        if letter:
            rows[row] = rows[row][:column].ljust(column) + letter + rows[row][column + 1 :]
            column += 1
        elif control == "\r":
            column = 0
        elif control == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif command == "A":
            yield "\n".join(rows)
            row = max(0, row - int(number or 1))
        elif command == "K":
            rows[row] = rows[row][:column]
    yield "\n".join(rows)


def _wrapped(screen: str) -> str:
    lines = (_CONFIG_ID.sub(r'"\1…"', line.rstrip()) for line in screen.splitlines())
    folded = [part for line in lines for part in (textwrap.wrap(line, COLUMNS, drop_whitespace=False) or [""])]
    return "\n".join(folded).rstrip() + "\n"


if __name__ == "__main__":
    main()

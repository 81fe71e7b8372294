"""How a Command of a stack finds the programs of `components.commands`, wherever it runs.

A Command's text lies in the stack's state, and is run by another program than this one, in the folder of whatever
program uses these components: no path of one computer may be in it, and no folder be taken for granted. So each run of
a program (a preview is enough) leaves a small shell script for its stack below $PULUMI_HOME, which knows this
computer's Python and code, and the Command's interpreter looks for that. Where there is none, as when a stack is
destroyed on a computer that never ran its program, the programs are looked for in the working directory: that is enough
in a checkout. $FLATCAR_COMMANDS, a script such as this one, comes before both.
"""

from __future__ import annotations

import functools
import os
import shlex
import sys
from pathlib import Path

import pulumi

from components.commands.qemu.state import write_atomically

_CODE = Path(__file__).resolve().parent / "commands" / "__main__.py"
_FOLDER = "flatcar-reprovision"
_LAUNCHER = """\
#!/bin/sh
# Runs a program of flatcar-reprovision for Commands of one stack. Written anew by each run of the stack's program.
exec {python} -I {code} "$@"
"""


def interpreter() -> list[str]:
    """What runs a Command whose text is a program of `components.commands` and its words, such as `qemu start`.

    With `exec`, so that what ends the Command ends the program. Raises `pulumi.RunError` when the launcher of this
    stack can't be written.
    """
    name = f"{pulumi.get_organization()}.{pulumi.get_project()}.{pulumi.get_stack()}"
    _write(name)
    find = f'run="${{FLATCAR_COMMANDS:-${{PULUMI_HOME:-$HOME/.pulumi}}/{_FOLDER}/{name}}}"'
    return [
        "/bin/sh",
        "-c",
        f'{find}; if [ -x "$run" ]; then exec "$run" $0; fi; exec python3 -m components.commands.$0',
    ]


@functools.cache  # once in a run of the program
def _write(name: str) -> None:
    folder = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / _FOLDER
    text = _LAUNCHER.format(code=shlex.quote(str(_CODE)), python=shlex.quote(sys.executable))
    path = folder / name
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text and os.access(path, os.X_OK):
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text, 0o700)
    except OSError as error:
        raise pulumi.RunError(
            f"the script by which Pulumi finds this program's commands can't be written: {path}: "
            f"{error.strerror or error}\n  make the folder writable, or set PULUMI_HOME to one that is"
        ) from None

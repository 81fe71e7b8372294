"""How a Command of a stack finds the programs of `components.commands`, wherever it runs.

A Command's text lies in the stack's state, and is run by another program than this one, in the folder of whatever
program uses these components: no path of one computer may be in it, and no folder be taken for granted. So each run of
a program (a preview is enough) notes for its stack, below $PULUMI_HOME, where this computer's Python and code are, and
the Command's interpreter looks there. Where nothing is noted, as when a stack is destroyed on a computer that never ran
its program, or what is noted has gone since, the code of a checkout that is the working directory is taken, and nothing
else. $FLATCAR_COMMANDS, a program that takes a Command's words, comes before both.
"""

from __future__ import annotations

import functools
import shlex
import sys
from pathlib import Path

import pulumi

from components.commands.environment import own_folder
from components.commands.files import write_atomically

_CODE = Path("components/commands/__main__.py")
_FIND = f"""\
if [ -n "$FLATCAR_COMMANDS" ]; then exec "$FLATCAR_COMMANDS" $0; fi
noted="${{{{PULUMI_HOME:-$HOME/.pulumi}}}}/flatcar-reprovision/{{name}}" python='' code=''
if [ -r "$noted" ]; then . "$noted"; fi
[ -x "$python" ] || python=python3
[ -f "$code" ] || code={_CODE}
if [ -f "$code" ]; then exec "$python" -I "$code" $0; fi
echo "the code behind this Command is not known on this computer, where the stack's program has not run yet: run" \\
  "'pulumi preview' once, then this again; or name a program that runs it in \\$FLATCAR_COMMANDS" >&2
exit 1
"""
# Without the packages of the virtual environment (-S), which the programs don't know, Python starts a third sooner.
_START = 'if [ -x "$python" ] && [ -f "$code" ]; then exec "$python" -IS "$code" $0; fi\n'


def interpreter() -> list[str]:
    """What runs a Command whose text is a program of `components.commands` and its words, such as `qemu start`.

    With `exec`, so that what ends the Command ends the program. Raises `pulumi.RunError` when this computer's Python
    and code can't be noted.
    """
    name = f"{pulumi.get_organization()}.{pulumi.get_project()}.{pulumi.get_stack()}"
    _note(name)
    return ["/bin/sh", "-c", _FIND.format(name=name)]


@functools.cache  # once in a run of the program
def _note(name: str) -> None:
    code = Path(__file__).resolve().parents[1] / _CODE
    text = f"python={shlex.quote(sys.executable)}\ncode={shlex.quote(str(code))}\n{_START}"
    path = own_folder() / name
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise pulumi.RunError(
            f"where the code behind this stack's Commands is can't be noted: {path}: {error.strerror or error}\n"
            "  make the folder writable, or set PULUMI_HOME to one that is"
        ) from None

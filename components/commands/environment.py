"""What programs that are started from here find in their environment. Standard library only.

`pulumi up` has the passphrase or token that opens the stack's secrets in its own, and all that it starts inherits it.
"""

from __future__ import annotations

import os
from pathlib import Path

PREVIOUS_OUTPUT = "PULUMI_COMMAND_STDOUT"
"""Where pulumi-command's `update` finds what the run before it printed."""
_DAEMON = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")


def for_child() -> dict[str, str]:
    """All but Pulumi's own: no passphrase, no access token, no outputs of the run before.

    Keys of clouds stay: a drain command, the AWS command line and a proxy command of the user's ssh need them.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}


def for_daemon() -> dict[str, str]:
    """What a program needs that lives longer than the run that starts it, and nothing that opens anything."""
    return {
        name: value for name, value in os.environ.items() if name in _DAEMON or name.startswith(("PYTHON", "QEMU_"))
    }


def machines_folder(stack: str) -> Path:
    """Where what belongs to the machines of a stack lies: $MACHINES_DIR/STACK, .machines/STACK by default."""
    return Path(os.environ.get("MACHINES_DIR") or ".machines") / stack


def own_folder() -> Path:
    """Where programs of this project note things on this computer, beside Pulumi's own. Raises RuntimeError without."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "flatcar-reprovision"

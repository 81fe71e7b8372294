"""Taking a machine out of service before it goes down, and back in after its proof. Standard library only.

The commands are the operator's own and run on the operator's computer: a load balancer's command line, `kubectl drain`.
What they need to know is in their environment, never in their text; Pulumi's passphrase and token are not.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from components.commands.environment import for_child
from components.commands.reprovision.request import NotProvenError

if TYPE_CHECKING:
    from components.commands.reprovision.request import Progress, Request


def drain(request: Request, progress: Progress) -> None:
    """Wait for the pause between waves, then drain the machine. Raises `NotProvenError`; nothing is staged then."""
    if request.pause:
        progress.say(f"waiting {request.pause:.0f} s: the pause between waves")
        time.sleep(request.pause)
    if request.drain and (why := _run(request.drain, request, progress, "drain")):
        if request.restore:  # it may have got half way
            _run(request.restore, request, progress, "restore")
        raise NotProvenError(
            f"the drain command failed ({why}): the machine was left as it is",
            "mend what it complains about and run 'pulumi up' again",
            rolls_back=False,
        )


def restore(request: Request, progress: Progress) -> None:
    """Put the machine back into service; has to be harmless for one that is. Raises `NotProvenError`."""
    if request.restore and (why := _run(request.restore, request, progress, "restore")):
        raise NotProvenError(
            f"the machine is fine, but the restore command failed ({why}): it may still be out of service",
            "mend what it complains about and run 'pulumi up' again; nothing reboots",
            rolls_back=False,
        )


def _run(command: str, request: Request, progress: Progress, title: str) -> str:
    """Run it, its output to stderr; why it failed, or ""."""
    progress.say(f"running the {title} command")
    environment = {
        **for_child(),
        "MACHINE": request.machine,
        "ADDRESS": request.target.host,
        "CONFIG_ID": request.config_id,
    }
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=environment,
            timeout=request.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {request.timeout:.0f} s"
    return f"exit code {done.returncode}" if done.returncode else ""

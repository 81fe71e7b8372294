"""Taking a machine out of service before it goes down, and back in after its proof. Standard library only.

The commands are the operator's own and run on the operator's computer: a load balancer's command line, `kubectl drain`.
What they need to know is in their environment, never in their text; Pulumi's passphrase and token are not.
"""

from __future__ import annotations

import subprocess
import threading
import time
from typing import IO, TYPE_CHECKING

from components.commands.environment import for_child
from components.commands.reprovision.request import NotProvenError

if TYPE_CHECKING:
    from components.commands.reprovision.request import Progress, Request

MOST_SHOWN = 8_192  # bytes of one command's output: see `request.MOST_TOLD`
LONGEST_READ = 65_536  # characters
LAST_WORDS_SECONDS = 2


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
    """Run it and pass on its output; why it failed, or ""."""
    progress.say(f"running the {title} command")
    before = progress.details
    environment = {
        **for_child(),
        "MACHINE": request.machine,
        "ADDRESS": request.target.host,
        "CONFIG_ID": request.config_id,
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environment,
    )
    # a thread: what the command has started may hold its output open for longer than it runs itself
    pump = threading.Thread(target=_show, args=(process.stdout, progress), daemon=True)
    pump.start()
    try:
        code = process.wait(timeout=request.timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"no end within {request.timeout:.0f} s"
    finally:
        pump.join(LAST_WORDS_SECONDS)
    if not code:
        progress.forget(before)
    return f"exit code {code}" if code else ""


def _show(output: IO[str], progress: Progress) -> None:
    """Its lines on stderr, cut and in UTF-8: Pulumi's command plugin stands still at 64 KiB without a newline, fails at
    other bytes after the machine has changed, and keeps all that it gets. A progress bar's \\r ends a line as well."""
    with output:
        progress.pass_on((line.rstrip("\n") for line in iter(lambda: output.readline(LONGEST_READ), "")), MOST_SHOWN)

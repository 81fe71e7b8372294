"""Restarting one machine, and the proof that it is back on its config. Nothing is staged: the same system comes up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.qemu import machine as qemu
from components.commands.qemu.state import RECORD, MachineError
from components.commands.reprovision.host_key import pin
from components.commands.reprovision.request import NotProvenError, Progress
from components.commands.reprovision.run import prove_running
from components.commands.reprovision.waiting import await_boot
from components.commands.ssh_session import UNREACHABLE, run_script

if TYPE_CHECKING:
    from components.audit.records import Record
    from components.commands.reprovision.request import Outputs, Request

ANSWER_SECONDS = 60
SESSION_SECONDS = 60


def restart(record: Record, progress: Progress) -> Outputs:
    """Power-cycle a machine in QEMU on this computer, reboot any other over SSH; then wait for it and prove it.

    A machine in QEMU need not answer, nor be on. Raises `NotProvenError` for one that does not come back as it was.
    """
    request = record.request
    Path(request.target.known_hosts).parent.mkdir(parents=True, exist_ok=True)
    pin(request, record.proven_host_keys)
    directory = Path(request.console_log).parent
    with request.target.connection.share():
        if request.console_log and (directory / RECORD).is_file():
            try:
                qemu.restart(directory, progress.say)
            except MachineError as error:
                raise NotProvenError(str(error), "see what holds it, then try again", rolls_back=False) from None
            old_boot = ""
        else:
            old_boot = _reboot(request, progress)
        return prove_running(request, progress, old_boot)


def _reboot(request: Request, progress: Progress) -> str:
    """Order the reboot; the boot that ends."""
    state = await_boot(request, progress, old_boot="", config_id="", seconds=ANSWER_SECONDS)
    finished = run_script(request.target, "restart.sh", {}, timeout=SESSION_SECONDS, on_error_line=progress.say)
    if finished.code not in (0, UNREACHABLE):
        raise NotProvenError(
            f"the reboot could not be ordered (exit code {finished.code})", "see what was said above", rolls_back=False
        )
    progress.say("rebooting")
    return state.boot_id

"""The rollback to the last good config: noting that after a proof, taking it after a failure. Standard library only.

What happens after a failed proof, in order:
1. `run.reprovision` catches the `NotProvenError`, prints the machine's last messages, and calls `roll_back` here.
2. The object gets the last good config (`ObjectWriter.roll_back`): a machine that is stuck in the initramfs fetches it
   at its next try.
3. A machine that has booted and can be talked to is told to roll back now (`scripts/start-rollback.sh`). One that can't
   be does so by itself, `rollback_after` seconds after its boot.
4. Either way `scripts/rollback.sh` puts the last good config onto the OEM partition, stages its lifecycle
   (`stage_lifecycle` in `scripts/staging.sh`), and reboots.
5. `roll_back` waits for the machine there, proves that, and confirms it. `run.reprovision` restores its service, and
   the run fails with both config ids.
"""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.commands.objects.folder import NoAccessError
from components.commands.reprovision.proof import missing_proof, short
from components.commands.reprovision.request import NotProvenError
from components.commands.reprovision.waiting import await_boot
from components.commands.ssh_session import CUT_SECONDS, UNREACHABLE, Finished, run_again_and_again, run_script
from components.commands.untrusted import config_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from components.commands.reprovision.proof import MachineState
    from components.commands.reprovision.request import Progress, Request

TOO_LATE = 4  # confirm.sh's exit code
OEM_IS_READ_ONLY = 3  # start-rollback.sh's
SESSION_SECONDS = 60
MOST_CONTENT = 4_194_304
"""Bytes of a last good config that may be written: it lies in this program's memory while the machine is proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """A config that the machine says it has proven before.

    `content` is its object; "" where that must not be written, for the reason `unknown`.
    """

    config_id: str
    content: str
    unknown: str = ""


def last_good(finished: Finished, proven: Collection[str]) -> LastGood | None:
    """What stage.sh found on the machine, if anything.

    A machine may name anything, and what is rolled back to is served to it, and written with this computer's
    credentials: its content counts only where its SHA-512 is one of `proven`, those of objects that were proven from
    here.
    """
    good = config_id(finished.value("last_good"))
    if not good:
        return None
    encoded = finished.value("last_good_content")
    if not proven:
        return LastGood(config_id=good, content="", unknown="there is no record yet of what was proven from here")
    try:
        content = base64.b64decode(encoded, validate=True)
        if encoded and hashlib.sha512(content).hexdigest() in proven:
            return LastGood(config_id=good, content=content.decode())
    except ValueError:
        pass
    unknown = "it is too long" if finished.value("last_good_is_long") else "it was never proven from here"
    return LastGood(config_id=good, content="", unknown=unknown)


def confirm(request: Request, progress: Progress) -> None:
    """Tell the machine that its config is proven: from now on it is the last good one. Raises `NotProvenError`."""
    if not request.rollback_after and not request.oem:
        return
    _confirm(request, progress, request.config_id, noted(request))


def noted(request: Request) -> dict[str, str | Sequence[str]]:
    """What the machine's scripts note of a last good config; CONTENT "" where there is no rollback."""
    return {
        # a machine that was always replaced may be changed in place later: a reset brings it back from there
        "LIFECYCLE": request.lifecycle if request.lifecycle in ("reset", "reformat", "flag") else "reset",
        "CONTENT": base64.b64encode(request.text.encode()).decode() if request.rollback_after else "",
        "KEEP": request.keep,
    }


def roll_back(request: Request, progress: Progress, good: LastGood, failure: NotProvenError, *, old_boot: str) -> str:
    """Bring the machine back to `good`, wait for it there and prove that; the sentence to report.

    `old_boot` is the boot that the re-run was staged in, "" when nothing was staged. Raises `NotProvenError` that names
    both troubles when the machine does not get there.
    """
    progress.note(f"not proven: {failure}")
    progress.say(f"rolling back to the last good {short(good.config_id)}: {failure}")
    object_text = _roll_object_back(request, progress, good)
    try:
        state = _await_last_good(request, progress, good, old_boot)
    except NotProvenError as second:
        raise NotProvenError(
            f"{failure}; and the machine did not come back on its last good {short(good.config_id)}: {second}",
            f"{second.advice}; {object_text}",
        ) from None
    missing = missing_proof(state, good.config_id, object_sha512="", before=None, allow_degraded=True)
    if missing is not None:
        raise NotProvenError(f"{failure}; back on {short(good.config_id)}, but {missing.message}", missing.advice)
    _confirm(request, progress, good.config_id, {**noted(request), "CONTENT": ""})
    return f"it is back on its last good config ({good.config_id[:12]}); wanted was {request.config_id[:12]}"


def _await_last_good(request: Request, progress: Progress, good: LastGood, old_boot: str) -> MachineState:
    deadline = time.monotonic() + request.rollback_after + request.timeout
    while True:
        remaining = max(1.0, deadline - time.monotonic())
        state = await_boot(
            request, progress, old_boot=old_boot, config_id=good.config_id, seconds=remaining, is_patient=True
        )
        if state.stamp == good.config_id:
            return state
        # a boot that failed its proof, and can be talked to: no need to wait for its own deadline
        scripts = ("staging.sh", "start-rollback.sh")
        told = run_script(request.target, scripts, {}, timeout=SESSION_SECONDS, on_error_line=progress.say)
        if told.code == 0:
            old_boot = state.boot_id
        elif told.code == OEM_IS_READ_ONLY:
            raise NotProvenError(
                "its /oem can't be written (read-only, full or not mounted), and rolling back begins there",
                "make /oem writable on the machine: it tries again by itself, every 15 s",
            )
        elif told.code != UNREACHABLE:
            raise NotProvenError("its flatcar-rollback.service could not be started", "look at it on the machine")


def _confirm(request: Request, progress: Progress, proven: str, what: dict[str, str | Sequence[str]]) -> None:
    pointer = base64.b64encode(request.user_data.encode()).decode() if request.oem == "pointer" else ""
    values = {**what, "CONFIG_ID": proven, "OEM": request.oem, "OEM_CONFIG": pointer}
    finished = run_again_and_again(
        request.target,
        ("staging.sh", "confirm.sh"),
        values,
        timeout=SESSION_SECONDS,
        patience=CUT_SECONDS,
        on_error_line=lambda line: (progress.note if line.startswith("removing ") else progress.say)(line),
        on_break=lambda: progress.say("the connection broke at the end, trying again"),
    )
    if finished.code == 0:
        return
    if finished.code == TOO_LATE:
        raise NotProvenError(
            f"the proof of {short(proven)} came too late, the machine was rolling back by itself",
            "raise rollback_after, or look for what makes the machine slow",
        )
    if finished.code == UNREACHABLE:
        raise NotProvenError(
            f"the machine runs {short(proven)}, but could not be told so: no connection for {CUT_SECONDS:.0f} s",
            "see why it can't be reached; it rolls back by itself, and the next 'pulumi up' tries again",
        )
    raise NotProvenError(
        f"the machine could not note {short(proven)} as its last good one (exit code {finished.code})",
        "see that /oem can be written and has space; without the note the machine rolls back by itself",
    )


def _roll_object_back(request: Request, progress: Progress, good: LastGood) -> str:
    if not good.content:
        progress.say(
            f"the object is not rolled back to what the machine names: {good.unknown}; a machine "
            "that has booted rolls back by itself all the same"
        )
        return "its object still holds the config that failed"
    if request.place is None:
        progress.say("the object can't be rolled back from here; it still holds the config that failed")
        return "its object still holds the config that failed"
    try:
        request.place.roll_back(good.content)
    except (OSError, NoAccessError) as error:
        progress.say(f"the object could not be rolled back: {error}")
        return "its object still holds the config that failed"
    progress.note("the object holds the last good config again")
    return "its object holds the last good config"

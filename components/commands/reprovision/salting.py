"""A machine from before its config was salted gets the new id, no re-run. Standard library only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from components.commands.reprovision.proof import MachineState, short
from components.commands.reprovision.request import salted_digest
from components.commands.reprovision.rollback import noted
from components.commands.ssh_session import CUT_SECONDS, run_again_and_again

if TYPE_CHECKING:
    from components.commands.reprovision.request import Progress, Request

SESSION_SECONDS = 60


def with_salted_id(request: Request, progress: Progress, state: MachineState) -> MachineState:
    """The machine as it is now; one that could not be told is as before, and gets the config by a re-run."""
    if not request.salt or salted_digest(state.stamp, request.salt) != request.unsalted or state.unwiped:
        return state
    progress.say(f"runs the wanted config as {short(state.stamp)}: giving it the id that hides its secrets")
    finished = run_again_and_again(
        request.target,
        ("staging.sh", "resalt.sh"),
        {
            **noted(request),
            "OLD_ID": state.stamp,
            "CONFIG_ID": request.config_id,
            "SALT": request.salt,
            "OWNER": request.owner,
            "TAKE_OVER": "yes" if request.take_over else "no",
        },
        timeout=SESSION_SECONDS,
        patience=CUT_SECONDS,
        on_error_line=progress.say,
        on_break=lambda: progress.say("the connection broke, trying again"),
    )
    return replace(state, stamp=request.config_id) if finished.value("salted") else state

"""Machines that pull: leaving them alone, or waiting until they have taken the wanted config. Standard library only.

What a machine reports is what its agent wrote (`scripts/pull.sh`, `report`): JSON with state, config_id, running, why,
boot_id, os_version. `refused`, `went-back` and `not-proven` end the waiting, if they are about the wanted config.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from components.commands.proof import short
from components.commands.request import NotProvenError, Outputs, printable
from components.commands.waiting import await_boot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.commands.proof import MachineState
    from components.commands.request import Progress, Request

POLL_SECONDS = 3
_BAD_ENDS: Mapping[str, tuple[str, str]] = {
    "refused": ("the machine refused the object", "mend what it says, or look at who writes the object"),
    "went-back": ("the machine went back to its last good config", "mend the config, or raise the generation"),
    "not-proven": ("the machine could not prove the config", "mend the config; it goes back by itself where it can"),
}


def leave_alone(request: Request, progress: Progress) -> Outputs:
    """Nothing is known of a machine that nobody waits for: all outputs are empty."""
    progress.say(f"the machine pulls {short(request.config_id)} by itself, nothing waits for it")
    return Outputs(config_id="", boot_id="", os_version="", host_key="", downtime_seconds=0.0, failed_units=())


def await_report(request: Request, progress: Progress) -> Outputs:
    """Wait for the report that the wanted config is proven. Raises `NotProvenError`."""
    deadline = time.monotonic() + request.timeout
    seen = "no report"
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request.report, timeout=20) as answer:  # noqa: S310 # checked with the settings
                report = read_report(answer.read().decode("utf-8", "replace"))
        except (urllib.error.URLError, OSError) as error:
            report, seen = {}, f"no report ({getattr(error, 'reason', error)})"
        if report:
            seen = _look(report, request)
            if report["state"] == "proven" and report["config_id"] == request.config_id:
                progress.say(f"reported: {seen}")
                return Outputs(
                    config_id=report["config_id"],
                    boot_id=report["boot_id"],
                    os_version=report["os_version"],
                    host_key="",
                    downtime_seconds=0.0,
                    failed_units=(),
                )
        progress.say(seen)
        time.sleep(POLL_SECONDS)
    raise _too_late(request, seen)


def await_stamp(request: Request, progress: Progress) -> MachineState | None:
    """The state of the machine once it has proven the wanted config itself; None for one that has no agent yet.

    Raises `NotProvenError` when its agent ends with something else, and after the request's time-out.
    """
    deadline = time.monotonic() + request.timeout
    seen = "no answer"
    while (remaining := deadline - time.monotonic()) > 0:
        state = await_boot(request, progress, old_boot="", config_id=request.config_id, seconds=remaining)
        if not state.pulls:
            progress.say("no agent on this machine yet: pushing the config once")
            return None
        report = read_report(state.pull_report)
        seen = _look(report, request)
        if state.stamp == request.config_id == report.get("config_id") and report["state"] == "proven":
            return state
        progress.say(seen)
        time.sleep(POLL_SECONDS)
    raise _too_late(request, seen)


def read_report(text: str) -> dict[str, str]:
    """A report's fields as texts; {} when it is none."""
    try:
        report: Any = json.loads(text)
    except ValueError:
        return {}
    names = ("state", "config_id", "running", "why", "boot_id", "os_version")
    if not isinstance(report, dict) or not isinstance(report.get("state"), str):
        return {}
    return {name: printable(str(report.get(name, ""))) for name in names}


def _look(report: Mapping[str, str], request: Request) -> str:
    """The report as a line of progress. Raises `NotProvenError` for one that waiting won't change."""
    if not report:
        return "the agent has not reported yet"
    state, config_id, why = report["state"], report["config_id"], report["why"]
    if state in _BAD_ENDS and config_id in (request.config_id, ""):
        message, advice = _BAD_ENDS[state]
        raise NotProvenError(f"{message}: {why}" if why else message, advice, goes_back=False)
    return f"{state} {short(config_id)}" + (f": {why}" if why else "")


def _too_late(request: Request, seen: str) -> NotProvenError:
    return NotProvenError(
        f"the machine did not take {short(request.config_id)} within {request.timeout:.0f} s; last seen: {seen}",
        "it goes on by itself; raise timeout to wait for a window or a lock, or set pull.wait to no",
        goes_back=False,
    )

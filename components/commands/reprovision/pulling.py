"""Machines that pull: leaving them alone, or waiting until they have taken the wanted config. Standard library only.

What a machine reports is what its agent wrote (`scripts/pull.sh`, `report`): JSON with state, config_id, running, why,
boot_id, os_version. `refused`, `went-back` and `not-proven` end the waiting, if they are about the wanted config. A
report that was there when the waiting began may be of before: what it complains about may have been put right since. Of
those only `went-back` ends the waiting, as such a config is not taken again.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from components.commands.objects.folder import LONGEST_REPORT, NoAccessError
from components.commands.reprovision.proof import short
from components.commands.reprovision.request import NotProvenError, Outputs
from components.commands.reprovision.waiting import await_boot
from components.commands.untrusted import boot_id, json_object, printable, shortened, version
from components.commands.web import NoAnswerError, get

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from components.commands.objects.aws_signature import Credentials
    from components.commands.reprovision.proof import MachineState
    from components.commands.reprovision.request import Progress, Request

POLL_SECONDS = 3
STORE = "store"
"""In the place of an address for reports: the bucket that has the object."""
CREDENTIALS_SECONDS = 240
"""How long credentials for the bucket are used before they are looked for again."""
LONGEST_FIELD = 400
STATES = ("waiting", "staging", "proven", "refused", "not-proven", "went-back", "no-object")
"""What an agent reports."""
_FIELDS = ("state", "config_id", "running", "why", "boot_id", "os_version")
_BAD_ENDS: Mapping[str, tuple[str, str]] = {
    "refused": ("the machine refused the object", "mend what it says, or look at who writes the object"),
    "went-back": ("the machine rolled back to its last good config", "mend the config, or raise the generation"),
    "not-proven": ("the machine could not prove the config", "mend the config; it rolls back by itself where it can"),
}


def leave_alone(request: Request, progress: Progress) -> Outputs:
    """Nothing is known of a machine that nobody waits for: all outputs are empty."""
    progress.say(f"the machine pulls {short(request.config_id)} by itself, nothing waits for it")
    return Outputs(config_id="", boot_id="", os_version="", host_key="", downtime_seconds=0.0, failed_units=())


def await_report(request: Request, progress: Progress) -> Outputs:
    """Wait for the report that the wanted config is proven. Raises `NotProvenError`."""
    deadline = time.monotonic() + request.timeout
    seen, history, ask = "no report", _Reports(), _asking(request)
    while time.monotonic() < deadline:
        try:
            report = ask()
        except (NoAnswerError, NoAccessError, OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) or str(error).startswith("status "):
                history.is_old({})  # nothing lies there: what comes is new
            seen = f"no report ({error})"
        else:
            seen = _look(report, request, is_old=history.is_old(report))
            if report and report["state"] == "proven" and report["config_id"] == request.config_id:
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


class _Reports:
    """Tells the report that was there at first from those that came since."""

    def __init__(self) -> None:
        self._first: dict[str, str] | None = None
        self._has_changed = False

    def is_old(self, report: dict[str, str]) -> bool:
        if self._first is None:
            self._first = report
        self._has_changed = self._has_changed or report != self._first
        return not self._has_changed


def _asking(request: Request) -> Callable[[], dict[str, str]]:
    """What gives the report that lies there now."""
    if request.report != STORE:
        return lambda: _fetch(request.report)
    from components.commands.objects.bucket import BucketWriter  # see `request`

    if not isinstance(place := request.place, BucketWriter):
        raise NotProvenError(
            "reports to the store are read from a bucket, and this machine's object is in none",
            "give the address of a server that takes reports as pull.report",
            rolls_back=False,
        )
    reports = place.of_reports(request.machine)

    known: tuple[float, Credentials] | None = None

    def look() -> dict[str, str]:
        nonlocal known
        now = time.monotonic()
        if known is None or now - known[0] > CREDENTIALS_SECONDS:  # asking for them may start a program
            known = now, place.credentials()
        try:
            return read_report(reports.read_report(known[1])[0].decode("utf-8", "replace"))
        except NoAccessError:
            known = None
            raise

    return look


def _fetch(address: str) -> dict[str, str]:
    """The report that lies there. A name and a password in the address are for Basic authentication."""
    parts = urlsplit(address)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    # its scheme is checked with the settings
    status, text = get(bare, seconds=20, most=LONGEST_REPORT, headers=headers)
    if status != 200:
        raise NoAnswerError(f"status {status}")
    return read_report(text.decode("utf-8", "replace"))


def await_stamp(request: Request, progress: Progress) -> MachineState | None:
    """The state of the machine once it has proven the wanted config itself; None for one that has no agent yet.

    Raises `NotProvenError` when its agent ends with something else, and after the request's time-out.
    """
    deadline = time.monotonic() + request.timeout
    seen, history = "no answer", _Reports()
    while (remaining := deadline - time.monotonic()) > 0:
        state = await_boot(request, progress, old_boot="", config_id=request.config_id, seconds=remaining)
        if not state.pulls:
            progress.say("no agent on this machine yet: pushing the config once")
            return None
        report = read_report(state.pull_report)
        seen = _look(report, request, is_old=history.is_old(report))
        if state.stamp == request.config_id == report.get("config_id") and report["state"] == "proven":
            return state
        progress.say(seen)
        time.sleep(POLL_SECONDS)
    raise _too_late(request, seen)


def read_report(text: str) -> dict[str, str]:
    """A report's fields as texts; {} when it is none."""
    report = json_object(text)
    if not isinstance(report.get("state"), str):
        return {}
    fields = {name: shortened(printable(str(report.get(name, ""))), LONGEST_FIELD) for name in _FIELDS}
    return {**fields, "boot_id": boot_id(fields["boot_id"]), "os_version": version(fields["os_version"])}


def _look(report: Mapping[str, str], request: Request, *, is_old: bool) -> str:
    """The report as a line of progress. Raises `NotProvenError` for one that waiting won't change."""
    if not report:
        return "the agent has not reported yet"
    state, config_id, why = report["state"], report["config_id"], report["why"]
    is_final = not is_old or state == "went-back"
    if is_final and state in _BAD_ENDS and config_id in (request.config_id, ""):
        message, advice = _BAD_ENDS[state]
        raise NotProvenError(f"{message}: {why}" if why else message, advice, rolls_back=False)
    return f"{state} {short(config_id)}" + (f": {why}" if why else "")


def _too_late(request: Request, seen: str) -> NotProvenError:
    return NotProvenError(
        f"the machine did not take {short(request.config_id)} within {request.timeout:.0f} s; last seen: {seen}",
        "it goes on by itself; raise timeout to wait for a window or a lock, or set pull.wait to no",
        rolls_back=False,
    )

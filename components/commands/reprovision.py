"""Bring one machine to the wanted config, in place, and prove it: `python3 -m components.commands.reprovision`.

Started on the operator's computer by the `Reprovision` resource. Reads one JSON document on stdin (`Request`), writes
progress to stderr, and at the end one JSON document to stdout (`Outputs`). Exit 0 only when every proof holds.

1. Wait for the machine's first answer. 2. Run `scripts/stage.sh`: it does nothing when the stamp is the wanted one (so
creation boots once), refuses when the machine could not fetch the wanted config, else stages and reboots.
3. Wait for the new boot and its proofs (`proof`). 4. Run the health checks.

Killed at any point, the next `pulumi up` runs it again from the start and converges:
- before or while staging: nothing has happened, or the same staging is set once more;
- staged, not yet rebooted: staged again, or unstaged when the wanted config has become the running one;
- during the reboot and the wait: it waits for the machine, which then either has the stamp or is staged;
- after the proof: the stamp is found, the proofs are checked again, nothing reboots.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from components.commands.proof import MachineState, missing_proof, read_state
from components.commands.ssh_session import UNREACHABLE, Finished, SshTarget, answers, run_script

if TYPE_CHECKING:
    from collections.abc import Mapping

POLL_SECONDS = 0.3
LOGIN_REFUSED_SECONDS = 45  # sshd may refuse logins for a while at the end of a boot
CONSOLE_LINES = 25
REFUSED = 3  # stage.sh's exit code
STAYS = ("replace", "ignore")  # lifecycles that never stage anything


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A command that has to succeed on the machine, as the login user, within `seconds`."""

    name: str
    command: str
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What stdin holds. `timeout` is in seconds, for the first answer and again for the way through the reboot."""

    machine: str
    config_id: str
    source: str
    object_sha512: str
    lifecycle: str
    keep: tuple[str, ...]
    target: SshTarget
    health: tuple[HealthCheck, ...]
    allow_degraded: bool
    timeout: float
    console_log: str
    console_hint: str

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Request:
        """The request in a decoded JSON document. Raises KeyError or TypeError when it is not one."""
        fields = dict(document)
        fields["target"] = SshTarget(**fields["target"])
        fields["keep"] = tuple(fields["keep"])
        fields["health"] = tuple(HealthCheck(**check) for check in fields["health"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What stdout holds at the end. `downtime_seconds` is 0 when the machine did not have to reboot."""

    config_id: str
    boot_id: str
    os_version: str
    host_key: str
    downtime_seconds: float
    failed_units: tuple[str, ...]


class NotProvenError(Exception):
    """The machine is not proven to run the wanted config: what is wrong, and what to do about it."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Progress:
    """Lines on stderr with seconds since the start: one for each change of state, none for standing still."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._start = time.monotonic()
        self._last = ""

    def say(self, text: str) -> None:
        """Print `text`, unless it was the last thing said."""
        if text != self._last:
            print(f"{self._machine} {time.monotonic() - self._start:6.1f}s  {text}", file=sys.stderr, flush=True)
            self._last = text


def reprovision(request: Request, progress: Progress) -> Outputs:
    """Walk the four steps of the module's docstring. Raises `NotProvenError`."""
    progress.say(f"wanted config id {request.config_id[:12]}")
    if request.lifecycle in STAYS:
        state = _await_boot(request, progress, old_boot="")
        if state.stamp != request.config_id:
            return _pending(request, progress, state)
    state, rebooted = _stage_when_reached(request, progress)
    left_at = time.monotonic()
    if rebooted:
        state = _await_boot(request, progress, old_boot=state.boot_id)
    else:
        progress.say("runs the wanted config already, no reboot")
    missing = missing_proof(state, request.config_id, rebooted=rebooted, allow_degraded=request.allow_degraded)
    if missing is not None:
        raise NotProvenError(missing.message, missing.advice)
    if state.failed_units:
        progress.say("warning: degraded, failed units: " + ", ".join(state.failed_units))
    _check_health(request, progress)
    downtime = round(time.monotonic() - left_at, 1) if rebooted else 0.0
    progress.say(
        f"proven: {request.config_id[:12]} on {state.os_version}" + (f", down for {downtime} s" if rebooted else "")
    )
    return _outputs(state, downtime)


def _outputs(state: MachineState, downtime: float) -> Outputs:
    return Outputs(
        config_id=state.stamp,
        boot_id=state.boot_id,
        os_version=state.os_version,
        host_key=state.host_key,
        downtime_seconds=downtime,
        failed_units=state.failed_units,
    )


def _pending(request: Request, progress: Progress, state: MachineState) -> Outputs:
    """A machine that stays on another config: fine for `ignore`; `replace` never changes a machine in place."""
    runs = state.stamp[:12] or "(none)"
    if request.lifecycle == "ignore":
        progress.say(f"pending: the machine stays on config id {runs}, {request.config_id[:12]} is wanted")
        return _outputs(state, 0.0)
    raise NotProvenError(
        f"the machine is on config id {runs}, not on {request.config_id[:12]}, and 'replace' changes none in place",
        "replace it by name (pulumi up --replace URN; pulumi stack --show-urns), or choose the lifecycle 'reset'",
    )


def _await_boot(request: Request, progress: Progress, *, old_boot: str) -> MachineState:
    """The state of the machine once it answers in another boot than `old_boot`.

    With the wanted stamp it also has to have settled; without it there is nothing to wait for, and a machine whose
    start-up hangs must still be open for a better config.
    """
    deadline = time.monotonic() + request.timeout
    refused_since: float | None = None
    seen = "it never answered"
    while (remaining := deadline - time.monotonic()) > 0:
        if not answers(request.target):
            seen = "no answer" if not old_boot else "rebooting, no answer"
            progress.say(seen)
            time.sleep(POLL_SECONDS)
            continue
        finished = run_script(
            request.target,
            "state.sh",
            {"OLD_BOOT": old_boot, "CONFIG_ID": request.config_id, "SETTLE": str(max(1, int(min(remaining, 120))))},
            timeout=min(remaining, 150),
        )
        state = read_state(finished)
        if state is None:
            refused_since = _look_at_refusal(finished, request, refused_since)
            seen = "answers, but no session yet"
        elif state.boot_id == old_boot:
            seen = "still in the old boot, shutting down"
        elif state.system == "stopping":
            seen = "shutting down"
        elif state.stamp == request.config_id and not state.is_settled:
            seen = f"up, {state.system or 'starting'}" + (
                f" ({', '.join(state.running_jobs[:3])})" if state.running_jobs else ""
            )
        else:
            progress.say(f"up on config id {state.stamp[:12] or '(none)'}, {state.system}")
            return state
        progress.say(seen)
        time.sleep(POLL_SECONDS)
    raise NotProvenError(
        f"the machine was not back within {request.timeout:.0f} s; last seen: {seen}",
        "a machine that can't fetch or parse its config retries by itself: mend the config and run 'pulumi up' again",
    )


def _look_at_refusal(finished: Finished, request: Request, since: float | None) -> float | None:
    """Raise for refusals that waiting won't change; else when the login was first refused, None for other troubles."""
    if "HOST IDENTIFICATION HAS CHANGED" in finished.stderr or "Host key verification failed" in finished.stderr:
        raise NotProvenError(
            f"the SSH host key of {request.target.host} is not the pinned one: another machine, or someone in between",
            f"compare it with the machine's console; only if it is right, remove {request.target.known_hosts}",
        )
    if "a password is required" in finished.stderr:
        raise NotProvenError(
            f"{request.target.user} can't become root by sudo without a password",
            "log in as 'core', or give the user a sudoers entry in the config",
        )
    if "Permission denied" not in finished.stderr:
        return None
    since = time.monotonic() if since is None else since
    if time.monotonic() - since > LOGIN_REFUSED_SECONDS:
        raise NotProvenError(
            f"the machine refuses the login of {request.target.user}: {finished.stderr.strip().splitlines()[-1]}",
            "the SSH key in the machine's running config is not one of those offered here (flatcar:ssh, ssh-agent)",
        )
    return since


def _stage_when_reached(request: Request, progress: Progress) -> tuple[MachineState, bool]:
    """Wait for the machine and run stage.sh: its state before, and whether it now reboots.

    A connection that breaks on the way may have staged or not: look at the machine again, then stage again.
    """
    values = {
        "CONFIG_ID": request.config_id,
        "LIFECYCLE": request.lifecycle,
        "SOURCE": request.source,
        "OBJECT_SHA512": request.object_sha512,
        "KEEP": request.keep,
    }
    for _ in range(3):
        state = _await_boot(request, progress, old_boot="")
        finished = run_script(request.target, "stage.sh", values, timeout=request.timeout, on_error_line=progress.say)
        if finished.code == 0 and (staged := finished.value("staged")):
            return state, staged == "yes"
        if finished.code == REFUSED:
            raise NotProvenError("the re-run was refused, nothing was staged", "see the way out above")
        if finished.code != UNREACHABLE:
            break
        progress.say("the connection broke while staging, looking again")
    raise NotProvenError(
        f"staging failed (exit code {finished.code})",
        "staging can be repeated: mend what its last line complains about and run 'pulumi up' again",
    )


def _check_health(request: Request, progress: Progress) -> None:
    if not request.health:
        return
    progress.say(f"running {len(request.health)} health checks")
    values = {
        "COMMANDS": [check.command for check in request.health],
        "SECONDS_EACH": [str(check.seconds) for check in request.health],
    }
    allowed = sum(check.seconds for check in request.health) * 2 + 30
    for _ in range(3):
        finished = run_script(
            request.target, "health.sh", values, timeout=allowed, root=False, on_error_line=progress.say
        )
        if finished.code == 0:
            break
    failed = [request.health[int(index)] for index in finished.values("failed")]
    if failed:
        raise NotProvenError(
            "the config was applied, but health checks failed: " + ", ".join(check.name for check in failed),
            "mend the config, or the check; the machine stays up as it is",
        )
    if finished.code != 0:
        raise NotProvenError(
            f"the health checks could not be run (exit code {finished.code})", "run 'pulumi up' again; nothing reboots"
        )


def _diagnose(request: Request) -> None:
    """Print the machine's journal where it can be reached, and the console's last lines where there are any."""
    if answers(request.target):
        finished = run_script(request.target, "diagnose.sh", {}, timeout=30)
        for line in finished.lines:
            print(line, file=sys.stderr)
    try:
        with Path(request.console_log).open(encoding="utf-8", errors="replace") as console:
            tail = deque(console, maxlen=CONSOLE_LINES)
    except OSError:
        print(f"its console: {request.console_hint}" if request.console_hint else "", file=sys.stderr)
        return
    print(f"last lines of its console, {request.console_log}:", file=sys.stderr)
    for line in tail:
        print("    " + "".join(c for c in line.rstrip() if c.isprintable()), file=sys.stderr)


def main() -> int:
    """Read the request, reprovision, print the outputs. Exit codes: 0 proven, 1 not proven, 2 not a request."""
    try:
        request = Request.from_json(json.load(sys.stdin))
    except (ValueError, KeyError, TypeError) as error:
        print(f"reprovision: stdin is not a request: {error}", file=sys.stderr)
        return 2
    progress = Progress(request.machine)
    Path(request.target.known_hosts).parent.mkdir(parents=True, exist_ok=True)
    try:
        outputs = reprovision(request, progress)
    except NotProvenError as failure:
        _diagnose(request)
        _fail(request, str(failure), failure.advice)
    except FileNotFoundError:
        _fail(request, "there is no ssh client on this computer", "install OpenSSH's client")
    print(json.dumps(asdict(outputs)))
    return 0


def _fail(request: Request, message: str, advice: str) -> NoReturn:
    print(f"{request.machine}: {message}\n{request.machine}: {advice}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; the next 'pulumi up' goes on from where the machine is", file=sys.stderr)
        sys.exit(130)

"""Running a machine's health checks, on the machine and from this computer. Standard library only."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from components.commands.reprovision.request import NotProvenError
from components.commands.ssh_session import CUT_SECONDS, UNREACHABLE, run_again_and_again
from components.commands.untrusted import number, printable, shortened
from components.commands.web import NoAnswerError, get

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.commands.reprovision.request import HealthCheck, Progress, Request
    from components.commands.ssh_session import Finished

POLL_SECONDS = 0.25
HTTP_SECONDS = 10.0
LONGEST_REASON = 400
_ADVICE = {
    "command": "log in and run the command by hand; mend the config, or the check",
    "http": "see whether the service listens, and at that address; a container may still be pulling its image",
    "tcp": "see with 'ss -ltn' whether the service listens, and at which address",
    "unit": "see 'systemctl status' and 'journalctl --boot --unit' of it on the machine",
}


def check_health(request: Request, progress: Progress) -> None:
    """Run all checks: those on the machine in one session, then those from here. Raises `NotProvenError`."""
    inside = on_the_machine(request.health)
    outside = [check for check in request.health if check.vantage != "machine"]
    if not request.health:
        return
    progress.say("checking health: " + ", ".join(check.name for check in request.health))
    failed = _run_on_the_machine(inside, request, progress) if inside else []
    failed += [(check, why) for check in outside if (why := _from_here(check, request.target.host))]
    if failed:
        one = len(failed) == 1
        reasons = (f"'{check.name}' failed: {why}" if one else f"'{check.name}' ({why})" for check, why in failed)
        raise NotProvenError(
            ("health check " if one else "health checks failed: ") + "; ".join(reasons),
            "; ".join(dict.fromkeys(_ADVICE[check.kind] for check, _ in failed)),
            back_advice="mend the config, or the check; with 'rollback: false' it stays as it is, to be looked at",
            has_booted=True,
        )


def on_the_machine(checks: Sequence[HealthCheck]) -> list[HealthCheck]:
    """Those that the machine asks itself."""
    return [check for check in checks if check.vantage == "machine"]


def script_values(checks: Sequence[HealthCheck]) -> dict[str, list[str]]:
    """What `scripts/health.sh` is given, by the deployer and by a machine's agent."""
    return {
        "KINDS": [check.kind for check in checks],
        "SUBJECTS": [check.subject.replace("{address}", "127.0.0.1") for check in checks],
        "EXPECTED": [check.expected for check in checks],
        "SECONDS_EACH": [str(check.seconds) for check in checks],
    }


def _run_on_the_machine(
    checks: Sequence[HealthCheck], request: Request, progress: Progress
) -> list[tuple[HealthCheck, str]]:
    allowed = sum(check.seconds for check in checks) * 2 + 30
    finished = run_again_and_again(
        request.target,
        "health.sh",
        script_values(checks),
        timeout=allowed,
        patience=CUT_SECONDS,
        root=False,
        on_error_line=lambda line: progress.pass_on([line], LONGEST_REASON),
        on_break=lambda: progress.say("the connection broke during the health checks, running them again"),
    )
    if finished.code == UNREACHABLE:
        raise NotProvenError(
            f"the health checks could not be run: no connection, or no end within {allowed} s",
            "see whether the machine can be reached; a check's command must not wait for ever",
        )
    if finished.code != 0:
        raise NotProvenError(
            f"the health checks could not be run (exit code {finished.code})", "see what was said above"
        )
    return _failed(checks, finished)


def _failed(checks: Sequence[HealthCheck], finished: Finished) -> list[tuple[HealthCheck, str]]:
    """Each check that has not passed, by what the machine says of it: nothing is no pass."""
    passed, failed = set[int](), dict[int, str]()
    at: int | None = None
    for name, _, value in (line.partition("=") for line in finished.lines):
        if name in ("passed", "failed"):
            at = number(value, below=len(checks))
        if name == "passed" and at is not None:
            passed.add(at)
        elif name in ("failed", "why") and at is not None:
            failed[at] = shortened(value, LONGEST_REASON) if name == "why" else "no reason was told"
    return [
        (check, failed.get(index, "the machine does not say that it passed"))
        for index, check in enumerate(checks)
        if index in failed or index not in passed
    ]


def _from_here(check: HealthCheck, address: str) -> str:
    """What is wrong when the check's time is over, or ""."""
    deadline = time.monotonic() + check.seconds
    ask = _http if check.kind == "http" else _tcp
    while (why := ask(check, address)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return why


def _http(check: HealthCheck, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    try:
        # the scheme was checked with the settings
        status, _ = get(check.subject.replace("{address}", host), seconds=HTTP_SECONDS)
    except (NoAnswerError, ValueError) as error:
        return shortened(printable(str(error)), LONGEST_REASON)
    return "" if str(status) == check.expected else f"status {status}, wanted {check.expected}"


def _tcp(check: HealthCheck, address: str) -> str:
    host, _, port = check.subject.rpartition(":")
    try:
        with socket.create_connection((host or address, int(port)), timeout=5):
            return ""
    except OSError as error:
        return f"{host or address} port {port}: {error.strerror or error}"

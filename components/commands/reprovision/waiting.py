"""Waiting for a machine that reboots, with an end, and with the refusals that waiting won't change.

Standard library only.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.emergency import EMERGENCY
from components.commands.reprovision.host_key import (
    is_pinned,
    pin_from_console,
    say_first_contact,
    unpin_machine_before,
)
from components.commands.reprovision.proof import MachineState, read_state, short
from components.commands.reprovision.request import NotProvenError
from components.commands.ssh_session import (
    TALKED_TOO_MUCH,
    UNREACHABLE,
    Doorbell,
    Finished,
    jump_host_trouble,
    run_script,
)
from components.commands.untrusted import printable, shortened

if TYPE_CHECKING:
    from components.commands.reprovision.request import Progress, Request

POLL_SECONDS = 0.3
NAMES_KEY_SECONDS = 60  # from sshd's first answer to the login screen, which names its key
MOVES_SECONDS = 60  # an address that was moved in a cloud leads to the machine before for so long at most
LOGIN_REFUSED_SECONDS = 45  # sshd may refuse logins for a while at the end of a boot
REFUSED_SECONDS = 12  # for what is no matter of how far a boot has got
SIGN_OF_LIFE_SECONDS = 15
CONSOLE_LINES = 25
CONSOLE_BYTES = 262_144  # a machine may write on its console without end
# systemd about the units after a failed one: in the initramfs so many that the failure itself would not be shown
_FOLLOWS = re.compile(
    r"systemd\[1\]: (Dependency failed for|\S+: (Job \S+ failed with result 'dependency'|Triggering OnFailure=))"
)
_SSH_IS_UP = re.compile(r"SSH host key: SHA256:")
_IGNITION_FAILED = re.compile(r"Ignition failed: (.+)")  # its last word (coreos/ignition, internal/main.go)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reason:
    """Why OpenSSH's client got no session, by its own words: what to raise after a while, with `{user}` filled in.

    `may_pass`: the end of a boot may change it.
    """

    words: str
    message: str
    advice: str
    may_pass: bool = False

    @property
    def seconds(self) -> int:
        """How long it is waited for."""
        return LOGIN_REFUSED_SECONDS if self.may_pass else REFUSED_SECONDS


_REASONS = (
    _Reason(
        words=r"Too many authentication failures",
        message="the machine refuses the login of {user}, as too many keys were offered to it",
        advice="ssh-agent offers its keys one by one, and six at most are heard: name the right one (flatcar:ssh)",
    ),
    _Reason(
        words=r"Unable to negotiate|no matching ",
        message="this computer's ssh and the machine's sshd have no algorithm in common",
        advice="compare 'ssh -Q cipher' (kex, HostKeyAlgorithms) here with the sshd_config in the machine's config",
    ),
    _Reason(
        words=r"Session open refused by peer|channel \d+: open failed",
        message="the machine lets {user} log in, but opens no session",
        advice="look at MaxSessions in its sshd_config: it must not be 0",
    ),
    _Reason(
        words=r"Permission denied",
        may_pass=True,
        message="the machine refuses the login of {user}",
        advice="the SSH key in the machine's running config is not one of those offered here (flatcar:ssh, ssh-agent)",
    ),
)


class Console:
    """The machine's serial console where a file on this computer has it; `shows_…` looks at what is new since."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._start = self._size()

    def shows_emergency(self) -> bool:
        """Whether the initramfs has given up since, as far as the console's end shows it."""
        return EMERGENCY.search(self._text()) is not None

    def why_ignition_failed(self) -> str:
        """What Ignition said last, as `: WHY`; "" where the console does not have it."""
        said = _IGNITION_FAILED.findall(self._text())
        return f": {shortened(printable(said[-1].strip()), 200)}" if said else ""

    def times_ssh_came_up(self) -> int:
        """How often the machine has told its SSH host key since: its server is up then, or will be in a moment."""
        return len(_SSH_IS_UP.findall(self._text()))

    def tail(self) -> list[str]:
        """The last lines without control characters and what only follows from a failure; [] where there is no file."""
        lines = deque(
            (line for line in self._text(since=0).splitlines() if not _FOLLOWS.search(line)), maxlen=CONSOLE_LINES
        )
        return [shortened(printable(line.rstrip()), 400) for line in lines]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size if self._path else 0
        except OSError:
            return 0

    def _text(self, since: int | None = None) -> str:
        if self._path is None:
            return ""
        try:
            with self._path.open("rb") as console:
                end = console.seek(0, os.SEEK_END)
                console.seek(max(self._start if since is None else since, end - CONSOLE_BYTES))
                return console.read(CONSOLE_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""


def await_boot(
    request: Request,
    progress: Progress,
    *,
    old_boot: str,
    config_id: str,
    seconds: float,
    gives_up: bool = False,
    is_patient: bool = False,
) -> MachineState:
    """The state of the machine once it answers in another boot than `old_boot` ("": in any).

    With the stamp `config_id` it also has to have settled; without it there is nothing to wait for, and a machine whose
    start-up hangs must still be open for a better config. An emergency on the machine's console is told; it ends the
    waiting with `gives_up`, else the machine's own next try is waited for.
    `is_patient`: a machine that lets nobody in is waited for as well, as it rolls back by itself.
    A reserved address may lead to the machine that this one replaces for a while: that one's key is not pinned anew.
    Raises `NotProvenError` after `seconds`.
    """
    wait = _Wait(request, progress, old_boot=old_boot, config_id=config_id, is_patient=is_patient)
    deadline = time.monotonic() + seconds
    boots, booted = Console(request.console_log), 0
    with Doorbell(request.target) as door:
        while (remaining := deadline - time.monotonic()) > 0:
            if (count := boots.times_ssh_came_up()) > booted:
                booted = count
                door.start_over()  # attempts from before may hang where they are
            if door.answered(POLL_SECONDS):
                if (state := wait.look(remaining)) is not None:
                    return state
                time.sleep(POLL_SECONDS)
            elif boots.shows_emergency():
                if gives_up:
                    raise NotProvenError(
                        f"Ignition failed in the initramfs{boots.why_ignition_failed()}",
                        "mend the config; the console's lines above say what Ignition could not do",
                    )
                wait.note_emergency(boots.why_ignition_failed())
            else:
                wait.note_silence(door.trouble)
    raise wait.too_late(seconds)


class _Wait:
    """What has been seen of a machine that is waited for. For the arguments see `await_boot`."""

    def __init__(
        self, request: Request, progress: Progress, *, old_boot: str, config_id: str, is_patient: bool
    ) -> None:
        self._request = request
        self._progress = progress
        self._old_boot = old_boot
        self._config_id = config_id
        self._is_patient = is_patient
        self._seen = "it never answered"
        self._has_answered = False
        self._noted = ""
        self._began_at = self._told_at = time.monotonic()
        self._is_going_down = False
        self._refused_since: float | None = None
        self._answers_since: float | None = None
        # a local machine's address is its own
        may_move = not request.console_log and not is_pinned(request)
        self._moves_until = time.monotonic() + MOVES_SECONDS if may_move else 0.0

    def note_silence(self, trouble: str) -> None:
        """Nobody answers, for the reason `trouble`, if that is known."""
        self._seen = "rebooting, no answer" if self._old_boot else "no answer"
        self._is_going_down = False
        self._note(self._seen)
        self._seen += f" ({trouble})" if trouble else ""

    def note_emergency(self, why: str) -> None:
        """The initramfs has given up, `why` (": …" or ""), and reboots to try again."""
        self._seen = f"Ignition failed in the initramfs{why}"
        self._is_going_down = False
        self._progress.say(f"{self._seen}; the machine will try again by itself")

    def look(self, remaining: float) -> MachineState | None:
        """The state of the machine, which answers, if it is there; within `remaining` seconds.

        Raises `NotProvenError` for a refusal that waiting won't change.
        """
        self._has_answered = True
        pin_from_console(self._request, self._progress)
        is_first = not is_pinned(self._request)
        if is_first and self._awaits_key():
            self._seen = "answers, but its console has not named its SSH host key yet"
            self._note(self._seen)
            return None
        state = self._state(remaining)
        if state is not None:
            if time.monotonic() < self._moves_until and unpin_machine_before(self._request):
                state, is_first, self._seen = None, False, "the address still leads to the machine before"
            elif on_the_way := self._on_the_way(state):
                state, self._seen = None, on_the_way
        if is_first:
            say_first_contact(self._request, self._progress)
        if state is not None:
            self._progress.note(f"up on {short(state.stamp)}, {state.system}")
        else:
            self._note(self._seen)
        return state

    def _awaits_key(self) -> bool:
        """Whether the console may still name the key: Flatcar's sshd answers some seconds before its login screen."""
        request = self._request
        if request.target.jump_host or not request.console_log or not Path(request.console_log).exists():
            return False
        if self._answers_since is None:
            self._answers_since = time.monotonic()
        return time.monotonic() - self._answers_since < NAMES_KEY_SECONDS

    def _note(self, seen: str) -> None:
        """What is waited for, as a detail; every `SIGN_OF_LIFE_SECONDS` as an event with the seconds."""
        now = time.monotonic()
        if now - self._told_at >= SIGN_OF_LIFE_SECONDS:
            self._told_at = now
            self._progress.say(f"{seen}, {now - self._began_at:.0f} s")
        elif seen != self._noted:
            self._progress.note(seen)
        self._noted = seen

    def _state(self, remaining: float) -> MachineState | None:
        """What the machine says of itself; None where it gives no session."""
        request = self._request
        request.target.connection.renew()  # the one before may lead to a boot that is gone
        finished = run_script(
            request.target,
            ("staging.sh", "ran.sh", "state.sh"),
            {
                "OLD_BOOT": self._old_boot,
                "CONFIG_ID": self._config_id,
                "SETTLE": str(max(1, int(min(remaining, 120)))),
                "SOURCE": request.fetched_from,
            },
            timeout=min(remaining, 150),
        )
        if (state := read_state(finished)) is not None:
            return state
        try:
            self._refused_since = look_at_refusal(finished, request, self._refused_since)
            if self._refused_since is None or (reason := _reason(finished, request)) is None:
                self._seen = _without_session(finished, request)
            else:  # at once: nobody should have to wait for this
                self._seen = (
                    f"answers, but no session yet: {reason.message}; trying for {reason.seconds} s. {reason.advice}"
                )
        except NotProvenError as refusal:
            if not self._is_patient:
                raise
            self._seen = str(refusal)
        return None

    def _on_the_way(self, state: MachineState) -> str:
        """How far the machine is from the boot that is waited for; "" when it is there."""
        if state.boot_id == self._old_boot:
            self._is_going_down = True
            return "still in the old boot, shutting down"
        if state.system == "stopping":
            return "shutting down"
        if state.stamp == self._config_id and not state.is_settled:
            jobs = f" ({', '.join(state.running_jobs[:3])})" if state.running_jobs else ""
            return f"up, {state.system or 'starting'}{jobs}"
        return ""

    def too_late(self, seconds: float) -> NotProvenError:
        """The error for a machine that did not get there within `seconds`, by what was seen of it last."""
        if self._moves_until:
            unpin_machine_before(self._request)
        if self._is_going_down:
            return NotProvenError(
                f"the machine was still going down after {seconds:.0f} s",
                "see what hangs with 'systemctl list-jobs' there; it reboots in the end, into what its object holds",
            )
        if self._seen.startswith("up, "):
            return NotProvenError(
                f"the machine did not finish its start within {seconds:.0f} s; last seen: {self._seen}",
                "look at those units with 'systemctl list-jobs' and 'systemctl status' there; mend them in the config",
            )
        silent = "was not back" if self._old_boot else "did not answer"
        return NotProvenError(
            f"the machine {silent} within {seconds:.0f} s; last seen: {self._seen}",
            "see that it is on and that its SSH port can be reached from here, then run 'pulumi up' again; one that "
            "can't fetch or parse its config tries again by itself, and a mended config heals it",
            is_unreachable=not self._old_boot and not self._has_answered,
        )


def _without_session(finished: Finished, request: Request) -> str:
    """What was seen of a server that greets, but gives no session. Raises for a jump host that nothing will change."""
    jump_host = request.target.jump_host
    if finished.code != UNREACHABLE or not jump_host or not (why := jump_host_trouble(request.target)):
        return "answers, but no session yet" + (f": {shortened(finished.client, 300)}" if finished.client else "")
    if "forwarding failed" in why or "open failed" in why:
        return "no answer through the jump host"
    if "verification failed" in why or "Permission denied" in why:
        raise NotProvenError(
            f"the jump host {jump_host} lets nobody through from here: {why}",
            f"'ssh {jump_host.partition(':')[0]}' has to work without a question: its key in your known_hosts, yours "
            "in its authorized_keys and in ssh-agent or ~/.ssh/config",
        )
    return f"no way through the jump host: {why}"


def _said(finished: Finished, words: str = "") -> str:
    """The line that tells why there is no session: the one with `words`, else the last one."""
    lines = [line.strip() for line in finished.stderr.splitlines() if line.strip()]
    told = [line for line in lines if re.search(words, line) and not line.startswith("Disconnected from ")]
    return shortened((told or [""])[-1], 300)


def look_at_refusal(finished: Finished, request: Request, since: float | None) -> float | None:
    """Raise for refusals that waiting won't change; else when a session was first refused, None for other troubles."""
    if "HOST IDENTIFICATION HAS CHANGED" in finished.stderr or "Host key verification failed" in finished.stderr:
        raise NotProvenError(
            f"the SSH host key of {request.target.host} is not the pinned one: another machine, or someone in between",
            "compare it with the machine's console; only if it is right, name it as the machine's host_key in the "
            f"stack's config, and remove the other one from {request.target.known_hosts}",
        )
    if finished.code == TALKED_TOO_MUCH:
        raise NotProvenError(_said(finished), "log in by hand and look at what it prints; trust nothing that it says")
    said = _said(finished)
    if finished.code in (1, 126, 127) and "sudo" in said:
        raise NotProvenError(
            f"{request.target.user} can't become root by sudo without a password: {said}",
            "log in as 'core', or give the user a sudoers entry in the config",
        )
    reason = _reason(finished, request)
    if reason is None:
        return None
    since = time.monotonic() if since is None else since
    if time.monotonic() - since > reason.seconds:
        raise NotProvenError(reason.message, reason.advice)
    return since


def _reason(finished: Finished, request: Request) -> _Reason | None:
    """Why there is no session, its message filled in; None for what a boot does to each connection."""
    reason = next((reason for reason in _REASONS if re.search(reason.words, finished.stderr)), None)
    if reason is None or finished.code != UNREACHABLE:
        if finished.code >= UNREACHABLE or finished.began:
            return None
        reason = _Reason(
            words="",
            message="the login shell of {user} ended before it ran anything, with exit code " + str(finished.code),
            advice="give the user a shell in the machine's config, and look at what that runs at its start",
        )
    said, message = _said(finished, reason.words), reason.message.format(user=request.target.user)
    return replace(reason, message=f"{message}: {said}" if said else message)

"""Bring one machine to the wanted config, in place, and prove it: `python3 -m components.commands.reprovision`.

Started on the operator's computer by the `Reprovision` resource. Reads one JSON document on stdin (`Request`), writes
progress to stderr, and at the end one JSON document to stdout (`record`). Exit 0 only when every proof holds. A request
that the record of the last run answers already touches nothing. One that differs in health checks alone, or asks for a
machine that was off meanwhile, is held against the running machine (`look_again`), which stays as it is.

1. See that the object holds the wanted config, and wait for the machine's first answer. 2. Drain the machine and run
`scripts/stage.sh`: it does nothing when the stamp is the wanted one (so creation boots once), refuses when the machine
could not fetch the wanted config, else stages and reboots. 3. Wait for the new boot and its proofs (`proof`).
4. Run the health checks. 5. Confirm: the config is the machine's last good one now. Restore its service.
When 3 or 4 fail on a machine that has a last good config, it is rolled back to that (`rollback`), and the run fails.
With the lifecycle `live` 2 and 3 are tried without a reboot (`live`); where that can't be, all is as ever.
A machine that pulls does all of it by itself: it is left alone, or waited for (`pulling`).
One that runs the wanted config from before that was salted gets its new id first, and then runs it (`salting`).

Killed at any point, the next `pulumi up` runs it again from the start and converges:
- before or while staging: nothing has happened, or the same staging is set once more;
- staged, not yet rebooted: staged again, or unstaged when the wanted config has become the running one;
- during the reboot and the wait: it waits for the machine, which has the stamp then, or is staged, or rolled back;
- after the proof: the stamp is found, the proofs are checked again, nothing reboots.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands import sign
from components.commands.objects.folder import NoAccessError
from components.commands.reprovision import ignition_version, live, pulling, rollback, service
from components.commands.reprovision.health import check_health
from components.commands.reprovision.host_key import pin
from components.commands.reprovision.log import Log
from components.commands.reprovision.proof import MachineState, missing_proof, ran_object, short
from components.commands.reprovision.record import LOOKED_AT, Record
from components.commands.reprovision.request import (
    NEVER_ANSWERED,
    PRIVATE_VARIABLE,
    NotProvenError,
    Outputs,
    Progress,
    Request,
)
from components.commands.reprovision.salting import with_salted_id
from components.commands.reprovision.waiting import Console, await_boot
from components.commands.ssh_session import CUT_SECONDS, MOST_BYTES, UNREACHABLE, answers, run_script
from components.commands.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from components.commands.reprovision.rollback import LastGood
    from components.commands.ssh_session import Finished

REFUSED, ROLLING_BACK = 3, 5  # stage.sh's exit codes
MOST_DIAGNOSED = 10_240  # bytes of a journal or a console that are shown: see `request.MOST_TOLD`
MOST_OF_JOURNAL = 4_194_304  # bytes that go into the log: a line of systemd's journal may have 48 KiB
RESTARTS = 3  # of a machine, while it is proven
MOST_LINES, LONGEST_LINE = 12, 250  # of the preview, in the outputs
# what stage.sh says of its own steps
_DETAIL = re.compile(
    "checking what the pointer|staging lifecycle|there is no last good config|the pointer is not checked"
)
STAYS = ("replace", "ignore")  # lifecycles that never stage anything


def reprovision(request: Request, progress: Progress, proven: Collection[str] = ()) -> Outputs:
    """Walk the steps of the module's docstring. Raises `NotProvenError`.

    `proven` are the SHA-512 sums (hex) of the objects that were proven on this machine before.
    """
    if request.pull == "no" or (request.pull and request.lifecycle in STAYS):
        return pulling.leave_alone(request, progress)
    progress.note(f"wanted {short(request.config_id)}")
    if request.pull == "report":
        return pulling.await_report(request, progress)
    if request.pull == "ssh" and (pulled := pulling.await_stamp(request, progress)) is not None:
        return _prove(request, progress, pulled, rebooted=False, can_roll_back=False)
    if request.lifecycle in STAYS:
        state = await_boot(request, progress, old_boot="", config_id=request.config_id, seconds=request.timeout)
        state = with_salted_id(request, progress, state)
        if state.stamp != request.config_id:
            return _stays(request, progress, state)
    _check_signature(request)
    _write_object_again(request, progress)
    staged, tried = _change_live(request, progress, proven) if request.lifecycle == "live" else (None, _Tried())
    if staged is None:
        staged = _stage(request, progress, proven, tried)
    state, rebooted, good = staged.state, staged.reboots, staged.last_good
    if not rebooted:
        progress.say("runs the wanted config already, no reboot" if not staged.change else "changed live, no reboot")
    try:
        if staged.change is not None:
            state = await_boot(request, progress, old_boot="", config_id=request.config_id, seconds=request.timeout)
        outputs = _prove(request, progress, state, rebooted=rebooted, can_roll_back=good is not None)
        rollback.confirm(request, progress)
    except NotProvenError as failure:
        if good is None or not failure.rolls_back:
            raise
        diagnose(request, progress, failure)
        if staged.change is not None:
            staged.change.take_back(request, progress)
        result = rollback.roll_back(request, progress, good, failure, old_boot=state.boot_id if rebooted else "")
        service.restore(request, progress)
        raise NotProvenError(f"{failure}; {result}", failure.back_advice, rolls_back=False) from None
    service.restore(request, progress)
    progress.say(
        f"proven: {request.config_id[:12]} on {outputs.os_version}"
        + (
            f" (the reboot updated it from {state.os_version})"
            if state.os_version not in ("", outputs.os_version)
            else ""
        )
        + (f", down for {outputs.downtime_seconds} s" if rebooted else "")
    )
    return replace(outputs, lost=staged.lost)


def look_again(request: Request, progress: Progress, before: Record) -> Outputs:
    """Prove a machine again whose config was proven: in other health checks, or after it was off.

    Nothing is staged. Raises `NotProvenError`, and leaves the machine as it is then: its config was good.
    """
    was_off = "power_on" in before.changed(request)
    try:
        progress.say("was off, waiting for it" if was_off else "trying the health checks on the running machine")
        outputs = prove_running(request, progress)
        if was_off and not request.pull:
            rollback.confirm(request, progress)  # its disk may be a new one
    except NotProvenError as failure:
        if was_off and failure.rolls_back:
            diagnose(request, progress, failure)
        raise NotProvenError(
            f"{failure}; nothing was staged: the machine is left as it is, and so is its last good config",
            failure.advice,
            rolls_back=False,
            has_booted=failure.has_booted,
        ) from None
    progress.say(f"proven again: {request.config_id[:12]} on {outputs.os_version}")
    return replace(outputs, downtime_seconds=before.outputs.downtime_seconds)


def prove_running(request: Request, progress: Progress, old_boot: str = "") -> Outputs:
    """Wait for a machine that runs its config, in another boot than `old_boot`, and prove it. Nothing is staged.

    Raises `NotProvenError`.
    """
    state = await_boot(request, progress, old_boot=old_boot, config_id=request.config_id, seconds=request.timeout)
    return _prove(request, progress, state, rebooted=False, can_roll_back=False)


def _needs_a_look(request: Request, before: Record) -> bool:
    """Whether nothing has changed since the config was proven but what `look_again` proves, and does so from here."""
    is_proven = before.outputs.config_id == request.config_id
    return is_proven and request.pull in ("", "ssh") and before.changed(request) <= LOOKED_AT


def _prove(
    request: Request, progress: Progress, state: MachineState, *, rebooted: bool, can_roll_back: bool
) -> Outputs:
    """The proofs and the health checks, in the new boot when there is one to come."""
    left_at = time.monotonic()
    before = state if rebooted else None
    if rebooted:
        state = await_boot(
            request,
            progress,
            old_boot=state.boot_id,
            config_id=request.config_id,
            seconds=request.timeout,
            gives_up=can_roll_back,  # without a rollback, the machine's own next try is all there is to wait for
        )
    for _ in range(RESTARTS):
        try:
            _check(request, progress, state, before)
            break
        except NotProvenError:
            # what goes down fails its checks: that says nothing about its config
            now = _look_again(request, progress)
            if now is None or now.boot_id == state.boot_id:
                raise
            progress.say("the machine has restarted meanwhile, proving it again")
            state = now
    else:
        _check(request, progress, state, before)
    return _outputs(state, round(time.monotonic() - left_at, 1) if rebooted else 0.0)


def _check(request: Request, progress: Progress, state: MachineState, before: MachineState | None) -> None:
    """The proofs of a machine that has settled, then its health. Raises `NotProvenError`."""
    missing = missing_proof(
        state,
        request.config_id,
        object_sha512=request.object_sha512,
        before=before,
        allow_degraded=request.allow_degraded,
    )
    if missing is not None:
        raise NotProvenError(missing.message, missing.advice, has_booted=missing.has_booted)
    if (before or state.staged_object) and ran_object(state, request.object_sha512) is None:
        progress.say("warning: the stamp alone says what runs: Ignition's messages, with the object's hash, are gone")
    if state.failed_units:
        progress.say("warning: degraded, failed units: " + ", ".join(state.failed_units))
    check_health(request, progress)


def _look_again(request: Request, progress: Progress) -> MachineState | None:
    """The machine as it is now, back from a restart if it is in one; None where it does not answer soon."""
    try:
        return await_boot(request, progress, old_boot="", config_id=request.config_id, seconds=CUT_SECONDS)
    except NotProvenError:
        return None


def _outputs(state: MachineState, downtime: float) -> Outputs:
    return Outputs(
        config_id=state.stamp,
        boot_id=state.boot_id,
        os_version=state.os_version,
        host_key=state.host_key,
        downtime_seconds=downtime,
        failed_units=state.failed_units,
        ended_at=time.time(),
    )


def _stays(request: Request, progress: Progress, state: MachineState) -> Outputs:
    """A machine that stays on another config: fine for `ignore`; `replace` never changes a machine in place."""
    runs = state.stamp[:12] or "(none)"
    if request.lifecycle == "ignore":
        progress.say(f"pending: the machine stays on config id {runs}, {request.config_id[:12]} is wanted")
        return _outputs(state, 0.0)
    raise NotProvenError(
        f"the machine is on config id {runs}, not on {request.config_id[:12]}, and 'replace' changes none in place",
        "replace it by name (pulumi up --replace URN; pulumi stack --show-urns), or choose the lifecycle 'reset'",
        rolls_back=False,
    )


def _check_signature(request: Request) -> None:
    """What a machine that takes signed configs would check itself, for one that is pushed to."""
    if request.signers:
        why = sign.problem(
            request.text,
            machine=request.machine,
            address=request.source,
            config_id=request.config_id,
            keys=request.signers,
        )
        if why:
            raise NotProvenError(
                f"the object is none to stage: {why}",
                f"nothing was staged; see who else writes this stack's state, and run "
                f"'pulumi up --replace' for {request.machine}-signature",
                rolls_back=False,
            )


def _check_spec(request: Request, state: MachineState) -> None:
    """A config that the machine's Ignition can't read would stop it in its initramfs."""
    spec = ignition_version.spec_of(request.text)
    if ignition_version.reads(state.os_version, spec) is False:
        raise NotProvenError(
            f"the config is of Ignition spec {spec}, which Flatcar {state.os_version} can't read",
            "nothing was staged; update the machine's OS first, or take an older version of the config's language",
            rolls_back=False,
        )


def _write_object_again(request: Request, progress: Progress) -> None:
    """An earlier rollback wrote the last good config behind Pulumi's back: a new try needs the wanted one there."""
    content = request.text
    try:
        if request.place is not None and request.place.put(content):
            progress.say("the object held another config: wrote the wanted one again")
    except NoAccessError as error:
        # Pulumi wrote it, and the machine checks it: what is missing is the way to heal one that can't boot.
        progress.say(f"the object can't be rolled back from here, should this config fail: {error}")
    except OSError as error:
        raise NotProvenError(
            f"the object can't be written: {error}", "nothing was staged; run 'pulumi up' again", rolls_back=False
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Staged:
    """A machine after stage.sh: its `state` before, whether it now `reboots`, and what it can be rolled back to.

    `lost` are the preview's lines about what no config declares. `change` is what was made without a reboot.
    """

    state: MachineState
    reboots: bool
    last_good: LastGood | None
    lost: tuple[str, ...] = ()
    change: live.Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """How far a live change came that was not made: whether the machine `is_drained`, and the change `is_begun`."""

    is_drained: bool = False
    is_begun: bool = False


def _change_live(request: Request, progress: Progress, proven: Collection[str]) -> tuple[_Staged | None, _Tried]:
    """Change the machine without a reboot (`live`); None where that can't be. Raises `NotProvenError`."""
    state = await_boot(request, progress, old_boot="", config_id=request.config_id, seconds=request.timeout)
    state = with_salted_id(request, progress, state)
    if state.stamp in ("", request.config_id) or state.unwiped:
        return None, _Tried()
    change = live.planned(request, progress, state.stamp, proven)
    if change is None:
        return None, _Tried()
    service.drain(request, progress)
    finished = run_script(
        request.target,
        ("staging.sh", "keep.sh", "preview.sh", "live-stage.sh", "stage.sh"),
        _staging_values(request, proven),
        timeout=request.timeout,
        most=rollback.MOST_CONTENT // 3 * 4 + MOST_BYTES,
        on_error_line=progress.note,
    )
    if finished.value("staged") != "yes":
        return None, _Tried(is_drained=True)
    if not change.apply(request, progress):
        return None, _Tried(is_drained=True, is_begun=True)
    return _Staged(state=state, reboots=False, last_good=change.good, change=change), _Tried()


def _stage(request: Request, progress: Progress, proven: Collection[str], tried: _Tried) -> _Staged:
    """Wait for the machine, drain it unless it is, and run stage.sh. Raises `NotProvenError`.

    A connection that breaks on the way may have staged or not: look at the machine again, then stage again. One that a
    live change has begun to change may roll back by itself first.
    """
    old_boot, drained = "", tried.is_drained
    seconds = request.timeout + (request.rollback_after if tried.is_begun else 0)
    lost: tuple[str, ...] = ()
    for attempt in range(3):
        try:
            state = await_boot(request, progress, old_boot=old_boot, config_id=request.config_id, seconds=seconds)
        except NotProvenError as failure:
            # else it may be staged
            failure.is_unreachable = failure.is_unreachable and attempt == 0 and not tried.is_begun
            raise
        state = with_salted_id(request, progress, state)
        if state.stamp != request.config_id:
            _check_spec(request, state)
        if (state.stamp != request.config_id or state.unwiped) and not drained:
            service.drain(request, progress)
            drained = True
        finished = run_script(
            request.target,
            ("staging.sh", "keep.sh", "preview.sh", "stage.sh"),
            _staging_values(request, proven),
            timeout=request.timeout,
            most=rollback.MOST_CONTENT // 3 * 4 + MOST_BYTES,
            on_error_line=lambda line: (progress.note if _DETAIL.match(line) else progress.say)(line),
        )
        lost = _lost(finished) or lost  # the connection may have broken right after the reboot was ordered
        if finished.code == 0 and (reboots := finished.value("staged")):
            last_good = rollback.last_good(finished, proven)
            return _Staged(state=state, reboots=reboots == "yes", last_good=last_good, lost=lost)
        if finished.code == ROLLING_BACK:
            old_boot = state.boot_id
            continue
        if finished.code != UNREACHABLE:
            break
        progress.say("the connection broke while staging, looking again")
    if drained and finished.code != UNREACHABLE and not tried.is_begun:
        service.restore(request, progress)
    said = finished.stderr.splitlines()
    if finished.code == REFUSED and len(said) > 1:  # scripts/staging.sh, `refuse`
        raise NotProvenError(said[-2], said[-1], rolls_back=False)
    raise NotProvenError(
        f"staging failed (exit code {finished.code})" + (f": {said[-1]}" if said else ""),
        "staging can be repeated: mend what it complains about and run 'pulumi up' again",
        rolls_back=False,
    )


def _staging_values(request: Request, proven: Collection[str]) -> dict[str, str | Sequence[str]]:
    """What stage.sh, and the scripts in front of it, are given."""
    return {
        "CONFIG_ID": request.config_id,
        "LIFECYCLE": request.staged_lifecycle,
        "SOURCE": request.fetched_from,
        "OBJECT_SHA512": request.object_sha512,
        "OBJECT_BYTES": str(request.content.size),
        "WAY_BACK_WANTED": "yes" if request.rollback_after else "no",
        "OEM_CONFIG": base64.b64encode(request.oem_config.encode()).decode(),
        "KEEP": request.keep,
        "DECLARED": request.declared,
        "OS_UPDATE": request.os_update,
        "OWNER": request.owner,
        "TAKE_OVER": "yes" if request.take_over else "no",
        "PROVEN": tuple(proven),
        "MOST_CONTENT": str(rollback.MOST_CONTENT),
    }


def _lost(finished: Finished) -> tuple[str, ...]:
    """What the preview says of files that no config declares. It comes from the machine: bounded, and printable."""
    return tuple(printable(line)[:LONGEST_LINE] for line in finished.values("lost")[:MOST_LINES])


def diagnose(request: Request, progress: Progress, failure: NotProvenError) -> None:
    """Show what explains the failure: the journal of failed units and, of a boot that went wrong, Ignition's and the
    console's last lines."""
    if answers(request.target):
        request.target.connection.renew()
        values = {"HAS_BOOTED": "yes" if failure.has_booted else "no"}
        finished = run_script(
            request.target, "diagnose.sh", values, timeout=30, most=MOST_OF_JOURNAL, on_error_line=progress.say
        )
        progress.pass_on(finished.lines, MOST_DIAGNOSED)
    if failure.has_booted:
        return
    tail = Console(request.console_log).tail()
    if tail:
        title = f"last lines of its console, {request.console_log}:"
        progress.pass_on([title, *("    " + line for line in tail)], MOST_DIAGNOSED)
    elif request.console_hint:
        progress.pass_on([f"its console: {request.console_hint}"], MOST_DIAGNOSED)


def main() -> int:
    """Read the request, reprovision, print the outputs. Exit codes: 0 proven, 1 not proven, 2 not a request, 3 the
    machine never answered, and nothing was done to it."""
    try:
        request = Request.from_json(json.load(sys.stdin), os.environ.get(PRIVATE_VARIABLE, ""))
    except (ValueError, KeyError, TypeError) as error:
        print(f"reprovision: stdin is not a request: {error}", file=sys.stderr)
        return 2
    before = Record.previous(os.environ)
    if before is not None and before.answers(request):
        print(before.text())
        return 0
    progress = Progress(request.machine, Log(request.owner), request.owner)
    Path(request.target.known_hosts).parent.mkdir(parents=True, exist_ok=True)
    try:
        pin(request, before.host_keys if before is not None and before.is_of(request) else ())
        with request.target.connection.share():
            if before is not None and _needs_a_look(request, before):
                outputs = look_again(request, progress, before)
            else:
                outputs = reprovision(request, progress, before.objects if before is not None else ())
    except NotProvenError as failure:
        if failure.rolls_back:  # else there was nothing to look at, or that has been done
            diagnose(request, progress, failure)
        progress.fail(str(failure), failure.advice, *_login(request))
        return NEVER_ANSWERED if failure.is_unreachable else 1
    except FileNotFoundError:
        progress.fail("there is no ssh client on this computer", "install OpenSSH's client")
        return 1
    progress.end()
    print(Record.of(request, outputs, before).text())
    return 0


def _login(request: Request) -> list[str]:
    """How to log in to the machine, where the program has made a file for ssh (`SshSettings.command`)."""
    path = Path(request.target.known_hosts).absolute().parent.parent / ".ssh" / request.machine
    return [f"log in with: {shlex.join(['ssh', '-F', str(path), request.machine])}"] if path.is_file() else []

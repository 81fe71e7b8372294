"""What proves that a machine runs the wanted config, and what each missing proof means. Standard library only.

The proofs (see docs in `reprovision`): a boot id that is not the old one, the stamp, Ignition's result file of a boot
since the staging, and a system that has finished starting without failed units. Pure functions over what
`scripts/state.sh` printed.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.commands.ssh_session import Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """One look at a machine. `last_good` and `went_back_from` are config ids or "" (see `scripts/staging.sh`).

    `system` is `systemctl is-system-running`'s word; "" where it was not asked. `pulls` says whether the machine has an
    agent, `pull_report` what that reported last in this boot. `unwiped`: Ignition ran, but not the reset before it.
    """

    boot_id: str
    stamp: str
    last_good: str
    went_back_from: str
    provisioning_boot_id: str
    os_version: str
    host_key: str
    system: str
    failed_units: tuple[str, ...]
    running_jobs: tuple[str, ...]
    pulls: bool = False
    pull_report: str = ""
    unwiped: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether systemd has finished starting the machine."""
        return self.system in {"running", "degraded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingProof:
    """A proof that does not hold and won't by waiting: what is wrong, and what to do."""

    message: str
    advice: str


def read_state(finished: Finished) -> MachineState | None:
    """The state that `state.sh` printed; None when it did not get to its end (the machine went down meanwhile)."""
    if not (finished.value("complete") and finished.value("boot_id")):
        return None
    return MachineState(
        boot_id=finished.value("boot_id"),
        stamp=finished.value("stamp").strip(),
        last_good=finished.value("last_good").strip(),
        went_back_from=finished.value("went_back_from").strip(),
        provisioning_boot_id=provisioning_boot_id(finished.value("ignition_result")),
        os_version=finished.value("os_version"),
        host_key=finished.value("host_key"),
        system=finished.value("system").split()[0] if finished.value("system").split() else "",
        failed_units=finished.values("failed_unit"),
        running_jobs=finished.values("running_job"),
        pulls=finished.value("pulls") == "yes",
        pull_report=finished.value("pull_report"),
        unwiped=finished.value("unwiped") == "yes",
    )


def missing_proof(
    state: MachineState, config_id: str, *, before: MachineState | None, allow_degraded: bool
) -> MissingProof | None:
    """The first proof that a settled machine lacks, or None when all hold.

    `before` is the machine as it was when it was staged: since then Ignition has to have run, in the first boot that
    came, or in a later one where the machine lost its power or was restarted on the way. None where nothing was staged:
    then the stamp alone speaks for the config.
    """
    rebooted = before is not None
    ran_now = before is not None and _ran_since(state, before)
    if state.stamp != config_id:
        if state.went_back_from == config_id:
            return MissingProof(
                message=f"the machine was not confirmed on {short(config_id)} in time, and went back by itself",
                advice="it booted, but could not be reached or proven: look at its console, mend the config",
            )
        if rebooted and not ran_now:
            return MissingProof(
                message=f"the machine rebooted without running Ignition; it still is on {short(state.stamp)}",
                advice="GRUB did not see /boot/flatcar/first_boot: look at the machine's boot menu entry and its /boot",
            )
        return MissingProof(
            message=f"the machine came up on another config: {short(state.stamp)}, wanted {short(config_id)}",
            advice="something else than the pointer's object was served to Ignition: look at its messages below",
        )
    if rebooted and not ran_now:
        return MissingProof(
            message="the stamp is right, but by its result file Ignition has not run since the re-run was staged",
            advice="look at /etc/.ignition-result.json; it should name a newer boot's id as provisioningBootID",
        )
    if state.unwiped:
        return MissingProof(
            message="the config was applied over the old files: the machine lost its power while the reset was staged",
            advice="run 'pulumi up' again: it stages the reset anew",
        )
    if state.system == "degraded" and not allow_degraded:
        return MissingProof(
            message="the config was applied, but units failed: " + ", ".join(state.failed_units or ("(none named)",)),
            advice="mend them in the config, or set health.degraded to 'allow' for this machine",
        )
    return None


def short(config_id: str) -> str:
    """A config id as messages name it."""
    return f"config id {config_id[:12]}" if config_id else "no config id at all"


def _ran_since(state: MachineState, before: MachineState) -> bool:
    """Whether Ignition last ran in another boot than the one `before`, and than the one it had run in until then."""
    older = {"", _bare(before.boot_id), _bare(before.provisioning_boot_id)}
    return _bare(state.provisioning_boot_id) not in older


def _bare(boot_id: str) -> str:
    return boot_id.replace("-", "")


def provisioning_boot_id(encoded: str) -> str:
    """The boot that Ignition last ran in, by its result file (base64); "" when that is missing or broken."""
    try:
        result = json.loads(base64.b64decode(encoded))
    except (binascii.Error, ValueError):
        return ""
    boot_id = result.get("provisioningBootID") if isinstance(result, dict) else None
    return boot_id.strip() if isinstance(boot_id, str) else ""

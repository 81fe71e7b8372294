"""What proves that a machine runs the wanted config, and what each missing proof means. Standard library only.

The proofs (see docs in `reprovision`): a boot id that is not the old one, the stamp, Ignition's result file of a boot
since the staging, the object's SHA-512 in Ignition's messages, and a system that has finished starting without failed
units. Pure functions over what `scripts/state.sh` printed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.commands import untrusted

if TYPE_CHECKING:
    from components.commands.ssh_session import Finished

MOST_NAMES, LONGEST_NAME = 20, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """One look at a machine. `last_good` and `rolled_back_from` are config ids or "" (see `scripts/staging.sh`).

    `system` is `systemctl is-system-running`'s word; "" where it was not asked. `pulls` says whether the machine has an
    agent, `pull_report` what that reported last in this boot. `unwiped`: Ignition ran, but not the reset before it.
    `fetched` is the SHA-512 (hex) of what Ignition fetched from the object's address when it last ran, "" for nothing;
    `parsed` those of the configs that came with the machine; both are empty when its messages are gone, and where the
    machine has another stamp. `staged_object` is that of the object which was staged for this stamp and not confirmed.
    """

    boot_id: str
    stamp: str
    last_good: str
    rolled_back_from: str
    provisioning_boot_id: str
    os_version: str
    host_key: str
    system: str
    failed_units: tuple[str, ...]
    running_jobs: tuple[str, ...]
    pulls: bool = False
    pull_report: str = ""
    unwiped: bool = False
    fetched: str = ""
    parsed: tuple[str, ...] = ()
    staged_object: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether systemd has finished starting the machine."""
        return self.system in {"running", "degraded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingProof:
    """A proof that does not hold and won't by waiting: what is wrong, and what to do.

    `has_booted`: Ignition did its work, so its messages explain nothing.
    """

    message: str
    advice: str
    has_booted: bool = False


def read_state(finished: Finished) -> MachineState | None:
    """The state that `state.sh` printed; None when it did not get to its end (the machine went down meanwhile).

    A value that can't be one is "".
    """
    if not (finished.value("complete") and untrusted.boot_id(finished.value("boot_id"))):
        return None
    return MachineState(
        boot_id=untrusted.boot_id(finished.value("boot_id")),
        stamp=untrusted.config_id(finished.value("stamp")),
        last_good=untrusted.config_id(finished.value("last_good")),
        rolled_back_from=untrusted.config_id(finished.value("rolled_back_from")),
        provisioning_boot_id=provisioning_boot_id(finished.value("ignition_result")),
        os_version=untrusted.version(finished.value("os_version")),
        host_key=untrusted.host_key(finished.value("host_key")),
        system=untrusted.word(finished.value("system")),
        failed_units=_names(finished.values("failed_unit")),
        running_jobs=_names(finished.values("running_job")),
        pulls=finished.value("pulls") == "yes",
        pull_report=finished.value("pull_report"),
        unwiped=finished.value("unwiped") == "yes",
        fetched=finished.value("fetched"),
        parsed=finished.values("parsed"),
        staged_object=finished.value("staged_object"),
    )


def missing_proof(
    state: MachineState, config_id: str, *, object_sha512: str, before: MachineState | None, allow_degraded: bool
) -> MissingProof | None:
    """The first proof that a settled machine lacks, or None when all hold.

    `before` is the machine as it was when it was staged: since then Ignition has to have run, in the first boot that
    came, or in a later one where the machine lost its power or was restarted on the way. None where nothing was staged:
    then the stamp speaks for the config, with the hash of the object that was staged for it before, if that was never
    confirmed. `object_sha512` is that of the wanted object.
    """
    rebooted = before is not None
    ran_now = before is not None and _ran_since(state, before)
    if state.stamp != config_id:
        if state.rolled_back_from == config_id:
            return MissingProof(
                message=f"the machine was not confirmed on {short(config_id)} in time, and rolled back by itself",
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
    wanted = object_sha512 if rebooted else state.staged_object
    if wanted and ran_object(state, wanted) is False:
        ran = state.fetched or ", ".join(state.parsed)
        return MissingProof(
            message=f"the stamp is right, but Ignition ran another object: SHA-512 {ran}, wanted {wanted}",
            advice="look for who else can write the object, or /oem/config.ign: it was changed after it was checked",
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
            has_booted=True,
        )
    return None


def ran_object(state: MachineState, object_sha512: str) -> bool | None:
    """Whether Ignition ran this object, by its own messages; None where they are gone, or not whole any more.

    Those of the present boot are whole. Those of an earlier one may have lost their end with the machine's power.
    """
    if object_sha512 in (state.fetched, *state.parsed):
        return True
    of_this_boot = bare(state.provisioning_boot_id) == bare(state.boot_id)
    return False if state.fetched or (state.parsed and of_this_boot) else None


def short(config_id: str) -> str:
    """A config id as messages name it."""
    return f"config id {config_id[:12]}" if config_id else "no config id at all"


def _ran_since(state: MachineState, before: MachineState) -> bool:
    """Whether Ignition last ran in another boot than the one `before`, and than the one it had run in until then."""
    older = {"", bare(before.boot_id), bare(before.provisioning_boot_id)}
    return bare(state.provisioning_boot_id) not in older


def bare(boot_id: str) -> str:
    """A boot id without its dashes, as the journal and Ignition's result file write it."""
    return boot_id.replace("-", "")


def provisioning_boot_id(encoded: str) -> str:
    """The boot that Ignition last ran in, by its result file (base64); "" when that is missing or broken."""
    try:
        result = untrusted.json_object(base64.b64decode(encoded))
    except ValueError:
        return ""
    return untrusted.boot_id(str(result.get("provisioningBootID", "")))


def _names(told: tuple[str, ...]) -> tuple[str, ...]:
    """Names of units, of which a machine may tell many: they go into messages, and into Pulumi's state."""
    return tuple(untrusted.shortened(name, LONGEST_NAME) for name in told[:MOST_NAMES])

"""What proves that a machine runs the wanted config."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from components.commands.reprovision.proof import MachineState, missing_proof, ran_object, read_state
from components.commands.ssh_session import Finished

WANTED = "c" * 128
OBJECT, OTHER = "a" * 128, "b" * 128
GOOD = MachineState(
    boot_id="b-2",
    stamp=WANTED,
    last_good="",
    rolled_back_from="",
    provisioning_boot_id="b-2",
    os_version="1",
    host_key="ssh-ed25519 AAAA",
    system="running",
    failed_units=(),
    running_jobs=(),
    fetched=OBJECT,
    parsed=("p" * 128,),
)


BEFORE = replace(GOOD, boot_id="b-1", provisioning_boot_id="b-0", stamp="old")


def missing(state: MachineState, *, before: MachineState | None = BEFORE, allow_degraded: bool = False) -> str:
    found = missing_proof(state, WANTED, object_sha512=OBJECT, before=before, allow_degraded=allow_degraded)
    return "" if found is None else f"{found.message}; {found.advice}"


def test_all_proofs_hold() -> None:
    assert missing(GOOD) == ""


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (replace(GOOD, stamp="old", provisioning_boot_id="b-1"), "rebooted without running Ignition"),
        (replace(GOOD, stamp="other"), "came up on another config: config id other"),
        (replace(GOOD, stamp=""), "no config id at all"),
        (replace(GOOD, provisioning_boot_id="b-1"), "Ignition has not run since"),
        (replace(GOOD, provisioning_boot_id="b-0"), "Ignition has not run since"),
        (replace(GOOD, provisioning_boot_id=""), "Ignition has not run since"),
        (replace(GOOD, fetched=OTHER), f"Ignition ran another object: SHA-512 {OTHER}, wanted {OBJECT}"),
        (replace(GOOD, fetched=""), f"Ignition ran another object: SHA-512 {'p' * 128}, wanted {OBJECT}"),
        (replace(GOOD, fetched=OTHER, boot_id="b-3"), "Ignition ran another object"),
        (replace(GOOD, unwiped=True), "applied over the old files"),
        (replace(GOOD, stamp="other", rolled_back_from=WANTED), "was not confirmed on config id cccccccccccc in time"),
        (replace(GOOD, system="degraded", failed_units=("a.service",)), "units failed: a.service"),
    ],
)
def test_each_missing_proof_has_its_own_message(state: MachineState, message: str) -> None:
    assert message in missing(state)


@pytest.mark.parametrize(
    ("state", "has_booted"),
    [
        (replace(GOOD, stamp="other"), False),
        (replace(GOOD, system="degraded", failed_units=("a.service",)), True),
    ],
)
def test_a_machine_whose_units_failed_has_booted_all_the_same(state: MachineState, has_booted: bool) -> None:
    found = missing_proof(state, WANTED, object_sha512=OBJECT, before=BEFORE, allow_degraded=False)
    assert found is not None and found.has_booted is has_booted


def test_without_a_reboot_an_older_result_is_fine() -> None:
    assert missing(replace(GOOD, provisioning_boot_id="b-0"), before=None) == ""


def test_a_second_restart_on_the_way_is_no_failure() -> None:
    assert missing(replace(GOOD, boot_id="b-3")) == ""


@pytest.mark.parametrize(
    "state",
    [
        replace(GOOD, fetched="", parsed=(OTHER, OBJECT)),  # /oem/config.ign has it
        replace(GOOD, fetched="", parsed=()),  # no message is left
        replace(GOOD, fetched="", boot_id="b-3"),  # not all are left, after a power cut
    ],
)
def test_what_is_no_sign_of_another_object(state: MachineState) -> None:
    assert missing(state) == ""
    assert ran_object(state, OBJECT) is (True if OBJECT in state.parsed else None)


def test_what_was_staged_and_never_confirmed_is_compared_by_a_later_run() -> None:
    later = replace(GOOD, staged_object=OTHER)
    assert "Ignition ran another object" in missing(later, before=None)
    assert missing(replace(later, fetched=OTHER), before=None) == ""
    assert missing(replace(GOOD, fetched=OTHER), before=None) == "", "an upgrade may have changed the object since"


def test_ignition_may_never_have_run_before() -> None:
    assert missing(GOOD, before=replace(BEFORE, provisioning_boot_id="")) == ""


def test_a_degraded_system_may_be_allowed() -> None:
    degraded = replace(GOOD, system="degraded", failed_units=("a.service",))
    assert missing(degraded, allow_degraded=True) == ""


def test_dashes_in_boot_ids_do_not_matter() -> None:
    before = replace(BEFORE, boot_id="aa-bb")
    assert "has not run since" in missing(replace(GOOD, provisioning_boot_id="aabb"), before=before)


def test_reading_what_the_machine_printed() -> None:
    result = base64.b64encode(json.dumps({"provisioningBootID": "b-2", "previousReport": {}}).encode()).decode()
    lines: tuple[str, ...] = (
        "boot_id=b-2",
        f"stamp={WANTED}",
        f"ignition_result={result}",
        "os_version=1",
        "system=degraded",
    )
    lines += (f"fetched={OBJECT}", "parsed=" + "p" * 128, "staged_object=")
    lines += ("failed_unit=a.service", "failed_unit=b.service", "host_key=ssh-ed25519 AAAA", "complete=1")
    state = read_state(Finished(code=0, lines=lines, stderr=""))
    assert state == replace(GOOD, system="degraded", failed_units=("a.service", "b.service"))


@pytest.mark.parametrize("lines", [(), ("boot_id=b-2", "stamp=x"), ("> boot_id=b-2", "stamp=x", "complete=1")])
def test_a_look_that_broke_off_is_none(lines: tuple[str, ...]) -> None:
    assert read_state(Finished(code=255, lines=lines, stderr="")) is None


@pytest.mark.parametrize("result", ["", "!", base64.b64encode(b"[]").decode(), base64.b64encode(b"{}").decode()])
def test_a_result_file_that_is_none_proves_nothing(result: str) -> None:
    state = read_state(Finished(code=0, lines=("boot_id=b", f"ignition_result={result}", "complete=1"), stderr=""))
    assert state is not None
    assert state.provisioning_boot_id == ""


SERVED = "something else than the pointer's object was served to Ignition: look at its messages below"
NOT_RUN = "look at /etc/.ignition-result.json; it should name a newer boot's id as provisioningBootID"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            replace(GOOD, stamp="old", provisioning_boot_id="b-1"),
            (
                "the machine rebooted without running Ignition; it still is on config id old; "
                "GRUB did not see /boot/flatcar/first_boot: look at the machine's boot menu entry and its /boot"
            ),
        ),
        (
            replace(GOOD, stamp="other"),
            f"the machine came up on another config: config id other, wanted config id cccccccccccc; {SERVED}",
        ),
        (
            replace(GOOD, stamp=""),
            f"the machine came up on another config: no config id at all, wanted config id cccccccccccc; {SERVED}",
        ),
        (
            replace(GOOD, provisioning_boot_id="b-1"),
            f"the stamp is right, but by its result file Ignition has not run since the re-run was staged; {NOT_RUN}",
        ),
        (
            replace(GOOD, fetched="", parsed=("p", "q")),
            (
                f"the stamp is right, but Ignition ran another object: SHA-512 p, q, wanted {OBJECT}; "
                "look for who else can write the object, or /oem/config.ign: it was changed after it was checked"
            ),
        ),
        (
            replace(GOOD, unwiped=True),
            (
                "the config was applied over the old files: the machine lost its power while the reset was staged; "
                "run 'pulumi up' again: it stages the reset anew"
            ),
        ),
        (
            replace(GOOD, stamp="other", rolled_back_from=WANTED),
            (
                "the machine was not confirmed on config id cccccccccccc in time, and rolled back by itself; "
                "it booted, but could not be reached or proven: look at its console, mend the config"
            ),
        ),
        (
            replace(GOOD, system="degraded", failed_units=("a.service", "b.service")),
            (
                "the config was applied, but units failed: a.service, b.service; "
                "mend them in the config, or set health.degraded to 'allow' for this machine"
            ),
        ),
        (
            replace(GOOD, system="degraded"),
            (
                "the config was applied, but units failed: (none named); "
                "mend them in the config, or set health.degraded to 'allow' for this machine"
            ),
        ),
    ],
)
def test_what_a_missing_proof_says_and_what_to_do(state: MachineState, text: str) -> None:
    assert missing(state) == text


def test_reading_what_a_machine_says_beside_its_config() -> None:
    lines: tuple[str, ...] = (
        "boot_id=b-2",
        f"last_good={WANTED}",
        f"rolled_back_from={OTHER}",
        "running_job=a.service",
        "pulls=yes",
    )
    lines += ("pull_report=state=waiting", "unwiped=yes", f"staged_object={OBJECT}", "complete=1")
    state = read_state(Finished(code=0, lines=lines, stderr=""))
    assert state is not None
    assert (state.last_good, state.rolled_back_from, state.running_jobs) == (WANTED, OTHER, ("a.service",))
    assert (state.pulls, state.pull_report, state.unwiped, state.staged_object) == (True, "state=waiting", True, OBJECT)
    state = read_state(Finished(code=0, lines=("boot_id=b-2", "pulls=no", "unwiped=no", "complete=1"), stderr=""))
    assert state is not None
    assert (state.pulls, state.unwiped) == (False, False)


def test_a_machine_may_name_so_many_units_at_most() -> None:
    told = tuple(f"failed_unit={number:x>300}" for number in range(30))
    state = read_state(Finished(code=0, lines=("boot_id=b-2", *told, "complete=1"), stderr=""))
    assert state is not None
    assert len(state.failed_units) == 20
    assert {len(name) for name in state.failed_units} == {256}

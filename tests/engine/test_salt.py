"""A machine that runs a config from before it was salted gets its salted id in place, over real SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from components.commands.reprovision.request import salted_digest
from components.payload.machine_config import SALT, STAMP
from loopback.lab import SICK, Lab, confirmed_lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RANDOM = "ab" * 32


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with confirmed_lab(tmp_path) as lab:
        yield lab


def is_salted(lab: Lab, config_id: str) -> None:
    """It runs this config, as its last good one, and has not been rebooted for it."""
    assert lab.machine.boots == 1
    assert lab.machine.path(STAMP).read_text() == config_id + "\n"
    assert lab.machine.path(SALT).read_text() == RANDOM + "\n"
    assert lab.machine.path(SALT).stat().st_mode & 0o777 == 0o600
    good, folder = lab.machine.path("/oem/.flatcar-reprovision/last-good").read_text().splitlines()
    assert good == config_id
    kept = lab.machine.path(f"/oem/.flatcar-reprovision/{folder}/config.ign").read_text()
    assert kept == lab.contents[config_id], "what it would go back to has the new id"


def test_the_same_config_gets_its_salted_id_without_a_reboot(lab: Lab) -> None:
    good, salted = lab.good, lab.publish("salted")
    code, outputs, progress = lab.run(salted, unsalted=salted_digest(good, RANDOM), salt=RANDOM, drain="exit 1")
    assert code == 0, progress
    assert outputs["config_id"] == salted
    assert "giving it the id that hides its secrets" in progress and "no reboot" in progress
    is_salted(lab, salted)
    code, _, progress = lab.run(salted, unsalted=salted_digest(good, RANDOM), salt=RANDOM)
    assert code == 0 and "giving it" not in progress
    is_salted(lab, salted)


def test_a_machine_that_fails_its_checks_then_does_not_go_back_to_the_same_config(lab: Lab) -> None:
    good, salted = lab.good, lab.publish("salted")
    lab.machine.path("/etc/sick").write_text("by hand")
    code, _, progress = lab.run(salted, unsalted=salted_digest(good, RANDOM), salt=RANDOM, health=[SICK])
    assert code == 1 and f"health check '{SICK['name']}' failed" in progress, progress
    is_salted(lab, salted)
    lab.machine.path("/etc/sick").unlink()
    code, _, progress = lab.run(salted, unsalted=salted_digest(good, RANDOM), salt=RANDOM, health=[SICK])
    assert code == 0, progress
    is_salted(lab, salted)


def test_a_machine_of_another_stack_gets_no_other_id(lab: Lab) -> None:
    lab.machine.path("/oem/.flatcar-owner").write_text("acme/flatcar/production/web\n")
    salted, theirs = lab.publish("salted"), "acme/flatcar/staging/web"
    code, _, progress = lab.run(salted, unsalted=salted_digest(lab.good, RANDOM), salt=RANDOM, owner=theirs)
    assert code == 1 and f"belongs to acme/flatcar/production/web, not to {theirs}" in progress, progress
    assert lab.machine.path(STAMP).read_text() == lab.good + "\n"
    assert not lab.machine.path(SALT).exists()
    code, _, progress = lab.run(
        salted, unsalted=salted_digest(lab.good, RANDOM), salt=RANDOM, owner=theirs, take_over=True
    )
    assert code == 0, progress
    is_salted(lab, salted)


def test_another_config_is_run_whatever_its_id_was(lab: Lab) -> None:
    new = lab.publish("new")
    code, _, progress = lab.run(new, unsalted=salted_digest("0" * 128, RANDOM), salt=RANDOM)
    assert code == 0, progress
    assert lab.machine.boots == 2

"""Many machines in waves under the real engine; $ROLLOUT_MACHINES for another number."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from components.operate.page import page
from components.operate.status import State, statuses
from loopback import browser as browsers
from loopback.fleet import fleet_stack, running_fleet
from tests.conftest import missing
from tests.engine.large_fleet import keeps_its_waves
from toolchain.checkpoints import SKIPPED

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Project

MACHINES = os.environ.get("ROLLOUT_MACHINES", "")


def test_a_large_fleet_keeps_its_waves_at_every_moment(tmp_path: Path, pulumi: Project) -> None:
    keeps_its_waves(tmp_path, pulumi, int(MACHINES or 100))


def test_a_bad_config_takes_one_machine_of_many_away_which_comes_back_and_is_shown(
    tmp_path: Path, pulumi: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not browsers.is_there():
        missing(f"a browser with its driver (Debian packages {browsers.PACKAGES})")
    canary, *others = names = [f"m{number:03}" for number in range(int(MACHINES or 300))]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "25%"}
        stack = fleet_stack(fleet, pulumi, **SKIPPED)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.write(stack.directory, "/etc/sick")
        failed = stack.up(code=None)
        assert failed.code != 0
        assert any("back on its last good config" in line for line in failed.progress(f"{canary}-reprovision"))
        boots = {name: machine.boots for name, machine in fleet.machines.items()}
        assert boots == dict.fromkeys(others, 1) | {canary: 3}, "there, away with the bad config, and back"
        assert [absence.name for absence in fleet.absences()] == [canary]
        assert all(machine.path("/etc/one").exists() for machine in fleet.machines.values())
        monkeypatch.setenv("PULUMI_HOME", str(stack.home))
        exported = json.dumps({"deployment": stack.export()})
    found, declares = statuses(exported, settings={}, notes={}, machines_dir=tmp_path)
    assert {status.name: status.state for status in found} == dict.fromkeys(others, State.NOT_TRIED) | {
        canary: State.FAILED
    }
    shown = tmp_path / "page.html"
    shown.write_text(page("fleet", found, declares, 0.0))
    (tmp_path / "browser").mkdir()
    with browsers.browser(tmp_path / "browser") as window:
        window.open(shown)
        count = "return document.getElementById('count').textContent"
        assert window.run(count) == f"{len(names)} of {len(names)} machines"
        window.run("document.getElementById('search').focus()")
        window.type("failed")
        assert window.run("return document.querySelector('#rows td').textContent") == canary
        assert window.run(count) == f"1 of {len(names)} machines"

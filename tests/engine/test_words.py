"""What `pulumi up` says while machines change and when one fails, without a terminal and on one of 80 columns."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from loopback.fleet import fleet_stack, running_fleet

if TYPE_CHECKING:
    from pathlib import Path

    from loopback.pulumi import Run
    from tests.conftest import Project

pytestmark = pytest.mark.slow


def lines(run: Run) -> list[str]:
    """What it printed, but for the dots with which Pulumi shows that it waits (--suppress-progress leaves them out)."""
    return [line for line in run.output.splitlines() if not line.startswith("@ ")]


def test_a_change_and_a_failure_are_told_in_few_lines_the_cause_first(tmp_path: Path, pulumi: Project) -> None:
    with running_fleet(tmp_path / "fleet", ["web"]) as fleet:
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.write(stack.directory, "/etc/two")
        changed = stack.up()
        assert len(lines(changed)) <= 25, changed.output
        said = changed.progress("web-reprovision")
        words = [r"will be deleted: nothing that no config declares\n(.|\n)*/etc/one", "rebooting",
                 "checking health: not sick", r"proven: [0-9a-f]{12} on [\d.]+, down for [\d.]+ s"]  # fmt: skip
        assert len(said) == len(words)
        assert all(re.match(wanted, line) for wanted, line in zip(words, said, strict=True)), said

        fleet.write(stack.directory, "/etc/sick")
        failed = stack.up(code=None)
        assert failed.code != 0
        assert len(lines(failed)) <= 40, failed.output
        good = stack.outputs()["web"][:12]
        cause = (
            f"web: health check 'not sick' failed: exit code 1; it is back on its last good config ({good}); wanted was"
        )
        errors = failed.output.partition("Diagnostics:")[2].partition("Outputs:")[0]
        block = [line.strip() for line in errors.partition("(web-reprovision):\n")[2].splitlines()]
        assert block[0].startswith(f"error: {cause} ")
        assert block[1] == 'error: exit status 1: running "reprovision":'
        assert block[2].startswith(cause)
        assert block[3].startswith("web: mend the config, or the check; with 'rollback: false' it stays")
        assert "log in and run" not in failed.output, "it runs another config than the one that failed"
        assert "console" not in failed.output, "the boot went well"


def test_a_new_machine_that_fails_can_be_looked_at(tmp_path: Path, pulumi: Project) -> None:
    with running_fleet(tmp_path / "fleet", ["web"]) as fleet:
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/sick")
        failed = stack.up(code=None)
        assert "web: log in and run the command by hand; mend the config, or the check" in failed.output, failed.output
        login = re.search(r"web: log in with: (ssh -F /\S+ web)", failed.output)
        assert login is not None, failed.output
        command = [*shlex.split(login[1]), "-oBatchMode=yes", "test -e /etc/sick"]
        subprocess.run(command, check=True, cwd="/")


def test_a_failure_in_a_rollout_tells_how_far_it_came(tmp_path: Path, pulumi: Project) -> None:
    names = [f"m{number}" for number in range(4)]
    with running_fleet(tmp_path / "fleet", names) as fleet:
        fleet.settings["rollout"] = {"canary": 1, "batch": "1"}
        stack = fleet_stack(fleet, pulumi)
        fleet.write(stack.directory, "/etc/one")
        stack.up()
        fleet.machines["m1"].failed_units_after_boot = "broken.service loaded failed failed Broken\n"
        fleet.write(stack.directory, "/etc/two")
        failed = stack.up(code=None)
        assert "rollout: proven: m0; failed: m1; not tried: m2, m3" in failed.output, failed.output
        assert failed.output.count("last messages of the failed unit broken.service") == 1, "details come once"
        assert stack.outputs().keys() == set(names)

"""A run without checkpoints: what it may be, and that it converges when the engine is killed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]

from tests.engine.checkouts import checkout
from tests.engine.killed_engine import converges_wherever_it_is_killed
from tests.engine.test_backends import CONFIG, STACK, host, write

if TYPE_CHECKING:
    from pathlib import Path

    from loopback.machine import LoopbackMachine
    from tests.conftest import Project

__all__ = ["host"]

EDITS = """\
#!/bin/sh
# pulumi, and an operator who edits the stack's file after the preview that decides
PATH='{path}'
pulumi "$@" || exit
case "$*" in "preview --json "*) if [ -e '{edited}' ]; then mv '{edited}' '{file}'; fi ;; esac
"""


def test_an_engine_that_is_killed_without_checkpoints_costs_no_second_reboot(tmp_path: Path, pulumi: Project) -> None:
    converges_wherever_it_is_killed(tmp_path, pulumi, points=4)


def test_what_was_edited_since_the_decision_is_no_part_of_a_run_without_checkpoints(
    tmp_path: Path, host: LoopbackMachine
) -> None:
    (tmp_path / "state").mkdir()
    here = checkout(tmp_path / "here", PULUMI_BACKEND_URL=(tmp_path / "state").as_uri())
    code = here.folder / "toolchain/checkpoints.py"
    code.write_text(code.read_text().replace("LEAST = 100", "LEAST = 1"))
    file = write(here, host)
    document = yaml.safe_load(file.read_text())
    document["config"]["flatcar:secrets"] = {"token": "none"}
    file.write_text(yaml.safe_dump(document))
    assert "written once" not in here.toolchain("up", "--stack", STACK, YES="1"), "it makes something"

    (here.folder / "cl/rack.yaml").write_text(CONFIG.replace("first", "second"))
    skipped = here.toolchain("up", "--stack", STACK, YES="1")
    assert "written once, at the end" in skipped and "Previewing update" in skipped
    assert host.text("/etc/page") == "second none"
    here.toolchain("preview", "--stack", STACK, "--", "--expect-no-changes")

    document = yaml.safe_load(file.read_text())
    machines = document["config"]["flatcar:machines"]
    machines["another"] = machines["rack"]
    edited = tmp_path / "edited.yaml"
    edited.write_text(yaml.safe_dump(document))
    program = here.folder / ".toolchain/bin/pulumi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(EDITS.format(path=os.environ["PATH"], edited=edited, file=file))
    program.chmod(0o755)
    (here.folder / "cl/rack.yaml").write_text(CONFIG.replace("first", "third"))
    ended = here.toolchain("up", "--stack", STACK, YES="1", code=1)
    assert "written once, at the end" in ended and "create is not allowed by the plan" in ended and not edited.exists()
    exported = json.loads(here.in_make_env(STACK, f"pulumi stack export --stack {STACK}"))
    assert not [one for one in exported["deployment"]["resources"] if "another" in one["urn"]]

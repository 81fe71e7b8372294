"""The command line for operators: what is said where there is nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from toolchain.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"urn": "urn:pulumi:dev::flatcar::flatcar:index:Machine::web", "type": "flatcar:index:Machine"}


@pytest.mark.parametrize(
    ("arguments", "resources", "said"),
    [
        (["restart", "db"], [MACHINE], "restart: the stack has no machine db; it has web"),
        (["restart", "web"], [MACHINE], "restart: no `pulumi up` has proven web yet: run that instead"),
        (["ssh", "wbe"], [MACHINE], "ssh: the stack has no machine wbe; did you mean 'web'? it has web"),
        (["exec", "web"], [MACHINE], "exec: there is no command: name it after --, or as COMMAND="),
        (["exec", "web", "--", ""], [MACHINE], "exec: there is no command: name it after --, or as COMMAND="),
        (["logs", "web"], [MACHINE], "logs: no `pulumi up` has proven web yet"),
        (["history"], [], "history: the stack has no machines yet: `pulumi up` makes them"),
        (["restart"], [MACHINE], "the following arguments are required: MACHINE"),
        (["reboot", "web"], [MACHINE], "invalid choice: 'reboot'"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, arguments: list[str], resources: list[dict[str, str]], said: str
) -> None:
    pulumi = tmp_path / "pulumi"
    state = json.dumps({"deployment": {"resources": resources}})
    pulumi.write_text(f"#!/bin/sh\ncat <<'E'\n{state}\nE\n")
    pulumi.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "components.operate", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr

"""The command line for operators: what is said where there is nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
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


def operate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A verb in a project's folder, with the `pulumi` that lies there."""
    return subprocess.run(
        [sys.executable, "-m", "components.operate", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_reprovisioning_edits_the_stacks_file_shows_it_and_goes_on_as_pulumi_up(tmp_path: Path) -> None:
    (tmp_path / "pulumi").write_text('#!/bin/sh\n[ "$1" = up ] || { echo dev; exit; }\necho "ran: $*"\n')
    (tmp_path / "pulumi").chmod(0o755)
    file = tmp_path / "Pulumi.dev.yaml"
    text = "config:\n  flatcar:machines:\n    web: {group: front}\n    db: {}\n"
    file.write_text(text)

    run = partial(operate, tmp_path, "reprovision")
    for arguments, said in (
        (["web"], "without a terminal nobody can answer"),
        (["dbb", "--", "--yes"], "has no machine dbb; did you mean 'db'?"),
        (["web", "--", "--yes", "--config-file=x"], "--config-file names a file that isn't edited here"),
        (["--group", "back", "--", "--yes"], "no machine is in group back; there are: front"),
    ):
        refused = run(*arguments)
        assert (refused.returncode, refused.stdout, file.read_text()) == (2, "", text)
        assert said in refused.stderr
    done = run("--group", "front", "--stack", "org/flatcar/dev", "--", "--yes")
    assert done.returncode == 0
    assert "\n-    web: {group: front}\n+    web: {generation: 1, group: front}\n" in done.stdout
    assert done.stdout.endswith("commit it, or take it back.\nran: up --stack org/flatcar/dev --yes\n")
    assert run("web", "db", "--", "-y").stdout.endswith("ran: up -y\n")
    assert file.read_text().endswith("    web: {generation: 2, group: front}\n    db: {generation: 1}\n")


def test_a_rollback_is_for_a_machine_that_was_proven_and_its_end_needs_no_state(tmp_path: Path) -> None:
    state = json.dumps({"deployment": {"resources": [MACHINE]}})
    (tmp_path / "pulumi").write_text(
        f"#!/bin/sh\ncase $2 in export) echo '{state}';; --show-name) echo dev;; *) echo \"ran: $*\";; esac\n"
    )
    (tmp_path / "pulumi").chmod(0o755)
    file = tmp_path / "Pulumi.dev.yaml"
    text = "config:\n  flatcar:machines:\n    web: {pinned: pinned/web.ign, group: front}\n    db: {}\n"
    file.write_text(text)

    run = partial(operate, tmp_path, "rollback")
    for arguments, said in (
        (["web"], "without a terminal nobody can answer"),
        (["--", "--yes"], "the following arguments are required: MACHINE, or --group"),
        (["web", "--", "--yes", "--config-file=x"], "--config-file names a file that isn't edited here: edit pinned"),
        (["wbe", "--", "--yes"], "has no machine wbe; did you mean 'web'?"),
        (["web", "db", "--to", "3f2b082ff5c7", "--", "--yes"], "a version is of one machine: name that alone"),
        (["web", "--", "--yes"], "rollback: no `pulumi up` has proven web yet: run that instead"),
    ):
        refused = run(*arguments)
        assert (refused.returncode, refused.stdout, file.read_text()) == (2, "", text)
        assert said in refused.stderr
    done = run("--group", "front", "--to", "none", "--", "--yes")
    assert done.returncode == 0, done.stderr
    assert "\n-    web: {pinned: pinned/web.ign, group: front}\n+    web: {group: front}\n" in done.stdout
    assert done.stdout.endswith("commit it, or take it back.\nran: up --yes\n")

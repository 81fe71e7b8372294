"""The examples of pipelines: their shell steps on a computer with an empty home."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.engine.checkouts import Checkout, checkout

PIPELINES = Path(__file__).parents[2] / "examples/pipelines"


@pytest.fixture
def clone(tmp_path: Path) -> Checkout:
    """A clone that set-up has been through, so that its first step has nothing to do."""
    made = checkout(tmp_path)
    venv = made.folder / ".venv"
    (made.folder / "requirements.txt").touch()
    (venv / "stamp-python").write_text(f"{sys.version} in {made.folder}\n")
    (venv / "stamp-run").write_text(made.run("cksum", "requirements.txt"))
    return made


def steps(name: str) -> list[dict[str, Any]]:
    """The steps of a pipeline's only job."""
    (job,) = yaml.safe_load((PIPELINES / f"{name}.yml").read_text())["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


@pytest.mark.parametrize(("name", "command"), [("preview", "preview"), ("up", "up")])
def test_pulumis_own_action_runs_the_stack(name: str, command: str) -> None:
    action = steps(name)[-1]
    assert action["uses"].startswith("pulumi/actions@")
    assert (action["with"]["command"], action["with"]["stack-name"]) == (command, "production")


def test_the_shell_steps_run_in_an_empty_home(tmp_path: Path, clone: Checkout) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    secret, env = (tmp_path / "key").read_text().strip(), str(tmp_path / "env")
    (tmp_path / "backend").mkdir()
    backend = (tmp_path / "backend").as_uri()
    *shell, audit = [step["run"] for step in steps("audit") if "run" in step]
    assert [step["run"] for step in steps("up") if "run" in step] == shell
    # As a step of GitHub's does; the agent ends with this test.
    script = f"trap 'ssh-agent -k >/dev/null' EXIT\n{shell[-1]}\nssh-add -L"
    assert clone.run("bash", "-e", "-c", shell[0]) == "", "set-up has nothing to do"
    listed = clone.run("bash", "-e", "-c", script, SSH_PRIVATE_KEY=secret, GITHUB_ENV=env)
    assert " ".join((tmp_path / "key.pub").read_text().split()[:2]) in listed
    assert Path(env).read_text().startswith("SSH_AUTH_SOCK=/")
    told = clone.run(*shlex.split(audit), code=2, PULUMI_BACKEND_URL=backend, CI="true")
    assert f"there is nothing of stack production: {backend} doesn't have it" in told
